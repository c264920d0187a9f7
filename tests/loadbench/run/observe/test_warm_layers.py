"""What was warm before a start, and by which evidence; without evidence it is unknown."""

from __future__ import annotations

import pytest

from loadbench.results.timeline import Clock, Span
from loadbench.run.observe.lines import LogLine
from loadbench.run.observe.warm_layers import find_layers

COMPILED = "INFO 08-17 22:48:21 [backends.py:559] Compiling a graph for dynamic shape takes 9.7 s"
LOADED = "INFO 08-17 22:48:21 [backends.py:520] Directly load the compiled graph(s) for dynamic shape"


def span(name: str, seconds: float, clock: Clock = "platform") -> Span:
    return Span.model_validate({"name": name, "start_s": 0.0, "end_s": seconds, "clock": clock})


def layer(
    name: str,
    *spans: Span,
    line: str = "",
    new_endpoint: bool = False,
    new_stream: bool = True,
    received_share: float | None = None,
) -> tuple[str, str]:
    found = find_layers(
        [LogLine(0.0, "s", line)],
        spans,
        new_endpoint=new_endpoint,
        new_stream=new_stream,
        received_share=received_share,
    )
    assert [item.name for item in found] == ["image", "weights", "compile_cache", "page_cache"]
    assert all(item.evidence for item in found)
    return next((item.state, item.evidence) for item in found if item.name == name)


@pytest.mark.parametrize(
    ("spans", "new_endpoint", "new_stream", "state"),
    [
        ([span("image_pull", 40.0)], True, True, "cold"),
        ([span("image_pull", 0.0)], True, True, "warm"),
        ([span("image_pull", 40.0, "service")], False, True, "unknown"),  # inferred, not an event of the pull
        ([], True, True, "cold"),
        ([], False, True, "unknown"),
        ([], False, False, "warm"),
    ],
)
def test_the_image(spans: list[Span], new_endpoint: bool, new_stream: bool, state: str) -> None:
    assert layer("image", *spans, new_endpoint=new_endpoint, new_stream=new_stream)[0] == state


def test_the_weights() -> None:
    assert layer("weights", span("artifact_download", 9.0))[0] == "cold"
    assert layer("weights", span("weights_stream", 9.0, "container"))[0] == "cold"
    assert layer("weights")[0] == "unknown"
    assert layer("weights", new_stream=False)[0] == "warm"
    assert layer("weights", new_endpoint=True) == (
        "cold",
        "the first start of the endpoint: its instance is new",
    )


def test_weights_that_an_instances_own_counter_received_are_cold_and_fewer_bytes_prove_nothing() -> None:
    assert layer("weights", received_share=1.02) == ("cold", "the instance received 102 % of their bytes")
    assert layer("weights", received_share=0.1)[0] == "unknown"


def test_the_compile_cache() -> None:
    assert layer("compile_cache", line=COMPILED)[0] == "cold"
    assert layer("compile_cache", line=LOADED)[0] == "warm"
    assert layer("compile_cache")[0] == "unknown"


def test_the_page_cache_is_cold_on_a_new_instance_only() -> None:
    assert layer("page_cache", new_endpoint=True)[0] == "cold"
    assert layer("page_cache")[0] == "unknown"
    assert layer("page_cache", new_stream=False)[0] == "warm"
    # All instances of the embedded AWS are on one computer: its files may be in memory already.
    assert layer("page_cache", span("provision", 1.0), new_endpoint=True)[0] == "unknown"
    assert layer("weights", span("provision", 1.0), new_endpoint=True)[0] == "unknown"
