"""Whether weights were streamed past the disk, and how that is known.

A configured load format is no proof: nobody has seen the platform start the fast loader, and its log lines
are not public (docs/facts/aws-evidence.md#platform-names-the-artifact). Proofs are lines of a loader that
report what it streamed, and a disk that never held the weights. Without one, `weights_stream` stays inferred.
"""

from __future__ import annotations

from collections.abc import Sequence

from loadbench.instance_types import instance_types
from loadbench.results.run_record import Streaming, Usage
from loadbench.results.timeline import Span

_NAME = "weights_stream"
_DISK_METRIC = "DiskUtilization"
_METRIC_PERIOD_S = 60.0
# A disk that held less than half of the weights did not hold them; one that took nine tenths did.
_MOST_OF_STREAMED, _LEAST_OF_STORED = 0.5, 0.9
# Logs and caches are written as well: below this, a disk says nothing about the weights.
_SMALLEST_BYTES = 50e6


def judge_streaming(
    spans: Sequence[Span], usage: Usage, *, instance_type: str, weights_bytes: int | None, instances: int = 1
) -> tuple[list[Span], Streaming | None]:
    """The spans with the certainty that the evidence allows, and the evidence; None without streaming.

    `weights_bytes` is the size of the model's files, if it is known; the engine's own figure is preferred.
    """
    streams = [span for span in spans if span.name == _NAME]
    if not streams:
        return list(spans), None
    found = _of_lines(streams) or _of_disk(
        usage,
        instance_type,
        (sum(span.size_bytes for span in streams) or (weights_bytes or 0) * instances) / instances,
        instances,
        min(span.start_s for span in streams),
    )
    certainty = "measured" if found.state == "shown" else "inferred"
    return [
        span.model_copy(update={"certainty": certainty}) if span.name == _NAME else span for span in spans
    ], found


def _of_lines(streams: Sequence[Span]) -> Streaming | None:
    """Lines that report streaming; a span that follows from a load format alone is inferred."""
    if any(span.certainty == "inferred" for span in streams):
        return None
    return Streaming(state="shown", evidence="the loader's own lines report what it streamed")


def _of_disk(
    usage: Usage, instance_type: str, size_bytes: float, instances: int, began_s: float
) -> Streaming:
    """What the disk of one instance says: bytes written to it, or how full it was."""
    written, fullest = usage.disk_write_bytes, _fullest_percent(usage, began_s)
    if size_bytes >= _SMALLEST_BYTES and written is not None:
        words = f"{written / instances / 1e9:.2f} GB were written to disk"
        return _compared(words, written / instances, size_bytes)
    known = instance_types().get(instance_type)
    if size_bytes >= _SMALLEST_BYTES and fullest is not None and known and known.disk_gb:
        used = fullest / 100 * known.disk_gb * 1e9
        found = _compared(f"the disk held at most {used / 1e9:.2f} GB ({fullest:.2f} %)", used, size_bytes)
        # The image may be on the same disk: only one with too little on it proves something.
        return found.model_copy(update={"state": "shown" if found.state == "shown" else "unproven"})
    return Streaming(
        state="unproven",
        evidence="the log names a load format that streams; neither a line nor the disk shows that it did",
    )


def _compared(words: str, on_disk: float, size_bytes: float) -> Streaming:
    evidence = f"{words}, the weights are {size_bytes / 1e9:.2f} GB"
    if on_disk < _MOST_OF_STREAMED * size_bytes:
        return Streaming(state="shown", evidence=evidence)
    return Streaming(
        state="contradicted" if on_disk >= _LEAST_OF_STORED * size_bytes else "unproven", evidence=evidence
    )


def _fullest_percent(usage: Usage, began_s: float) -> float | None:
    """The highest share of the disk in use; None if no point is as late as the weights."""
    curves = [series.points for series in usage.series if series.name.startswith(_DISK_METRIC)]
    points = [point for curve in curves for point in curve]
    if not any(time_s + _METRIC_PERIOD_S > began_s for time_s, _ in points):
        return None
    return max(value for _, value in points)
