"""Traffic comes at the rates that were asked for, and a trace that is none names its line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from loadbench.errors import UsageError
from loadbench.what_if.distributions import parse_distribution
from loadbench.what_if.traffic import bursts, constant, read_trace


def test_bursts_end_each_interval_and_have_their_rate() -> None:
    traffic = bursts(1.0, 10.0, 600.0, 3600.0, 7200.0)
    assert traffic.expected_requests == 2 * (3000 + 6000)
    times_s = traffic.times(np.random.default_rng(3), "poisson")
    in_burst = times_s[(times_s >= 3000) & (times_s < 3600)]
    assert abs(len(in_burst) - 6000) < 4 * 6000**0.5
    assert abs(len(times_s[times_s < 3000]) - 3000) < 4 * 3000**0.5
    assert (np.diff(times_s) >= 0).all()


def test_even_arrivals_are_as_many_as_expected_and_evenly_apart() -> None:
    times_s = constant(2.0, 100.0).times(np.random.default_rng(0), "even")
    assert len(times_s) == 200
    assert np.diff(times_s) == pytest.approx(0.5)


def test_the_gaps_of_poisson_arrivals_vary_as_much_as_their_mean() -> None:
    gaps_s = np.diff(constant(1.0, 20_000.0).times(np.random.default_rng(7), "poisson"))
    assert gaps_s.std() == pytest.approx(gaps_s.mean(), rel=0.05)


def test_a_trace_of_times_is_replayed_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "trace.csv"
    file.write_text("time_s\n0.5\n1.5\n9\n")
    traffic = read_trace(file)
    assert traffic.times(np.random.default_rng(0), "poisson").tolist() == [0.5, 1.5, 9.0]
    assert traffic.duration_s == 10.0
    assert read_trace(file, 5.0).expected_requests == 2


def test_a_trace_of_rates_holds_each_until_the_next(tmp_path: Path) -> None:
    file = tmp_path / "trace.csv"
    file.write_text("time_s,requests_per_s\n100,2\n200,0\n")
    traffic = read_trace(file)
    assert traffic.duration_s == 300.0
    times_s = traffic.times(np.random.default_rng(0), "even")
    assert len(times_s) == 200
    assert times_s.min() > 100
    assert times_s.max() < 200


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1"),
        ("when\n1\n", "line 1"),
        ("time_s\n", "no row"),
        ("time_s\n1\nsoon\n", "line 3"),
        ("time_s\n5\n4\n", "line 3"),
        ("time_s,requests_per_s\n1\n", "line 2"),
        ("time_s\nnan\n", "line 2"),
        ("time_s\n-1\n", "line 2"),
    ],
)
def test_what_is_no_trace_is_refused_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "trace.csv"
    file.write_text(text)
    with pytest.raises(UsageError, match=words):
        read_trace(file)


def test_a_trace_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.csv"):
        read_trace(tmp_path / "none.csv")


def test_more_requests_than_the_memory_takes_are_refused() -> None:
    with pytest.raises(UsageError, match="requests exceed"):
        constant(1e5, 86_400.0).times(np.random.default_rng(0), "poisson")


@pytest.mark.parametrize(
    ("text", "mean_s", "deviation_s"),
    [
        ("95", 95, 0),
        ("90,110", 100, 14.1421),
        ("constant:5", 5, 0),
        ("exponential:3", 3, 3),
        ("lognormal:600,60", 600, 60),
    ],
)
def test_draws_have_the_mean_and_deviation_that_are_said(
    text: str, mean_s: float, deviation_s: float
) -> None:
    distribution = parse_distribution(text)
    assert (distribution.mean_s, distribution.deviation_s) == pytest.approx((mean_s, deviation_s), rel=1e-4)
    draws_s = distribution.draw(np.random.default_rng(1), 100_000)
    assert draws_s.mean() == pytest.approx(mean_s, rel=0.02)
    if text == "90,110":
        assert set(draws_s) == {90.0, 110.0}
    else:
        assert draws_s.std() == pytest.approx(deviation_s, rel=0.03, abs=1e-9)


@pytest.mark.parametrize(
    "text", ["", "soon", "normal:1,2", "exponential:0", "-1", "lognormal:5", "nan", "1e99"]
)
def test_what_is_no_distribution_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a valid distribution"):
        parse_distribution(text)
