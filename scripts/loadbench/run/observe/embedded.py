"""Two logs of the embedded AWS: phases measured by its container, and events of its platform."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from loadbench.results.timeline import Span
from loadbench.run.observe.lines import LogLine

# … [phase] name=weights_stream start=1.000000 end=2.500000 bytes=42 worker=engine
_PHASE = re.compile(
    r"\[phase\] name=(?P<name>\w+) start=(?P<start>\d+\.\d+) end=(?P<end>\d+\.\d+)"
    r" bytes=(?P<bytes>\d+) worker=(?P<worker>\S+)$"
)


# The platform's first line in a container's log: a real engine, or the emulator's model server.
_ENGINE = re.compile(r"^\[engine\] name=(?P<name>\S+) version=(?P<version>\S+)")


def read_engine(lines: Sequence[LogLine]) -> str | None:
    """Name and version of the engine, None if the log does not contain them."""
    found = next(filter(None, (_ENGINE.match(line.message) for line in lines)), None)
    return f"{found['name']} {found['version']}" if found else None


def read(lines: Sequence[LogLine]) -> list[Span]:
    """Phases measured by the container itself; a truncated `[phase]` line is ignored."""
    return [
        Span(
            name=found["name"],
            start_s=float(found["start"]),
            end_s=float(found["end"]),
            clock="container",
            worker=found["worker"],
            size_bytes=int(found["bytes"]),
        )
        for line in lines
        if (found := _PHASE.search(line.message)) and float(found["start"]) <= float(found["end"])
    ]


def read_platform(lines: Sequence[LogLine], inference_component: str | None) -> list[Span]:
    """Platform events of this endpoint and its component: JSON, one event per line."""
    spans: list[Span] = []
    for line in lines:
        try:
            event = json.loads(line.message)
            belongs = event.get("inference_component") in (None, inference_component)
            span = Span(
                name=event["phase"],
                start_s=event["start"],
                end_s=event["end"],
                clock="platform",
                certainty="simulated" if event.get("simulated") else "measured",
                worker=event.get("instance_id") or "",
                size_bytes=event.get("bytes") or 0,
            )
        except (ValueError, KeyError, AttributeError, TypeError):  # not an event
            continue
        if belongs and span.start_s <= span.end_s:
            spans.append(span)
    return spans
