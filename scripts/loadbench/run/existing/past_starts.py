"""Past starts of an endpoint's copies, from AWS's logs and activities.

Each start in a log stream becomes a record. The service reports the time of the request only for the first
start (the resource's creation) and for starts that a scaling policy requested (the activity's start). For all
others the time of the stream's first line is used, which the record notes.
"""

from __future__ import annotations

import datetime
import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from loadbench.results.run_record import Deployment, Restart, RunRecord
from loadbench.results.timeline import Span
from loadbench.run.existing.activities import Activity
from loadbench.run.existing.description import Description, Place, new_record
from loadbench.run.observe import embedded
from loadbench.run.observe.engines.starts import Start
from loadbench.run.observe.lines import LogLine
from loadbench.run.observe.probe_lines import add_probe, find_probe
from loadbench.run.observe.readiness import find_readiness
from loadbench.run.observe.spans import by_stream, cold_starts, read_cold_start
from loadbench.run.observe.warm_layers import find_layers

# Upper limit of the time from the request to the first log line (new instance and image pull).
_ASKED_WITHIN_S = 3600.0
# Upper limit of the time from the server's readiness to a successful health check.
_SEEN_READY_WITHIN_S = 600.0


@dataclass(frozen=True)
class Seen:
    """Everything known about an endpoint's past."""

    container: Sequence[LogLine]
    platform: Sequence[LogLine] = ()
    activities: Sequence[Activity] = ()


@dataclass(frozen=True)
class PastStart:
    """One start: its record, and its log lines."""

    record: RunRecord
    lines: Sequence[LogLine] = field(repr=False)


def past_starts(description: Description, seen: Seen, place: Place) -> list[PastStart]:
    """Every start that became ready, oldest first."""
    found = []
    for lines in by_stream(seen.container):
        for attempts in cold_starts(lines):
            if attempts and attempts[-1].ready_s is not None:
                found.append((attempts[0].began_s, attempts, lines))
    found.sort(key=lambda item: item[0])
    changes_s = [began_s for began_s, _, _ in found] + [activity.start_s for activity in seen.activities]
    # A resource cannot be scaled while it is being created, so all starts before its first copy was ready
    # were requested by the creation.
    first_ready_s = min((attempts[-1].ready_s or 0.0 for _, attempts, _ in found), default=0.0)
    streams: set[str] = set()
    starts = []
    for began_s, attempts, lines in found:
        starts.append(
            _past_start(
                description,
                seen,
                place,
                attempts,
                lines,
                may_be_first=began_s <= first_ready_s,
                earlier=streams,
                changes_s=changes_s,
            )
        )
        streams = streams | {lines[0].stream}
    return starts


def _past_start(
    description: Description,
    seen: Seen,
    place: Place,
    attempts: Sequence[Start],
    lines: Sequence[LogLine],
    *,
    may_be_first: bool,
    earlier: set[str],
    changes_s: Sequence[float],
) -> PastStart:
    began_s, server_ready_s = attempts[0].began_s, attempts[-1].ready_s
    assert server_ready_s is not None  # only ready starts are passed
    own = [line for line in lines if began_s <= line.timestamp_s <= attempts[-1].entries[-1].timestamp_s]
    next_change_s = min((at_s for at_s in changes_s if at_s > server_ready_s), default=float("inf"))
    clocks, cause = _clocks(
        description,
        seen.activities,
        began_s,
        server_ready_s,
        may_be_first=may_be_first,
        next_change_s=next_change_s,
    )
    assert clocks.request_s is not None and clocks.ready_s is not None  # always set for ready starts
    stream = lines[0].stream
    record = new_record(
        description, place, "imported", _run_id(description, stream, began_s), clocks.request_s
    )
    record.deployment = clocks
    record.cause = cause
    record.finished_s, record.status = clocks.ready_s, "succeeded"
    measured = [span for span in embedded.read(own) if began_s - 60 <= span.start_s <= clocks.ready_s]
    phases = measured or read_cold_start(attempts)
    platform = _platform_spans(description, seen.platform, stream, clocks.request_s, clocks.ready_s)
    record.spans = sorted(
        [
            *(add_probe(own, phases) if len(attempts) == 1 else phases),
            *(platform or _inferred_before(description, clocks.request_s, began_s)),
            *_inferred("health_check", server_ready_s, clocks.ready_s),
        ],
        key=lambda span: (span.start_s, span.end_s),
    )
    record.restarts = [
        Restart(stream=stream, at_s=following.began_s, reason=start.reason)
        for start, following in itertools.pairwise(attempts)
    ]
    record.start_probe = find_probe(own)
    record.readiness = find_readiness(own)
    # The image may have been pulled for an earlier component of the endpoint.
    new_endpoint = cause == "created" and description.kind == "model_based"
    record.layers = find_layers(
        own, record.spans, new_endpoint=new_endpoint, new_stream=stream not in earlier
    )
    return PastStart(record, own)


