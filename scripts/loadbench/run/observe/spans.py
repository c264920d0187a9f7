"""One timeline of a deployment from all that was seen of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from loadbench.results.timeline import Span
from loadbench.run.observe import embedded
from loadbench.run.observe.lines import LogLine
from loadbench.run.observe.status import ResourceTimes


@dataclass
class Seen:
    """What the followers and the poller brought home."""

    endpoint: ResourceTimes
    component: ResourceTimes
    inference_component: str | None
    ready_s: float | None
    history: list[tuple[float, str, str]] = field(default_factory=list)
    container: list[LogLine] = field(default_factory=list)
    platform: list[LogLine] = field(default_factory=list)


def assemble(seen: Seen) -> list[Span]:
    """All spans, sorted by start: statuses to look at, phases to partition."""
    phases = embedded.read_platform(seen.platform, seen.inference_component)
    phases += read_container(seen.container)
    return sorted([*_statuses(seen), *phases], key=lambda span: (span.start_s, span.end_s))


def read_container(lines: Sequence[LogLine]) -> list[Span]:
    """The phases in a container's log, stream by stream."""
    spans: list[Span] = []
    for stream in dict.fromkeys(line.stream for line in lines):
        spans += embedded.read_container([line for line in lines if line.stream == stream]).spans
    return spans


def _statuses(seen: Seen) -> list[Span]:
    """How long each resource was in each status until all was ready, as the poller saw it."""
    if not seen.history:
        return []
    last_s = max(seen.ready_s or 0.0, seen.history[-1][0])
    spans = []
    for resource in dict.fromkeys(resource for _, resource, _ in seen.history):
        changes = [(time_s, status) for time_s, name, status in seen.history if name == resource]
        ends = [time_s for time_s, _ in changes[1:]] + [last_s]
        for (start_s, status), end_s in zip(changes, ends, strict=True):
            spans.append(
                Span(name=f"{resource} {status}", start_s=start_s, end_s=max(start_s, end_s), clock="poller")
            )
    return spans
