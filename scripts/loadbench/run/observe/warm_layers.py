"""Which layers of a start were warm, and the evidence for it.

A warm layer was already cached: the image on the instance, the weights on its disk, compiled graphs in a
cache, files in the page cache. Without evidence a layer is unknown, not cold.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from loadbench.results.run_record import Layer
from loadbench.results.timeline import Span
from loadbench.run.observe.lines import LogLine, unwrap

_COMPILED_BEFORE = re.compile(
    r"^Directly load .*graph|[Rr]eusing AOT|loaded? .*from (?:the )?cache.*compil", re.IGNORECASE
)
_COMPILED_NOW = re.compile(r"^Compiling a graph for|^Cache the graph|^saved AOT compiled")
_NEW_INSTANCE = "the first start of the endpoint: its instance is new"
# Compression and protocols change the number of bytes a little.
_ALL_WEIGHTS = 0.9
_MOVING = ("artifact_download", "weights_stream")


def find_layers(
    lines: Sequence[LogLine],
    spans: Sequence[Span],
    *,
    new_endpoint: bool,
    new_stream: bool,
    received_share: float | None = None,
    caching: bool | None = None,
) -> list[Layer]:
    """The state of all four layers.

    `new_endpoint`: whether this is the first start of the endpoint; `new_stream`: of the instance or copy;
    `received_share`: bytes received by the instance as a share of the weights, None if it has no counter;
    `caching`: whether SageMaker's data cache was on, None if unknown.
    """
    # The embedded AWS has platform events, and its instances share the disk and memory of one computer.
    new_instance = new_endpoint and not any(span.clock == "platform" for span in spans)
    return [
        _image(spans, new_endpoint=new_endpoint, new_stream=new_stream),
        _weights(
            spans,
            new_instance=new_instance,
            new_stream=new_stream,
            received_share=received_share or 0.0,
            caching=caching,
        ),
        _compile_cache(lines),
        _page_cache(new_instance=new_instance, new_stream=new_stream),
    ]


def _image(spans: Sequence[Span], *, new_endpoint: bool, new_stream: bool) -> Layer:
    pulls = [span for span in spans if span.name == "image_pull" and span.clock == "platform"]
    if pulls:
        pulled = any(span.duration_s > 0 for span in pulls)
        return _layer("image", "cold" if pulled else "warm", "the platform's event of the pull")
    if not new_stream:
        return _layer("image", "warm", "this container's log has an earlier start")
    if new_endpoint:
        # docs/facts/sagemaker.md#image-cache
        return _layer("image", "cold", "the first start of the endpoint: its image cache is empty")
    return _layer("image", "unknown", "a later start of the endpoint: SageMaker may have cached its image")


def _weights(
    spans: Sequence[Span],
    *,
    new_instance: bool,
    new_stream: bool,
    received_share: float,
    caching: bool | None,
) -> Layer:
    # An inferred stream may have been read from a disk.
    unproven = {("weights_stream", "inferred")}
    moved = [
        span
        for span in spans
        if span.name in _MOVING and span.duration_s > 0 and (span.name, span.certainty) not in unproven
    ]
    if moved:
        return _layer(
            "weights", "cold", f"the log or the platform reports their {moved[0].name.replace('_', ' ')}"
        )
    if not new_stream:
        return _layer("weights", "warm", "the same container had loaded them before")
    if received_share >= _ALL_WEIGHTS:
        return _layer("weights", "cold", f"the instance received {100 * received_share:.0f} % of their bytes")
    if new_instance:
        return _layer("weights", "cold", _NEW_INSTANCE)
    if caching is False:
        return _layer("weights", "cold", "SageMaker's data cache was off, and the instance or copy was new")
    if caching:
        return _layer("weights", "unknown", "no log line about a download, and SageMaker's data cache was on")
    return _layer("weights", "unknown", "no log line about a download")


def _compile_cache(lines: Sequence[LogLine]) -> Layer:
    texts = [unwrap(line).text for line in lines]
    if any(_COMPILED_BEFORE.search(text) for text in texts):
        return _layer("compile_cache", "warm", "the engine loaded compiled graphs")
    if any(_COMPILED_NOW.search(text) for text in texts):
        return _layer("compile_cache", "cold", "the engine compiled graphs")
    return _layer("compile_cache", "unknown", "no log line about compilation")


def _page_cache(*, new_instance: bool, new_stream: bool) -> Layer:
    if new_instance:
        return _layer("page_cache", "cold", _NEW_INSTANCE)
    if new_stream:
        return _layer("page_cache", "unknown", "the instance of a new stream may have read the files before")
    return _layer("page_cache", "warm", "the same container had read the files before")


def _layer(name: str, state: str, evidence: str) -> Layer:
    return Layer.model_validate({"name": name, "state": state, "evidence": evidence})
