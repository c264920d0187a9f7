"""vLLM 0.8 and later: the engine logs the duration of each step.

`Loading weights took` is the duration of the weights. `Model loading took` also includes constructing modules
before and rearranging weights after, which belong to the neighbouring phases. Some versions, and the Run:ai
model streamer, log only the second line; then it is used for the weights. On a CPU the streamer logs neither,
and its progress is used.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from loadbench.results.timeline import Span
from loadbench.run.observe.engines.vllm_legacy import container_start, warm_up
from loadbench.run.observe.lines import Entry

_FETCHED = re.compile(r"^Time spent downloading weights for .+: (?P<seconds>[\d.]+) seconds")
_WEIGHTS = re.compile(r"^Loading weights took (?P<seconds>[\d.]+) seconds")
_MODEL = re.compile(
    r"^Model loading took (?P<size>[\d.]+) (?:GB|GiB)(?: memory)? and (?P<seconds>[\d.]+) seconds"
)
# The Run:ai model streamer's progress, from S3 or from a disk, in public logs of vLLM 0.9 and later.
_STREAMER = re.compile(r"^Loading safetensors using Runai Model Streamer: ")
# fastload's process, which starts reading before the engine.
_PREFETCHED = re.compile(
    r"^prefetched (?P<size>\d+) bytes from .+ between (?P<start>[\d.]+) and (?P<end>[\d.]+) "
)
_WARM = re.compile(r"^Graph capturing finished in |^init engine \(")

_UNIT_BYTES = 2**30


@dataclass(frozen=True)
class _Load:
    """One worker's weights."""

    worker: str
    start_s: float
    end_s: float
    size_bytes: int


def read(entries: Sequence[Entry]) -> list[Span]:
    """Phases of one container's start; none if its weights were not loaded."""
    loads = _loads(entries)
    if not loads:
        return []
    downloads = [
        Span(
            name="artifact_download",
            start_s=entry.timestamp_s - float(found["seconds"]),
            end_s=entry.timestamp_s,
            clock="container",
            worker=entry.worker or "engine",
        )
        for entry in entries
        if (found := _FETCHED.match(entry.text))
    ]
    fetched_s = max((span.end_s for span in downloads), default=float("-inf"))
    streamed = any(_STREAMER.match(entry.text) for entry in entries)
    weights = [
        Span(
            name="weights_stream" if streamed else "weights_to_device",
            start_s=min(max(load.start_s, fetched_s), load.end_s),
            end_s=load.end_s,
            clock="container",
            worker=load.worker,
            size_bytes=load.size_bytes,
        )
        for load in loads
    ]
    first_s = min(span.start_s for span in [*downloads, *weights])
    began_s = entries[0].timestamp_s
    return [
        *container_start(entries, began_s, max(began_s, first_s)),
        *downloads,
        *weights,
        *_prefetches(entries),
        *warm_up(entries, max(load.end_s for load in loads), _WARM),
    ]


def _prefetches(entries: Sequence[Entry]) -> list[Span]:
    """Weights that a separate process read concurrently, by that process's clock."""
    return [
        Span(
            name="weights_stream",
            start_s=float(found["start"]),
            end_s=float(found["end"]),
            clock="container",
            worker=entry.worker,
            size_bytes=int(found["size"]),
        )
        for entry in entries
        if (found := _PREFETCHED.match(entry.text))
    ]


def _loads(entries: Sequence[Entry]) -> list[_Load]:
    sizes = {entry.worker: found["size"] for entry in entries if (found := _MODEL.match(entry.text))}
    for pattern in (_WEIGHTS, _MODEL):
        loads = [
            _Load(
                entry.worker,
                entry.timestamp_s - float(found["seconds"]),
                entry.timestamp_s,
                round(float(sizes.get(entry.worker, 0)) * _UNIT_BYTES),
            )
            for entry in entries
            if (found := pattern.match(entry.text))
        ]
        if loads:
            return loads
    # Such a line may still appear until the engine continues.
    progress = [entry for entry in entries if _STREAMER.match(entry.text)]
    if progress and any(_WARM.match(entry.text) for entry in entries):
        return [_Load(progress[0].worker, progress[0].timestamp_s, progress[-1].timestamp_s, 0)]
    return []
