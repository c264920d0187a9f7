"""The sentence that matters: each rule says its piece where its condition holds, and is silent elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from loadbench.predict.advice import advise, bound_by
from loadbench.predict.coefficients import Coefficients, Published, published_values
from loadbench.predict.model import predict
from loadbench.predict.start import StartSpec
from tests.loadbench.predict.starts import start

SURE = {
    name: value.model_copy(update={"low": value.median * 0.98, "high": value.median * 1.02})
    for name, value in published_values()["aws"].items()
}


def coefficients(changes: Mapping[str, float] | None = None) -> Coefficients:
    """The published medians, known to two per cent, with some replaced."""
    values: dict[str, Published] = dict(SURE)
    for name, median in (changes or {}).items():
        values[name] = SURE[name].model_copy(
            update={"median": median, "low": median * 0.98, "high": median * 1.02}
        )
    return Coefficients("aws", values)


STANDARD = start()
STREAMER = start(path="streamer", loading="stream_after", connections=16)
FAST = start(path="fast", loading="stream_ahead", connections=64, endpoint_kind="inference_component")
# A loader that saves what the download takes, and nothing else differs.
EVEN = {"image_expansion": 0.1, "component_s": 0.01}


def cached(spec: StartSpec) -> StartSpec:
    """The same start with the image on the instance."""
    return replace(spec, image_cached=True)


def sentence(first: StartSpec, second: StartSpec, known: Coefficients) -> str:
    predictions = [predict(item, known) for item in (first, second)]
    (advice,) = advise(predictions, known)
    return advice.sentence


def test_a_pull_that_ends_last_hides_the_download() -> None:
    # Reading from disk costs nothing here, and a pull that takes little of the intake is not slowed down.
    known = coefficients({**EVEN, "weights_to_host_bytes_per_s": 1e13, "weights_to_device_bytes_per_s": 1e13})
    text = sentence(STANDARD, FAST, known)
    assert text.startswith("The image pull hides the download: fast saves nothing until the image is cached")
    assert "Then it saves" in text


def test_with_the_image_cached_the_saving_is_said_in_seconds_of_the_whole() -> None:
    known = coefficients()
    text = sentence(start(image_cached=True), cached(FAST), known)
    assert text.startswith("fast saves ")
    assert " s of the " in text
    assert "hides" not in text


def test_a_loader_that_takes_longer_is_said_to() -> None:
    slow = start(path="streamer", loading="stream_after", connections=1, image_cached=True)
    assert "longer than the" in sentence(start(image_cached=True), slow, coefficients())


def test_where_the_interval_holds_zero_a_measurement_is_asked_for() -> None:
    known = Coefficients("aws", published_values()["aws"])
    text = sentence(cached(STREAMER), cached(FAST), known)
    assert "cannot be concluded from what is known" in text
    assert "loadbench compare --paths streamer,fast" in text


def test_a_sharding_job_pays_back_after_job_over_saving() -> None:
    known = coefficients()
    predictions = [predict(item, known) for item in (start(image_cached=True), cached(FAST))]
    (advice,) = advise(predictions, known)
    assert advice.break_even is not None
    expected = SURE["optimization_job_s"].median / advice.saved.median
    assert advice.break_even.median == pytest.approx(expected, rel=0.1)
    assert "sharding job pays back after" in advice.sentence


def test_no_job_no_break_even() -> None:
    known = coefficients()
    both = [start(image_cached=True), cached(STREAMER)]
    (advice,) = advise([predict(item, known) for item in both], known)
    assert advice.break_even is None


def test_each_instance_type_has_its_own_baseline() -> None:
    known = coefficients()
    starts = [
        start(path=path, loading=loading, instance_type=instance)
        for instance in ("ml.g5.2xlarge", "ml.g6.2xlarge")
        for path, loading in (("standard", "download"), ("streamer", "stream_after"))
    ]
    found = advise([predict(item, known) for item in starts], known)
    assert [(item.instance_type, item.path) for item in found] == [
        ("ml.g5.2xlarge", "streamer"),
        ("ml.g6.2xlarge", "streamer"),
    ]


def test_what_bounds_a_start_is_named() -> None:
    pull = bound_by(predict(STANDARD, coefficients({"provision_s": 5.0})))
    assert pull and pull.startswith("Image pull is ") and "at most" not in pull
    engine = bound_by(predict(start(image_cached=True), coefficients({"container_start_s": 900.0})))
    assert engine and "a loader saves at most" in engine
    weights = bound_by(predict(start(image_cached=True, weights_bytes=140e9), coefficients()))
    assert weights and weights.startswith("Loading weights is ")
    assert (
        bound_by(predict(start(image_cached=True, weights_bytes=1e9), coefficients({"provision_s": 20.0})))
        is None
    )
