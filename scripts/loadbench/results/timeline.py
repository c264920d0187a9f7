"""Spans, phases, and the partition of a cold start.

Method: docs/method.md, rule 7. A span is what one clock saw; a phase is a share of the time from request to
ready, and the phases with `unattributed` add up to exactly that time.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

Clock = Literal["terraform", "service", "poller", "platform", "container", "client"]
Certainty = Literal["measured", "inferred", "simulated"]
PhaseName = Literal[
    "provision",
    "image_pull",
    "artifact_download",
    "container_start",
    "weights_to_host",
    "weights_to_device",
    "weights_stream",
    "engine_warmup",
    "health_check",
    "first_response",
    "unattributed",
]

# In the order in which they happen; `first_response` comes after ready and is not part of the partition.
PHASES: tuple[PhaseName, ...] = get_args(PhaseName)
WEIGHTS_PHASES: tuple[PhaseName, ...] = (
    "artifact_download",
    "weights_to_host",
    "weights_to_device",
    "weights_stream",
)


class Span(BaseModel):
    """Something that lasted, on one clock. Times are seconds since the epoch."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="a phase's name, or another name for what is shown but not partitioned")
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
    """One row of the partition: seconds that belong to this phase alone, and how they are known."""

    name: PhaseName
    seconds: float
    certainty: Certainty
    busy_s: float  # how long the phase's own spans lasted, overlaps with other phases included


def partition(spans: Iterable[Span], request_s: float, ready_s: float) -> list[PhaseShare]:
    """Divide the time from request to ready among the phases.

    Rule for overlaps: an instant belongs to the active span that ends last, because readiness had to wait for
    that one whatever the others did (pull and download run in parallel; weights stream while a framework is
    imported). What no span covers is `unattributed`. The shares add up to `ready_s - request_s`.
    """
    known = [span for span in spans if _belongs(span, request_s, ready_s)]
    inside = (edge for span in known for edge in (span.start_s, span.end_s) if request_s < edge < ready_s)
    edges = sorted({request_s, *inside, max(request_s, ready_s)})
    seconds: dict[str, float] = {"unattributed": 0.0}
    for left, right in itertools.pairwise(edges):
        active = [span for span in known if span.start_s <= left and span.end_s >= right]
        owner = max(active, key=lambda span: (span.end_s, span.start_s), default=None)
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


def weights_phases_of(spans: Iterable[Span]) -> tuple[PhaseName, ...]:
    """The phases that moved weights in one run: beside a stream, the platform fetches only small files."""
    streamed = any(span.name == "weights_stream" for span in spans)
    return tuple(name for name in WEIGHTS_PHASES if not (streamed and name == "artifact_download"))


def weakest(certainties: Sequence[Certainty]) -> Certainty:
    """A sum is only as good as its worst part: simulated, then inferred, then measured (also of nothing)."""
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
