"""Whether weights were streamed without going to disk, and the evidence for it.

A configured load format is not sufficient: nobody has observed the platform starting the fast loader, and its
log lines are not public (docs/facts/aws-evidence.md#platform-names-the-artifact). Evidence is a loader's line
that reports what it streamed, or a disk that never held the weights. Otherwise `weights_stream` is inferred.
"""

from __future__ import annotations

from collections.abc import Sequence

from loadbench.instance_types import instance_types
from loadbench.results.run_record import Streaming, Usage
from loadbench.results.timeline import Span

_NAME = "weights_stream"
_DISK_METRIC = "DiskUtilization"
_METRIC_PERIOD_S = 60.0
# A disk with less than half of the weights did not hold them; one with nine tenths did.
_MOST_OF_STREAMED, _LEAST_OF_STORED = 0.5, 0.9
# Logs and caches are written, too; for weights smaller than this, the disk is not evidence.
_SMALLEST_BYTES = 50e6


def judge_streaming(
    spans: Sequence[Span], usage: Usage, *, instance_type: str, weights_bytes: int | None, instances: int = 1
) -> tuple[list[Span], Streaming | None]:
    """The spans, marked as measured or inferred by the evidence, and the evidence; None if not streamed.

    `weights_bytes` is the size of the model's files, if known; the engine's figure takes precedence.
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
    """Evidence from lines that report streaming; a span based only on a load format is inferred."""
    if any(span.certainty == "inferred" for span in streams):
        return None
    return Streaming(state="shown", evidence="the loader's own lines report what it streamed")


def _of_disk(
    usage: Usage, instance_type: str, size_bytes: float, instances: int, began_s: float
) -> Streaming:
    """Evidence from the disk of one instance: bytes written to it, or its usage."""
    written, fullest = usage.disk_write_bytes, _fullest_percent(usage, began_s)
    if size_bytes >= _SMALLEST_BYTES and written is not None:
        words = f"{written / instances / 1e9:.2f} GB were written to disk"
        return _compared(words, written / instances, size_bytes)
    known = instance_types().get(instance_type)
    if size_bytes >= _SMALLEST_BYTES and fullest is not None and known and known.disk_gb:
        used = fullest / 100 * known.disk_gb * 1e9
        found = _compared(f"the disk held at most {used / 1e9:.2f} GB ({fullest:.2f} %)", used, size_bytes)
        # The image may be on the same disk, so only a low disk usage is evidence.
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
    """The highest disk usage in per cent; None if no data point is as late as the weights."""
    curves = [series.points for series in usage.series if series.name.startswith(_DISK_METRIC)]
    points = [point for curve in curves for point in curve]
    if not any(time_s + _METRIC_PERIOD_S > began_s for time_s, _ in points):
        return None
    return max(value for _, value in points)
