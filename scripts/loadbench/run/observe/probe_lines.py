"""Lines of the start probe (`run/start_probe/sitecustomize.py`) in a container's log."""

from __future__ import annotations

import re
from collections.abc import Sequence

from loadbench.results.run_record import StartProbe
from loadbench.results.timeline import Span
from loadbench.run.observe.lines import LogLine

# … [probe] event=import pid=7 module=torch start=1764150000.125 end=1764150003.500
_LINE = re.compile(
    r"\[probe\] event=(?P<event>\w+) pid=(?P<pid>\d+)(?: module=\w+)?"
    r"(?P<fields>(?: (?:at|began|start|end)=\d+\.\d+)+)$"
)
Event = tuple[str, str, dict[str, float]]


def find_probe(lines: Sequence[LogLine]) -> StartProbe | None:
    """What the probe noted; None without its lines: it was off, or nothing heavy was imported."""
    events = _events(lines)
    if not events:
        return None
    return StartProbe(
        processes=len({pid for _, pid, _ in events}),
        first_weight_s=_first(events, "first_weight"),
        first_forward_s=_first(events, "first_forward"),
    )


def add_probe(lines: Sequence[LogLine], spans: Sequence[Span]) -> list[Span]:
    """The phases of one container's start, completed by its probe.

    Imports become finer phases, and the container's start begins with its first process instead of its first
    line. `spans` is empty where no line of the server was recognized; then nothing is added.
    """
    events = _events(lines)
    if not events or not spans:
        return list(spans)
    imports = [
        Span(
            name="imports",
            start_s=fields["start"],
            end_s=fields["end"],
            clock="container",
            worker=f"pid {pid}",
        )
        for event, pid, fields in events
        if event == "import" and {"start", "end"} <= fields.keys() and fields["start"] <= fields["end"]
    ]
    first_s = min(span.start_s for span in spans)
    began_s = min((fields["began"] for _, _, fields in events if "began" in fields), default=first_s)
    before = [Span(name="container_start", start_s=began_s, end_s=first_s, clock="container")]
    return [*(before if began_s < first_s else []), *spans, *imports]


def _events(lines: Sequence[LogLine]) -> list[Event]:
    found = (_LINE.search(line.message) for line in lines)
    return [(match["event"], match["pid"], _numbers(match["fields"])) for match in found if match]


def _numbers(fields: str) -> dict[str, float]:
    words = (word.split("=") for word in fields.split())
    return {name: float(value) for name, value in words}


def _first(events: Sequence[Event], wanted: str) -> float | None:
    return min(
        (fields["at"] for event, _, fields in events if event == wanted and "at" in fields), default=None
    )
