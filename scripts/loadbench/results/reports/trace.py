"""trace.json: the timeline as a Chrome trace, for ui.perfetto.dev and chrome://tracing.

Format: the Trace Event Format of Chromium. `ts` and `dur` are microseconds; slices of one `tid` must nest, so
a span that overlaps another of its worker without nesting gets a separate track.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from loadbench.results.comparison.model import Comparison
from loadbench.results.run_record import ReadinessEdge, RunRecord, Series
from loadbench.results.timeline import Span

_MICROSECONDS = 1e6
Event = dict[str, Any]


@dataclass(frozen=True)
class _Process:
    """One run: a process of the trace. `zero_s` is its request, at which all runs are aligned."""

    name: str
    zero_s: float
    ready_s: float | None
    spans: Sequence[Span]
    series: Sequence[Series]
    edges: Sequence[ReadinessEdge] = ()


def render_run(record: RunRecord) -> str:
    """One run's trace."""
    process = _Process(
        f"{record.path} {record.run_id}",
        record.deployment.request_s or record.started_s,
        record.deployment.ready_s,
        record.spans,
        record.usage.series,
        record.readiness,
    )
    return _render([process])


def render(comparison: Comparison) -> str:
    """Both sides' shown runs and scale-outs as processes, aligned at their requests."""
    sides = [(side.label, side) for side in comparison.sides]
    if comparison.scale_out:
        sides += [(f"{s.label}, one more copy", s) for s in (comparison.scale_out.a, comparison.scale_out.b)]
    return _render(
        [
            _Process(f"{label} {shown.run_id}", 0.0, shown.ready_s, shown.spans, shown.series)
            for label, side in sides
            if (shown := side.shown)
        ]
    )


def _render(processes: Sequence[_Process]) -> str:
    # Terraform starts before the service sees the request; viewers need times from 0 on, so all runs are
    # shifted.
    lead_s = max(
        (process.zero_s - span.start_s for process in processes for span in process.spans), default=0.0
    )
    events = [
        event
        for pid, process in enumerate(processes, start=1)
        for event in _events(pid, process, max(lead_s, 0.0) - process.zero_s)
    ]
    return json.dumps({"traceEvents": events, "displayTimeUnit": "ms"}, ensure_ascii=False) + "\n"


def _events(pid: int, process: _Process, shift_s: float) -> list[Event]:
    def microseconds(moment_s: float) -> int:
        return round((moment_s + shift_s) * _MICROSECONDS)

    events: list[Event] = [_metadata("process_name", {"name": process.name}, pid)]
    for tid, (track, spans) in enumerate(_tracks(process.spans), start=1):
        events.append(_metadata("thread_name", {"name": track}, pid, tid))
        events.append(
            {"ph": "M", "name": "thread_sort_index", "pid": pid, "tid": tid, "args": {"sort_index": tid}}
        )
        events += [
            {
                "ph": "X",
                "name": span.name,
                "cat": span.certainty,
                "pid": pid,
                "tid": tid,
                "ts": microseconds(span.start_s),
                "dur": microseconds(span.end_s) - microseconds(span.start_s),
                "args": {"clock": span.clock, "certainty": span.certainty, "bytes": span.size_bytes},
            }
            for span in spans
        ]
    moments = [
        ("request", process.zero_s),
        *((edge.name, edge.at_s) for edge in process.edges),
        ("in service", process.ready_s),
    ]
    events += [
        {"ph": "i", "s": "p", "name": name, "pid": pid, "tid": 0, "ts": microseconds(moment_s)}
        for name, moment_s in moments
        if moment_s is not None
    ]
    events += [
        {
            "ph": "C",
            "name": f"{series.name} ({series.unit})",
            "pid": pid,
            "ts": microseconds(moment_s),
            "args": {series.unit: value},
        }
        for series in process.series
        for moment_s, value in series.points
        if moment_s + shift_s >= 0
    ]
    return events


def _metadata(kind: str, arguments: dict[str, Any], pid: int, tid: int = 0) -> Event:
    return {"ph": "M", "name": kind, "pid": pid, "tid": tid, "args": arguments}


def _tracks(spans: Sequence[Span]) -> list[tuple[str, list[Span]]]:
    """Tracks by clock and worker; the slices of a track follow one another or nest."""
    tracks: dict[str, list[list[Span]]] = {}
    for span in sorted(spans, key=lambda span: (span.start_s, -span.end_s)):
        name = f"{span.clock} {span.worker}".strip()
        lanes = tracks.setdefault(name, [])
        lane = next((lane for lane in lanes if _fits(lane, span)), None)
        if lane is None:
            lanes.append([span])
        else:
            lane.append(span)
    return [
        (name if number == 1 else f"{name} ({number})", lane)
        for name, lanes in tracks.items()
        for number, lane in enumerate(lanes, start=1)
    ]


def _fits(lane: Sequence[Span], span: Span) -> bool:
    """Whether a span that starts after all spans of the lane follows or nests in each of them."""
    return all(other.end_s <= span.start_s or other.end_s >= span.end_s for other in lane)
