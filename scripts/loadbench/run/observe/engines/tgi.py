"""Hugging Face's Text Generation Inference: a launcher, one process per shard, a router.

A shard imports modules and loads weights between its start and its readiness, and no line separates the two.
Both are therefore `container_start`, with the finer phase `shard_start`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from loadbench.results.timeline import Span
from loadbench.run.observe.engines import starts
from loadbench.run.observe.engines.milestones import find_details, milestone
from loadbench.run.observe.lines import Entry

_SHARD_STARTS = re.compile(r"^Starting shard")
_SHARD_READY = re.compile(r"^Shard ready in ")
_DOWNLOAD_STARTS = re.compile(r"^Download file: |^Downloading ")
_DOWNLOAD_ENDS = re.compile(r"^Successfully downloaded weights|^Downloaded .* in ")
_READY = re.compile(r"^Connected$")

_BEFORE_SHARDS = (
    milestone(
        "process_start",
        r"^Args \{|^Sharding model|^Default `|^Using default|^Using prefix caching|^Using Attention",
    ),
    milestone(
        "engine_configuration",
        r"^Starting (?:check and )?download|^Files are already present|^Starting shard|"
        r"^Successfully downloaded",
    ),
    milestone(
        "shard_start", r"^Shard ready in|^Waiting for shard|^Server started at|^Using prefill chunking"
    ),
)
_AFTER_SHARDS = (
    milestone("graph_capture", r"[Cc]uda [Gg]raphs? "),
    milestone("kv_cache_profiling", r"^Setting max batch total tokens|KV-?cache|max batch total"),
    milestone("warm_up_run", r"[Ww]arm(?:ing)? ?up"),
    milestone(
        "server_start", r"^Starting [Ww]ebserver|^Connected$|^Serving revision|[Tt]okenizer|^Using config"
    ),
)


def read(entries: Sequence[Entry]) -> list[Span]:
    """Phases of one server's start; none if no shard became ready."""
    shards = [entry.timestamp_s for entry in entries if _SHARD_READY.match(entry.text)]
    started_s = starts.first_time(entries, _SHARD_STARTS)
    if not shards or started_s is None:
        return []
    began_s, shards_s = entries[0].timestamp_s, max(shards)
    spans = _download(entries, started_s)
    edges = [began_s, *(edge for span in spans for edge in (span.start_s, span.end_s)), shards_s]
    for start_s, end_s in zip(edges[::2], edges[1::2], strict=True):
        spans.append(Span(name="container_start", start_s=start_s, end_s=end_s, clock="container"))
        spans += find_details(entries, _BEFORE_SHARDS, start_s, end_s)
    ready_s = starts.first_time(entries, _READY)
    if ready_s is not None and ready_s >= shards_s:
        spans.append(Span(name="engine_warmup", start_s=shards_s, end_s=ready_s, clock="container"))
        spans += find_details(entries, _AFTER_SHARDS, shards_s, ready_s)
    return spans


def _download(entries: Sequence[Entry], until_s: float) -> list[Span]:
    start_s = starts.first_time(entries, _DOWNLOAD_STARTS)
    ends = [e.timestamp_s for e in entries if _DOWNLOAD_ENDS.match(e.text) and e.timestamp_s <= until_s]
    if start_s is None or not ends or max(ends) < start_s:
        return []
    return [
        Span(name="artifact_download", start_s=start_s, end_s=max(ends), clock="container", worker="launcher")
    ]
