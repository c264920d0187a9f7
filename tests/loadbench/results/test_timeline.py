"""The partition of a cold start: it adds up, and overlaps follow the stated rule."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadbench.results.timeline import DETAILS, PHASES, Span, busy_s, divide_phases, partition, weakest

moments_s = st.floats(min_value=-50, max_value=150, allow_nan=False)
spans_of_phases = st.builds(
    lambda name, start_s, length_s: Span(
        name=name, start_s=start_s, end_s=start_s + length_s, clock="container"
    ),
    st.sampled_from([*PHASES, *(name for names in DETAILS.values() for name in names)]),
    moments_s,
    st.floats(min_value=0, max_value=120),
)


def span(name: str, start_s: float, end_s: float, **more: object) -> Span:
    return Span.model_validate(
        {"name": name, "start_s": start_s, "end_s": end_s, "clock": "container", **more}
    )


def seconds(spans: list[Span], ready_s: float = 100) -> dict[str, float]:
    return {share.name: share.seconds for share in partition(spans, 0, ready_s)}


@given(st.lists(spans_of_phases, max_size=12), st.floats(min_value=0, max_value=100))
def test_shares_add_up_to_the_time_to_ready(spans: list[Span], ready_s: float) -> None:
    shares = partition(spans, 0, ready_s)
    assert sum(share.seconds for share in shares) == pytest.approx(ready_s)
    assert all(share.seconds >= 0 for share in shares)


def test_what_no_span_covers_is_unattributed() -> None:
    assert seconds([span("provision", 0, 40), span("health_check", 90, 100)]) == {
        "provision": 40,
        "health_check": 10,
        "unattributed": 50,
    }


def test_an_overlap_belongs_to_the_span_that_ends_last() -> None:
    shares = partition([span("image_pull", 0, 60), span("artifact_download", 0, 90)], 0, 100)
    assert {share.name: share.seconds for share in shares} == {
        "image_pull": 0,
        "artifact_download": 90,
        "unattributed": 10,
    }
    pull = next(share for share in shares if share.name == "image_pull")
    assert pull.busy_s == 60  # it did work, and readiness did not wait for it


def test_a_stream_that_outlasts_the_start_of_its_container_owns_the_overlap() -> None:
    assert seconds([span("container_start", 0, 50), span("weights_stream", 10, 100)]) == {
        "container_start": 10,
        "weights_stream": 90,
        "unattributed": 0,
    }


def test_spans_outside_the_request_to_ready_count_only_with_what_is_inside() -> None:
    assert seconds([span("provision", -20, 30), span("health_check", 95, 140)]) == {
        "provision": 30,
        "health_check": 5,
        "unattributed": 65,
    }


def test_the_first_response_and_unknown_names_are_not_partitioned() -> None:
    assert seconds([span("first_response", 50, 100), span("terraform apply", 0, 100)]) == {
        "unattributed": 100
    }


def test_finer_phases_divide_what_their_phase_owns_and_nothing_else() -> None:
    spans = [
        span("container_start", 0, 60),
        span("imports", 0, 30),
        span("process_spawn", 30, 50),
        # The stream outlasts the container's start and owns the time from 40 on.
        span("weights_stream", 40, 90),
    ]
    assert [(item.phase, item.name, item.seconds) for item in divide_phases(spans, 10, 100)] == [
        ("container_start", "imports", 20),
        ("container_start", "process_spawn", 10),
    ]
    assert seconds(spans)["container_start"] == 40


@given(st.lists(spans_of_phases, max_size=12), st.floats(min_value=0, max_value=100))
def test_finer_phases_never_add_up_to_more_than_their_phase(spans: list[Span], ready_s: float) -> None:
    owned = {share.name: share.seconds for share in partition(spans, 0, ready_s)}
    for phase in DETAILS:
        inner = sum(item.seconds for item in divide_phases(spans, 0, ready_s) if item.phase == phase)
        assert inner <= owned.get(phase, 0.0) + 1e-6


def test_a_phase_is_only_as_well_known_as_its_worst_span() -> None:
    spans = [span("provision", 0, 10), span("provision", 10, 20, certainty="simulated")]
    assert partition(spans, 0, 20)[0].certainty == "simulated"
    assert weakest(["measured", "inferred"]) == "inferred"
    assert weakest([]) == "measured"


def test_busy_time_counts_overlapping_workers_once() -> None:
    assert busy_s([span("weights_stream", 0, 10), span("weights_stream", 5, 12), span("x", 20, 21)]) == 13
