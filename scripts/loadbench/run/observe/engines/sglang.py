"""SGLang: its lines come in pairs, `… begin` and `… end`, one pair for each rank.

`Load weight` covers constructing the modules and reading the weights; the progress bar of the first
checkpoint file, if there is one, separates the two. A draft model has a second pair, after the cache of the
first.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from loadbench.results.timeline import Span
from loadbench.run.observe.engines import starts
from loadbench.run.observe.engines.milestones import find_details, milestone
from loadbench.run.observe.lines import Entry

_BEGINS = re.compile(r"^Load weight begin")
_ENDS = re.compile(r"^Load weight end\..*?mem usage=(?P<size>-?[\d.]+) GB|^Load weight end")
_FIRST_FILE = re.compile(r"^(?:Loading|Multi-thread loading) .*shards: +0%")
_UNIT_BYTES = 2**30

_BEFORE_WEIGHTS = (
    milestone("imports", r"^server_args=ServerArgs\(|Ignore import error|^Load weight begin|[Dd]eprecat"),
    milestone(
        "engine_configuration",
        r"[Cc]hat template|sampling params from model|adjusted|is enabled|Casting torch",
    ),
    milestone(
        "process_spawn",
        r"^Init torch distributed begin|is running on CPUs|^Attention backend|^Using .*backend",
    ),
    milestone(
        "distributed_start", r"^Init torch distributed end|peer ranks|using nccl|all-reduce|P2P|Mem usage"
    ),
    milestone("model_construction", r"^Using model weights format|shards: +0%|snapshot|quantization"),
)
_AFTER_WEIGHTS = (
    milestone("kv_cache_profiling", r"KV [Cc]ache|[Mm]emory pool end|^max_total_num_tokens|Mamba Cache"),
    milestone("compilation", r"[Cc]ompil\w+ .*(?:end|done|took)"),
    milestone("graph_capture", r"^Capture .*graph end|^Capture .*graph failed"),
    milestone("warm_up_run", r"^Capture .*graph begin|[Aa]ttention backend end|[Ww]arm ?up end"),
    milestone(
        "server_start",
        r"Started server process|Waiting for application startup|Application startup complete|"
        r"Uvicorn running|chat template",
    ),
    milestone("warm_up_run", r"ready to roll|POST /generate|^Prefill batch"),
)


def read(entries: Sequence[Entry]) -> list[Span]:
    """Phases of one server's start; none if its weights were not loaded."""
    weights = _weights(entries)
    if not weights:
        return []
    began_s, first_s = entries[0].timestamp_s, min(span.start_s for span in weights)
    ready_s = starts.ready_time(entries)
    spans = [
        Span(name="container_start", start_s=began_s, end_s=first_s, clock="container"),
        *find_details(entries, _BEFORE_WEIGHTS, began_s, first_s),
        *weights,
    ]
    if ready_s is None:
        return spans
    # Steps between and after the loads; a second load belongs to the weights, not to the warm-up.
    for start_s, end_s in _gaps(weights, ready_s):
        spans.append(Span(name="engine_warmup", start_s=start_s, end_s=end_s, clock="container"))
        spans += find_details(entries, _AFTER_WEIGHTS, start_s, end_s)
    return spans


def _weights(entries: Sequence[Entry]) -> list[Span]:
    spans: list[Span] = []
    begun: dict[str, float] = {}
    first_file_s = starts.first_time(entries, _FIRST_FILE)
    for entry in entries:
        if _BEGINS.match(entry.text):
            begun[entry.worker] = entry.timestamp_s
        elif (found := _ENDS.match(entry.text)) and entry.worker in begun:
            start_s = begun.pop(entry.worker)
            if first_file_s is not None and start_s < first_file_s < entry.timestamp_s:
                start_s = first_file_s
            spans.append(
                Span(
                    name="weights_to_device",
                    start_s=start_s,
                    end_s=entry.timestamp_s,
                    clock="container",
                    worker=entry.worker,
                    size_bytes=max(0, round(float(found["size"] or 0) * _UNIT_BYTES)),
                )
            )
    return spans


def _gaps(weights: Sequence[Span], end_s: float) -> list[tuple[float, float]]:
    """The time from the first load's end until `end_s` in which no rank loads."""
    ordered = sorted(weights, key=lambda span: span.start_s)
    reached = list(itertools.accumulate((span.end_s for span in ordered), max))
    nexts = [*(span.start_s for span in ordered[1:]), end_s]
    return [(left, right) for left, right in zip(reached, nexts, strict=True) if left < right]