def _clocks(
    description: Description,
    activities: Sequence[Activity],
    began_s: float,
    server_ready_s: float,
    *,
    may_be_first: bool,
    next_change_s: float,
) -> tuple[Deployment, str]:
    """Times of request and readiness, their sources, and the cause of the request.

    LastModifiedTime is the time of the last change, so it applies to the creation only until the next change.
    """
    created_s = description.created_s
    if may_be_first and created_s is not None and 0 <= began_s - created_s <= _ASKED_WITHIN_S:
        seen_s = description.in_service_s
        latest_s = min(server_ready_s + _SEEN_READY_WITHIN_S, next_change_s)
        near = seen_s is not None and server_ready_s <= seen_s < latest_s
        return (
            Deployment(
                request_s=created_s,
                request_source="the resource's CreationTime",
                ready_s=seen_s if near else server_ready_s,
                ready_source="LastModifiedTime"
                if near
                else "the server's log line; the service's time is no longer available",
            ),
            "created",
        )
    candidates = [a for a in activities if a.is_scale_out and 0 <= began_s - a.start_s <= _ASKED_WITHIN_S]
    if candidates:
        activity = max(candidates, key=lambda item: item.start_s)
        ended_s = activity.end_s
        near = ended_s is not None and 0 <= ended_s - server_ready_s <= _SEEN_READY_WITHIN_S
        return (
            Deployment(
                request_s=activity.start_s,
                request_source="the scaling activity's StartTime",
                ready_s=ended_s if near else server_ready_s,
                ready_source="the scaling activity's EndTime" if near else "the server's log line",
            ),
            activity.cause,
        )
    return (
        Deployment(
            request_s=began_s,
            request_source="the stream's first line: the time of the request is unknown",
            ready_s=server_ready_s,
            ready_source="the server's log line",
        ),
        "unknown",
    )


def _platform_spans(
    description: Description, lines: Sequence[LogLine], stream: str, request_s: float, ready_s: float
) -> list[Span]:
    """The embedded AWS's platform events of this start, only those of its instance if the stream names it."""
    spans = [
        span
        for span in embedded.read_platform(lines, description.names.inference_component)
        if request_s - 1 <= span.start_s and span.end_s <= ready_s + 1
    ]
    own = [span for span in spans if span.worker and span.worker in stream]
    return own or spans


def _inferred_before(description: Description, request_s: float, began_s: float) -> list[Span]:
    return _inferred(
        "image_pull" if description.kind == "inference_component" else "provision", request_s, began_s
    )


def _inferred(name: str, start_s: float, end_s: float) -> list[Span]:
    if end_s <= start_s:
        return []
    return [Span(name=name, start_s=start_s, end_s=end_s, clock="service", certainty="inferred")]


def _run_id(description: Description, stream: str, began_s: float) -> str:
    """The run id of a start, the same for every import."""
    moment = datetime.datetime.fromtimestamp(began_s, datetime.UTC)
    name = description.names.inference_component or description.names.endpoint
    digest = hashlib.sha256(f"{name} {stream} {began_s}".encode()).hexdigest()
    return f"{moment:%Y%m%d-%H%M%S}-{name}-{digest[:4]}"
