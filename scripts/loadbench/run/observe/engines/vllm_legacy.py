"""vLLM 0.6 and 0.7, the engines of LMI v13 and v14: phases are differences between lines.

These versions log the size of the weights, not the duration. Reading from disk and copying to the device
alternate tensor by tensor, so both are one phase here, `weights_to_device`; with the fast loader's load
format it is `weights_stream`, inferred. Times are the log service's milliseconds, not the line's own second.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from loadbench.results.timeline import Span
from loadbench.run.observe.engines import starts
from loadbench.run.observe.engines.milestones import find_details
from loadbench.run.observe.engines.vllm_milestones import AFTER_WEIGHTS, BEFORE_WEIGHTS
from loadbench.run.observe.lines import Entry

_STARTS = re.compile(r"^Starting to load model ")
_FIRST_FILE = re.compile(r"^Loading \w+ checkpoint shards: +0% Completed")
_ENDS = re.compile(r"^Loading model weights took (?P<size>[\d.]+) (?P<unit>GB|GiB)")
_FAST_LOADER = re.compile(r"load_format=\S*fast_model_loader", re.IGNORECASE)
_WARM = re.compile(r"^Graph capturing finished in |^init engine \(")

# Both units mean 2**30: 0.6 writes memory_usage / float(2**30) and calls it GB.
_UNIT_BYTES = 2**30
# A download from the hub happens between the two lines and takes at least seconds; opening a file does not.
_SHORTEST_FETCH_S = 1.0


def read(entries: Sequence[Entry]) -> list[Span]:
    """Phases of one container's start; none if its weights were not loaded."""
    loading_s = starts.first_time(entries, _STARTS)
    if loading_s is None:
        return []
    ends = [
        (entry, found)
        for entry in entries
        if entry.timestamp_s >= loading_s and (found := _ENDS.match(entry.text))
    ]
    if not ends:
        return []
    began_s, first_end_s = entries[0].timestamp_s, min(entry.timestamp_s for entry, _ in ends)
    spans = container_start(entries, began_s, loading_s)
    first_file_s = starts.first_time(entries, _FIRST_FILE)
    if first_file_s is not None and loading_s + _SHORTEST_FETCH_S <= first_file_s <= first_end_s:
        # No line reports it: if the model is a hub id, the engine downloads between these two lines.
        spans.append(
            Span(
                name="artifact_download",
                start_s=loading_s,
                end_s=first_file_s,
                clock="container",
                certainty="inferred",
                worker="engine",
            )
        )
        loading_s = first_file_s
    fast = any(_FAST_LOADER.search(entry.text) for entry in entries)
    spans += [
        Span(
            name="weights_stream" if fast else "weights_to_device",
            start_s=loading_s,
            end_s=entry.timestamp_s,
            clock="container",
            # The configured format is no proof: see streaming_evidence.py.
            certainty="inferred" if fast else "measured",
            worker=entry.worker,
            size_bytes=round(float(found["size"]) * _UNIT_BYTES),
        )
        for entry, found in ends
    ]
    return [*spans, *warm_up(entries, max(entry.timestamp_s for entry, _ in ends), _WARM)]


def container_start(entries: Sequence[Entry], began_s: float, loading_s: float) -> list[Span]:
    """From the first line to the first weight, with finer phases from the lines between.

    Between the line that a model is being loaded and the first weight, modules are constructed.
    """
    details = find_details(entries, BEFORE_WEIGHTS, began_s, loading_s)
    known_s = max((span.end_s for span in details), default=began_s)
    loading = any(_STARTS.match(entry.text) and entry.timestamp_s <= loading_s for entry in entries)
    if loading and known_s < loading_s:
        details.append(Span(name="model_construction", start_s=known_s, end_s=loading_s, clock="container"))
    return [
        Span(name="container_start", start_s=began_s, end_s=max(began_s, loading_s), clock="container"),
        *details,
    ]


def warm_up(entries: Sequence[Entry], loaded_s: float, pattern: re.Pattern[str]) -> list[Span]:
    """From the last weight to the server's readiness: memory profile, cache blocks, graphs.

    Without a readiness line, the last line about the warm-up is the end.
    """
    ready_s = starts.ready_time(entries)
    reported = [
        entry.timestamp_s for entry in entries if pattern.match(entry.text) and entry.timestamp_s >= loaded_s
    ]
    end_s = ready_s if ready_s is not None else max(reported, default=None)
    if end_s is None or end_s < loaded_s:
        return []
    return [
        Span(name="engine_warmup", start_s=loaded_s, end_s=end_s, clock="container"),
        *find_details(entries, AFTER_WEIGHTS, loaded_s, end_s),
    ]
