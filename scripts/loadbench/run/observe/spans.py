"""Combines all observations of a deployment into one timeline."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from loadbench.results.run_record import Restart
from loadbench.results.timeline import Span
from loadbench.run.observe import embedded
from loadbench.run.observe.engines import read_start, starts
from loadbench.run.observe.engines.starts import Start
from loadbench.run.observe.lines import LogLine, unwrap
from loadbench.run.observe.probe_lines import add_probe
from loadbench.run.observe.status import ResourceTimes


@dataclass
class Seen:
    """Everything that the log followers and the poller observed."""

    endpoint: ResourceTimes
    component: ResourceTimes
    inference_component: str | None
    ready_s: float | None
    history: list[tuple[float, str, str]] = field(default_factory=list)
    container: list[LogLine] = field(default_factory=list)
    platform: list[LogLine] = field(default_factory=list)


def assemble(seen: Seen) -> list[Span]:
    """All spans, sorted by start: statuses to show, phases to partition."""
    phases = read_container(seen.container)
    platform = embedded.read_platform(seen.platform, seen.inference_component)
    # If there are platform events, nothing has to be inferred.
    phases += platform or infer_platform(seen)
    phases += _between(seen)
    return sorted([*_statuses(seen), *phases], key=lambda span: (span.start_s, span.end_s))


def read_container(lines: Sequence[LogLine]) -> list[Span]:
    """The phases in a container's log: of each stream, the first start that became ready.

    A failed start before it is a separate phase, `failed_start`, until the next start begins.
    """
    spans: list[Span] = []
    for own in by_stream(lines):
        if measured := embedded.read(own):
            spans += add_probe(own, measured)
        else:
            attempts = cold_starts(own)[0]
            # After a failed start nothing tells whose process it was.
            phases = read_cold_start(attempts)
            spans += add_probe(own, phases) if len(attempts) == 1 else phases
    return spans


def by_stream(lines: Sequence[LogLine]) -> list[list[LogLine]]:
    """The lines of each stream in chronological order."""
    streams: dict[str, list[LogLine]] = {}
    for line in lines:
        streams.setdefault(line.stream, []).append(line)
    return [sorted(own, key=lambda line: line.timestamp_s) for own in streams.values()]


def cold_starts(lines: Sequence[LogLine]) -> list[list[Start]]:
    """The starts in one stream: each ready start, with the failed ones before it."""
    groups: list[list[Start]] = [[]]
    for start in starts.starts([unwrap(line) for line in lines]):
        if groups[-1] and groups[-1][-1].ready_s is not None:
            groups.append([])
        groups[-1].append(start)
    return groups


def read_cold_start(attempts: Sequence[Start]) -> list[Span]:
    """The phases of one start, and of the failed ones before it."""
    if not attempts:
        return []
    *failed, last = attempts
    return [
        *(
            Span(name="failed_start", start_s=start.began_s, end_s=following.began_s, clock="container")
            for start, following in zip(failed, attempts[1:], strict=True)
        ),
        *read_start(last.entries),
    ]


def find_restarts(lines: Sequence[LogLine]) -> list[Restart]:
    """Servers that ended before they were ready, with the reason if their lines name one."""
    return [
        Restart(stream=own[0].stream, at_s=following.began_s, reason=start.reason)
        for own in by_stream(lines)
        for attempts in cold_starts(own)[:1]
        for start, following in itertools.pairwise(attempts)
    ]


def infer_platform(seen: Seen) -> list[Span]:
    """Infers phases that AWS does not log, from the times before and after them.

    Provisioning, image pull and SageMaker's download happen before a container's first line, the last two in
    parallel, and cannot be distinguished, so for a model-based endpoint all of it is `provision`. An endpoint
    with components is in service before the component is created, so there the instance (`provision`) and the
    rest (`image_pull`, which may include a download) can be separated. The server's readiness is followed by
    the wait for a health check.
    """
    spans: list[Span] = []
    first_line_s = min((line.timestamp_s for line in seen.container), default=None)
    if seen.inference_component:
        spans += _inferred("provision", seen.endpoint.created_s, seen.endpoint.in_service_s)
        spans += _inferred("image_pull", seen.component.created_s, first_line_s)
    else:
        spans += _inferred("provision", seen.endpoint.created_s, first_line_s)
    server_ready_s = starts.ready_time([unwrap(line) for line in seen.container])
    return [*spans, *_inferred("health_check", server_ready_s, seen.ready_s)]


def _between(seen: Seen) -> list[Span]:
    """The time from the endpoint's readiness until Terraform requested the component.

    Up to ten seconds on AWS, because of Terraform's back-off. No component can be placed on the instance
    before, so this counts as `provision`.
    """
    start_s, end_s = seen.endpoint.in_service_s, seen.component.created_s
    if start_s is None or end_s is None or end_s < start_s:
        return []
    return [Span(name="provision", start_s=start_s, end_s=end_s, clock="service", worker="caller")]


def _inferred(name: str, start_s: float | None, end_s: float | None) -> list[Span]:
    if start_s is None or end_s is None or end_s < start_s:
        return []
    return [Span(name=name, start_s=start_s, end_s=end_s, clock="service", certainty="inferred")]


def _statuses(seen: Seen) -> list[Span]:
    """The time of each resource in each status until everything was ready, by the poller's clock."""
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
