"""Spans, phases, and the partition of a cold start.

Method: docs/method.md, rule 7. A span was measured by one clock; a phase is a share of the time from request
to ready. The phases, including `unattributed`, add up to exactly that time.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

Clock = Literal["terraform", "service", "poller", "platform", "container", "client"]
Certainty = Literal["measured", "inferred", "simulated"]
PhaseName = Literal[
    "provision",
    "image_pull",
    "artifact_download",
    "failed_start",
    "container_start",
    "weights_to_host",
    "weights_to_device",
    "weights_stream",
    "engine_warmup",
    "health_check",
    "first_response",
    "unattributed",
]

DetailName = Literal[
    "front_end_start",
    "requirements",
    "process_start",
    "imports",
    "engine_configuration",
    "process_spawn",
    "distributed_start",
    "shard_start",
    "model_construction",
    "weights_processing",
    "kv_cache_profiling",
    "compilation",
    "graph_capture",
    "warm_up_run",
    "server_start",
]

# In chronological order; `first_response` is after ready and not part of the partition.
PHASES: tuple[PhaseName, ...] = get_args(PhaseName)
# Finer phases, each within one phase: they divide its share and do not add to the total.
DETAILS: dict[PhaseName, tuple[DetailName, ...]] = {
    "container_start": (
        "front_end_start",
        "requirements",
        "process_start",
        "imports",
        "engine_configuration",
        "process_spawn",
        "distributed_start",
        "shard_start",
        "model_construction",
    ),
    "engine_warmup": (
        "weights_processing",
        "kv_cache_profiling",
        "compilation",
        "graph_capture",
        "warm_up_run",
        "server_start",
    ),
}
WEIGHTS_PHASES: tuple[PhaseName, ...] = (
    "artifact_download",
    "weights_to_host",
    "weights_to_device",
    "weights_stream",
)


class Span(BaseModel):
    """An interval measured by one clock. Times are seconds since the epoch."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="a phase's name, or the name of a span that is shown but is not a phase")
    start_s: float
    end_s: float
    clock: Clock
    certainty: Certainty = "measured"
    worker: str = ""
    size_bytes: int = Field(default=0, ge=0)

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.end_s - self.start_s


@dataclass(frozen=True)
class PhaseShare:
    """One row of the partition: seconds that belong to this phase only, and their certainty."""

    name: PhaseName
    seconds: float
    certainty: Certainty
    busy_s: float  # duration of the phase's own spans, including overlaps with other phases


@dataclass(frozen=True)
class DetailShare:
    """A finer phase's share of the seconds that its phase has in the partition."""

    phase: PhaseName
    name: DetailName
    seconds: float
    certainty: Certainty


def partition(spans: Iterable[Span], request_s: float, ready_s: float) -> list[PhaseShare]:
    """Divide the time between request and ready among the phases.

    Rule for overlaps: an instant belongs to the active span that ends last, because readiness depended on
    that one, whatever the others did (pull and download run in parallel; weights stream while a framework is
    imported). Time that no span covers is `unattributed`. The shares add up to `ready_s - request_s`.
    """
    known = [span for span in spans if _belongs(span, request_s, ready_s)]
    seconds: dict[str, float] = {"unattributed": 0.0}
    for left, right, owner in _owners(known, request_s, ready_s):
        name = owner.name if owner else "unattributed"
        seconds[name] = seconds.get(name, 0.0) + (right - left)
    return [
        PhaseShare(
            name,
            seconds.get(name, 0.0),
            weakest([span.certainty for span in known if span.name == name]),
            busy_s(span for span in known if span.name == name),
        )
        for name in PHASES
        if name in seconds or any(span.name == name for span in known)
    ]


def divide_phases(spans: Iterable[Span], request_s: float, ready_s: float) -> list[DetailShare]:
    """Divide each phase's share among its finer phases, by the same rule within it.

    An instant counts for a finer phase only if it belongs to its phase in `partition`. Time that no finer
    phase covers is omitted: it is the part of the phase that no log line explains.
    """
    known = list(spans)
    owners = list(_owners([span for span in known if _belongs(span, request_s, ready_s)], request_s, ready_s))
    shares = []
    for phase, names in DETAILS.items():
        inner = [span for span in known if span.name in names]
        seconds: dict[str, float] = {}
        for left, right, owner in owners if inner else []:
            if owner and owner.name == phase:
                for first, last, detail in _owners(inner, left, right):
                    if detail:
                        seconds[detail.name] = seconds.get(detail.name, 0.0) + (last - first)
        shares += [
            DetailShare(
                phase, name, seconds[name], weakest([span.certainty for span in inner if span.name == name])
            )
            for name in names
            if name in seconds
        ]
    return shares


def _owners(
    spans: Sequence[Span], start_s: float, end_s: float
) -> Iterator[tuple[float, float, Span | None]]:
    """The time between two moments, divided into pieces with the active span that ends last."""
    inside = (edge for span in spans for edge in (span.start_s, span.end_s) if start_s < edge < end_s)
    for left, right in itertools.pairwise(sorted({start_s, *inside, max(start_s, end_s)})):
        active = [span for span in spans if span.start_s <= left and span.end_s >= right]
        yield left, right, max(active, key=lambda span: (span.end_s, span.start_s), default=None)


def weights_phases_of(spans: Iterable[Span]) -> tuple[PhaseName, ...]:
    """The phases that moved weights in one run: if weights are known to be streamed, SageMaker downloads only
    small files.
    """
    streamed = any(span.name == "weights_stream" and span.certainty != "inferred" for span in spans)
    return tuple(name for name in WEIGHTS_PHASES if not (streamed and name == "artifact_download"))


def weakest(certainties: Sequence[Certainty]) -> Certainty:
    """The certainty of a sum is that of its worst part: simulated, then inferred, then measured."""
    return max(certainties, key=get_args(Certainty).index, default="measured")


def busy_s(spans: Iterable[Span]) -> float:
    """Length of the union of the spans, in seconds."""
    total, end_s = 0.0, float("-inf")
    for span in sorted(spans, key=lambda span: span.start_s):
        total += max(0.0, span.end_s - max(span.start_s, end_s))
        end_s = max(end_s, span.end_s)
    return total


def _belongs(span: Span, request_s: float, ready_s: float) -> bool:
    """Whether a span is a phase between request and ready."""
    return (
        span.name in PHASES
        and span.name not in ("first_response", "unattributed")
        and span.end_s > request_s
        and span.start_s < ready_s
    )
