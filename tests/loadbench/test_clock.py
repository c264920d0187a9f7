"""Durations do not follow a clock that somebody sets, and a run during which it was set is known."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from loadbench.clock import SteadyClock, service_clock_problem
from loadbench.results.comparison.compare import compare
from loadbench.results.run_summary import point_of
from tests.loadbench.results.builders import make_record


@dataclass
class Machine:
    """A time of day and a monotonic clock."""

    wall_s: float = 1_800_000_000.0
    monotonic_s: float = 5000.0

    def passes(self, seconds: float, *, slews: float = 0.0) -> None:
        self.wall_s += seconds + slews
        self.monotonic_s += seconds

    def clock(self) -> SteadyClock:
        return SteadyClock(lambda: self.wall_s, lambda: self.monotonic_s)


@pytest.mark.parametrize("step_s", [600.0, -600.0, 10_800.0, 1.5, -1.5])
def test_a_step_changes_no_duration_and_is_a_problem(step_s: float) -> None:
    machine = Machine()
    clock = machine.clock()
    start_s = clock()
    assert start_s == machine.wall_s
    machine.passes(7.0)
    machine.wall_s += step_s
    assert clock() - start_s == pytest.approx(7.0)
    problem = clock.problem()
    assert problem is not None
    assert f"{step_s:+.1f} s" in problem


def test_a_machine_that_slept_is_a_problem() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.passes(7.0)
    machine.wall_s += 3600.0  # the monotonic clock stands still meanwhile
    assert clock.problem() is not None


@pytest.mark.parametrize(("seconds", "slews"), [(10.0, 0.005), (3600.0, 1.8), (36_000.0, -18.0), (0.0, 0.0)])
def test_what_a_time_service_slews_is_none(seconds: float, slews: float) -> None:
    machine = Machine()
    clock = machine.clock()
    machine.passes(seconds, slews=slews)
    assert clock.problem() is None


@pytest.mark.parametrize(
    ("service_s", "waited_s", "is_problem"),
    [
        (607.0, 12.0, True),
        (-593.0, 12.0, True),
        (10_803.0, 12.0, True),
        (11.5, 12.0, False),
        (12.9, 12.0, False),
        (None, 12.0, False),
        (5.0, None, False),
    ],
)
def test_a_service_cannot_have_taken_longer_than_one_waited_for_it(
    service_s: float | None, waited_s: float | None, is_problem: bool
) -> None:
    assert (service_clock_problem(service_s, waited_s) is not None) == is_problem


def test_a_run_with_an_unreliable_clock_gives_no_verdict() -> None:
    a, b = make_record("standard"), make_record("fast")
    assert point_of(a).usable
    a.clock_problem = "the clock was set by +600.0 s during the run"
    point = point_of(a)
    assert not point.usable
    comparison = compare([a, b], created_s=0.0)
    assert comparison.a.usable == []
    assert any("set by +600.0 s" in warning for warning in comparison.warnings)
