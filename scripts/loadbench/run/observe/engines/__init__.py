"""Parsers of the log lines of engines and their front ends, one module each."""

from __future__ import annotations

from collections.abc import Sequence

from loadbench.results.timeline import Span
from loadbench.run.observe.engines import djl_serving, sglang, tgi, vllm, vllm_legacy
from loadbench.run.observe.lines import Entry

_ENGINES = (vllm.read, vllm_legacy.read, sglang.read, tgi.read)


def read_start(entries: Sequence[Entry]) -> list[Span]:
    """Phases and finer phases of one server's start, by the first module that recognizes its lines."""
    engine = next((spans for read in _ENGINES if (spans := read(entries))), [])
    fetched = djl_serving.read(entries)
    return [*fetched, *_around(fetched, engine)]


def _around(fetched: Sequence[Span], spans: Sequence[Span]) -> list[Span]:
    """Exclude the front end's download from the container's start."""
    pieces = list(spans)
    for download in fetched:
        for span in [span for span in pieces if span.name == "container_start"]:
            if span.start_s < download.start_s and download.end_s < span.end_s:
                pieces.remove(span)
                pieces.append(span.model_copy(update={"end_s": download.start_s}))
                pieces.append(span.model_copy(update={"start_s": download.end_s}))
    return pieces
