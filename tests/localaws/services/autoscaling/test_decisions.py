"""What a policy wants, from what was measured."""

from __future__ import annotations

import pytest

from localaws.services.autoscaling.decisions import HIGH_PERIODS, LOW_PERIODS, stepped, tracked

STEPS = {
    "AdjustmentType": "ChangeInCapacity",
    "StepAdjustments": [
        {"MetricIntervalLowerBound": 0, "MetricIntervalUpperBound": 10, "ScalingAdjustment": 1},
        {"MetricIntervalLowerBound": 10, "ScalingAdjustment": 3},
    ],
}


def test_a_load_over_the_target_scales_out_to_what_the_target_needs() -> None:
    assert tracked([1, *[30.0] * HIGH_PERIODS], 2, 10) == 6


def test_one_quiet_period_keeps_the_alarm_silent() -> None:
    assert tracked([30.0, 30.0, 9.0], 2, 10) is None
    assert tracked([30.0] * (HIGH_PERIODS - 1), 2, 10) is None


def test_a_load_little_over_the_target_still_adds_one() -> None:
    assert tracked([10.1] * HIGH_PERIODS, 4, 10) == 5


def test_a_long_quiet_load_scales_in_and_a_short_one_does_not() -> None:
    assert tracked([2.0] * LOW_PERIODS, 4, 10) == 1
    assert tracked([2.0] * (LOW_PERIODS - 1), 4, 10) is None


def test_a_load_near_the_target_stays() -> None:
    assert tracked([9.5] * LOW_PERIODS, 4, 10) is None


def test_no_load_at_all_scales_to_zero_unless_scale_in_is_off() -> None:
    assert tracked([0.0] * LOW_PERIODS, 3, 10) == 0
    assert tracked([0.0] * LOW_PERIODS, 3, 10, scale_in=False) is None


def test_nothing_that_serves_has_no_load_to_track() -> None:
    assert tracked([0.0] * LOW_PERIODS, 0, 10) is None


@pytest.mark.parametrize(("breach", "wanted"), [(0, 3), (9.9, 3), (10, 5), (500, 5), (-1, None)])
def test_the_step_that_holds_the_breach_counts(breach: float, wanted: int | None) -> None:
    assert stepped(2, breach, STEPS) == wanted


def test_steps_may_name_the_count_or_a_percentage() -> None:
    exact = {"AdjustmentType": "ExactCapacity", "StepAdjustments": [{"ScalingAdjustment": 1}]}
    percent = {
        "AdjustmentType": "PercentChangeInCapacity",
        "MinAdjustmentMagnitude": 2,
        "StepAdjustments": [{"ScalingAdjustment": 10}],
    }
    assert stepped(0, 1, exact) == 1
    assert stepped(4, 1, percent) == 6
