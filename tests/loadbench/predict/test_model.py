"""Predictions: physics with known answers, what records teach, and what is said of the unknown."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from loadbench.predict.coefficients import published_values
from loadbench.predict.extrapolation import unfamiliar
from loadbench.predict.learn import known_starts, learn
from loadbench.predict.model import Prediction, predict
from loadbench.predict.physics import shared_intake
from loadbench.predict.shrinkage import Spread, next_value, of_group, published
from loadbench.predict.start import size_from_name, spec_of_record
from tests.loadbench.predict.starts import local_record, start

AWS = learn([], "aws")


def seconds(prediction: Prediction, name: str, kind: str = "own") -> float:
    return next((getattr(phase, kind).median for phase in prediction.phases if phase.name == name), 0.0)


@pytest.mark.parametrize(
    ("pull_rate", "load_rate", "expected"),
    [
        (50.0, 50.0, (2.0, 4.0)),  # both fit: neither is slowed down
        (100.0, 400.0, (2.0, 3.0)),  # 100 each while both run (a pull of 100 at 50), then the rest at 200
    ],
)
def test_two_flows_share_what_an_instance_takes_in(
    pull_rate: float, load_rate: float, expected: tuple[float, float]
) -> None:
    arrays = [np.array([value]) for value in (100.0, pull_rate, 200.0, load_rate, 200.0, 2.0)]
    if pull_rate == 100.0:
        arrays[2] = np.array([400.0])
    pull_s, load_s = shared_intake(*arrays)
    assert (float(pull_s[0]), float(load_s[0])) == pytest.approx(expected)


def test_phases_add_up_to_the_total_in_every_draw() -> None:
    for changes in (
        {},
        {"loading": "stream_ahead", "path": "fast"},
        {"loading": "stream_after"},
        {"loading": "hub"},
    ):
        prediction = predict(start(**changes), AWS)
        assert np.allclose(sum(prediction.own_draws_s.values()), prediction.draws_s)
        assert prediction.total.low < prediction.total.median < prediction.total.high


def test_the_longer_of_pull_and_download_owns_the_time_that_both_take() -> None:
    cold = predict(start(), AWS)
    assert seconds(cold, "image_pull") > 0
    assert seconds(cold, "artifact_download") == 0
    assert seconds(cold, "artifact_download", "busy") > 60
    owned = cold.own_draws_s["image_pull"] + cold.own_draws_s["artifact_download"]
    longer = np.maximum(cold.busy_draws_s["image_pull"], cold.busy_draws_s["artifact_download"])
    assert np.allclose(owned, longer)
    cached = predict(start(image_cached=True), AWS)
    assert seconds(cached, "image_pull") == 0
    assert seconds(cached, "artifact_download") > 60


def test_a_stream_hides_behind_the_start_only_as_long_as_that_takes() -> None:
    short = predict(start(loading="stream_ahead", connections=64), AWS)
    assert seconds(short, "weights_stream") == 0 < seconds(short, "weights_stream", "busy")
    long = predict(start(loading="stream_ahead", connections=64, weights_bytes=140e9), AWS)
    assert seconds(long, "weights_stream") == pytest.approx(seconds(long, "weights_stream", "busy"), rel=0.01)
    assert seconds(long, "container_start") < seconds(short, "container_start")


def test_four_connections_are_narrower_than_the_network() -> None:
    few = predict(start(loading="stream_after", connections=4), AWS)
    expected_s = 16.06e9 / (4 * published_values()["aws"]["connection_bytes_per_s"].median)
    assert seconds(few, "weights_stream") == pytest.approx(expected_s, rel=0.03)


def test_without_a_measurement_the_next_value_has_the_published_range() -> None:
    belief = published(100, 50, 200)
    assert math.exp(belief.centre - 1.645 * belief.scale) == pytest.approx(50, rel=0.01)
    assert next_value(belief, 0.1, []).centre == belief.centre


def test_measurements_move_a_value_from_published_to_own() -> None:
    belief = published(100, 50, 200)
    centres = [math.exp(next_value(belief, 0.1, [math.log(30)] * count).centre) for count in (0, 1, 3, 30)]
    assert centres[0] == pytest.approx(100)
    assert centres == sorted(centres, reverse=True)
    assert centres[-1] == pytest.approx(30, rel=0.02)
    assert next_value(belief, 0.1, [math.log(30)] * 30).scale < next_value(belief, 0.1, []).scale


def test_a_group_without_measurements_has_a_wider_interval_than_its_neighbours() -> None:
    groups = {name: [math.log(value)] * 5 for name, value in (("a", 10.0), ("b", 12.0), ("c", 11.0))}
    belief, spread = published(15, 8, 30), Spread(between=0.3, within=0.05)
    known, unknown = (of_group(belief, spread, groups, name) for name in ("a", "d"))
    assert math.exp(unknown.centre) == pytest.approx(11.0, rel=0.3)
    assert unknown.scale > 2 * known.scale


def test_a_groups_own_measurements_count_once() -> None:
    belief, spread = published(100, 99, 101), Spread(between=0.3, within=0.3)
    alone = of_group(belief, spread, {"a": [math.log(50)]}, "a")
    assert alone == next_value(belief, spread.within, [math.log(50)])


def test_records_of_the_embedded_aws_do_not_teach_anything_about_aws() -> None:
    records = [local_record(number) for number in range(5)]
    assert learn(records, "aws").fitted.records == 0
    assert learn(records, "local").fitted.records == 5
    with pytest.raises(ValueError, match="coefficients of local"):
        predict(start(), learn(records, "local"))


def test_a_repeated_start_is_predicted_from_its_own_records() -> None:
    records = [local_record(number, container_s=20 + number % 3) for number in range(12)]
    spec = spec_of_record(records[0])
    assert spec is not None
    prediction = predict(spec, learn(records, "local"))
    assert prediction.total.median == pytest.approx(records[1].time_to_ready_s, rel=0.03)
    assert prediction.notes == ()
    assert prediction.emulated


def test_failed_interrupted_and_unreliable_starts_teach_nothing() -> None:
    bad = [
        local_record(1, status="failed"),
        local_record(2, clock_problem="the clock was set"),
        local_record(3, cache="warm"),
        local_record(4).model_copy(
            update={"spans": [], "model": local_record(4).model.model_copy(update={"size_bytes": None})}
        ),
    ]
    assert known_starts(bad, "local") == []


def test_what_was_never_measured_is_named_and_widens_the_interval() -> None:
    records = [local_record(number) for number in range(6)]
    coefficients = learn(records, "local")
    spec = spec_of_record(records[0])
    assert spec is not None
    larger = start(
        population="local",
        weights_bytes=20 * spec.weights_bytes,
        engine=spec.engine,
        network_bytes_per_s=40e6,
    )
    prediction = predict(larger, coefficients)
    assert any("outside the fitted" in note for note in prediction.notes)
    _, extra = unfamiliar(larger, coefficients)
    _, more = unfamiliar(replace(larger, weights_bytes=10 * larger.weights_bytes), coefficients)
    assert 0.3 < extra < more
    known = predict(spec, coefficients)
    assert prediction.total.high / prediction.total.low > known.total.high / known.total.low


def test_every_published_figure_has_a_source_a_date_and_an_order() -> None:
    for values in published_values().values():
        for value in values.values():
            assert value.low <= value.median <= value.high
            assert len(value.source) > 10


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", 16e9),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", 270e6),
        ("Qwen/Qwen1.5-0.5B", 1e9),
        ("somebody/a-model", None),
        ("bigscience/7bit-something", None),
    ],
)
def test_the_size_is_read_from_a_models_name(name: str, expected: float | None) -> None:
    assert size_from_name(name) == expected
