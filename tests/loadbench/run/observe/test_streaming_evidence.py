"""Weights count as streamed only with evidence; without it the span is inferred, and the record says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadbench.results.run_record import Series, Usage
from loadbench.results.timeline import Span, weights_phases_of
from loadbench.run.observe.lines import parse_lines
from loadbench.run.observe.spans import read_container
from loadbench.run.observe.streaming_evidence import judge_streaming

FIXTURES = Path(__file__).parent / "fixtures"
WEIGHTS_BYTES = 16_060_522_496


def spans_of(name: str) -> list[Span]:
    return read_container(parse_lines((FIXTURES / name).read_text(encoding="utf-8").splitlines()))


def judge(spans: list[Span], usage: Usage, weights_bytes: int | None = WEIGHTS_BYTES) -> tuple[str, str, str]:
    """State, evidence and the certainty of the stream."""
    judged, found = judge_streaming(spans, usage, instance_type="ml.g5.2xlarge", weights_bytes=weights_bytes)
    assert found is not None
    (certainty,) = {span.certainty for span in judged if span.name == "weights_stream"}
    assert [span.name for span in judged] == [span.name for span in spans]
    return found.state, found.evidence, certainty


def disk(*points: tuple[float, float], name: str = "DiskUtilization") -> Usage:
    return Usage(
        series=[Series(name=name, unit="percent", source="/aws/sagemaker/Endpoints", points=list(points))]
    )


def began_s() -> float:
    return min(span.start_s for span in spans_of("lmi-v14-fast.log") if span.name == "weights_stream")


def test_a_load_format_alone_proves_nothing() -> None:
    state, evidence, certainty = judge(spans_of("lmi-v14-fast.log"), Usage())
    assert (state, certainty) == ("unproven", "inferred")
    assert "load format" in evidence


@pytest.mark.parametrize(
    "name", ["vllm-streamer.log", "vllm-0.32-cpu-streamer.log", "vllm-0.32-cpu-fastload.log"]
)
def test_a_loader_that_reports_its_streaming_is_believed(name: str) -> None:
    state, evidence, certainty = judge(spans_of(name), Usage())
    assert (state, certainty) == ("shown", "measured")
    assert "own lines" in evidence


@pytest.mark.parametrize(
    ("written", "state", "certainty"),
    [(0.1, "shown", "measured"), (0.7, "unproven", "inferred"), (1.0, "contradicted", "inferred")],
)
def test_bytes_written_to_the_disk_prove_either_side(written: float, state: str, certainty: str) -> None:
    usage = Usage(disk_write_bytes=written * WEIGHTS_BYTES)
    found, evidence, sure = judge(spans_of("lmi-v14-fast.log"), usage)
    assert (found, sure) == (state, certainty)
    assert "written to disk, the weights are 16.09 GB" in evidence, "the engine's 14.9888 GiB"


@pytest.mark.parametrize(
    ("percent", "later_s", "state"),
    [
        (0.5, 30.0, "shown"),  # 2.25 of 450 GB
        (4.0, 30.0, "unproven"),  # 18 GB, but the image may be on that disk
        (0.5, -600.0, "unproven"),  # a point from before the weights
    ],
)
def test_a_disk_on_aws_that_is_too_empty_for_the_weights_proves_streaming(
    percent: float, later_s: float, state: str
) -> None:
    found, _, _ = judge(spans_of("lmi-v14-fast.log"), disk((began_s() + later_s, percent)))
    assert found == state


def test_the_fullest_point_counts_also_where_a_download_was_removed_since() -> None:
    curve = disk((began_s() - 120, 4.0), (began_s() + 30, 0.5))
    assert judge(spans_of("lmi-v14-fast.log"), curve)[0] == "unproven"


def test_a_small_models_bytes_on_the_disk_say_nothing() -> None:
    stream = Span(name="weights_stream", start_s=0, end_s=1, clock="container", certainty="inferred")
    assert judge([stream], Usage(disk_write_bytes=1e6), weights_bytes=2_000_000)[0] == "unproven"


def test_a_start_without_streaming_has_nothing_to_prove() -> None:
    spans = spans_of("lmi-v14-hub.log")
    assert judge_streaming(spans, Usage(), instance_type="ml.g5.2xlarge", weights_bytes=None) == (spans, None)


def test_a_download_counts_as_loading_unless_streaming_is_known() -> None:
    def moving(certainty: str) -> tuple[str, ...]:
        span = {
            "name": "weights_stream",
            "start_s": 0,
            "end_s": 1,
            "clock": "container",
            "certainty": certainty,
        }
        return weights_phases_of([Span.model_validate(span)])

    assert "artifact_download" in moving("inferred")
    assert "artifact_download" not in moving("measured")
