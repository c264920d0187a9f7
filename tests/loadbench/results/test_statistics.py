"""The statistics against scipy, against simulation, and at their edges."""

from __future__ import annotations

import itertools
import math
import random

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from loadbench.results.statistics import (
    CONFIDENCE,
    outliers,
    paired_difference,
    paired_ratio,
    sign_flip_p,
    summarize,
    t_quantile,
    unpaired_ratio,
)

A = [632.0, 610.5, 655.2, 640.1, 628.4]
B = [450.1, 462.0, 447.3, 480.9, 455.5]
times_s = st.floats(min_value=0.01, max_value=5000)


@given(st.floats(0.01, 0.99), st.floats(1, 400))
def test_t_quantile_agrees_with_scipy(probability: float, freedom: float) -> None:
    assert t_quantile(probability, freedom) == pytest.approx(
        scipy.stats.t.ppf(probability, freedom), rel=1e-8, abs=1e-8
    )


def test_paired_interval_agrees_with_scipy() -> None:
    logs = [math.log(x / y) for x, y in zip(A, B, strict=True)]
    expected = scipy.stats.ttest_1samp(logs, 0).confidence_interval(CONFIDENCE)
    estimate = paired_ratio(A, B)
    assert estimate.ratio == pytest.approx(scipy.stats.gmean(A) / scipy.stats.gmean(B))
    assert (estimate.low, estimate.high) == pytest.approx((math.exp(expected.low), math.exp(expected.high)))


def test_unpaired_interval_agrees_with_scipys_welch() -> None:
    logs_a, logs_b = [math.log(x) for x in A], [math.log(y) for y in B[:3]]
    expected = scipy.stats.ttest_ind(logs_a, logs_b, equal_var=False).confidence_interval(CONFIDENCE)
    estimate = unpaired_ratio(A, B[:3])
    assert estimate.method == "welch"
    assert (estimate.low, estimate.high) == pytest.approx((math.exp(expected.low), math.exp(expected.high)))


def test_difference_interval_agrees_with_scipy() -> None:
    expected = scipy.stats.ttest_rel(B, A).confidence_interval(CONFIDENCE)
    assert paired_difference(A, B) == pytest.approx((expected.low, expected.high))


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=9))
def test_sign_flip_p_counts_every_pattern(differences: list[float]) -> None:
    patterns = itertools.product((1, -1), repeat=len(differences))
    observed = abs(sum(differences)) - 1e-12 * sum(map(abs, differences))
    sums = [sum(sign * value for sign, value in zip(signs, differences, strict=True)) for signs in patterns]
    expected = sum(abs(total) >= observed for total in sums) / len(sums)
    assert sign_flip_p(differences) == pytest.approx(expected)


def test_sign_flip_p_agrees_with_scipys_exact_permutation_test() -> None:
    differences = [0.31, -0.05, 0.22, 0.4, 0.18, 0.27, -0.11]
    expected = scipy.stats.permutation_test(
        (differences,), sum, permutation_type="samples", n_resamples=10_000, vectorized=False
    ).pvalue
    assert sign_flip_p(differences) == pytest.approx(expected)


def test_smallest_p_of_six_pairs_is_two_in_sixty_four() -> None:
    estimate = paired_ratio([1.2] * 6, [1.0, 1.01, 0.99, 1.02, 0.98, 1.0])
    assert estimate.sign_flip_p == estimate.smallest_sign_flip_p == pytest.approx(0.03125)


@pytest.mark.parametrize("pairs", [3, 5, 10])
def test_interval_covers_the_truth_95_times_in_100(pairs: int) -> None:
    """Simulated: log-normal noise of 8 % on each run, true ratio 1.3, 4,000 series."""
    draw = random.Random(pairs)
    series, covered = 4_000, 0
    for _ in range(series):
        b = [450 * draw.lognormvariate(0, 0.08) for _ in range(pairs)]
        a = [450 * 1.3 * draw.lognormvariate(0, 0.08) for _ in range(pairs)]
        estimate = paired_ratio(a, b)
        assert estimate.low is not None
        assert estimate.high is not None
        covered += estimate.low <= 1.3 <= estimate.high
    assert 0.93 <= covered / series <= 0.97


def test_two_identical_paths_are_rarely_found_different() -> None:
    """Simulated at six pairs: at least 94 of 100 series cannot tell."""
    draw = random.Random(94)
    series = 4_000
    undecided = sum(
        not paired_ratio(
            [draw.lognormvariate(0, 0.05) for _ in range(6)], [draw.lognormvariate(0, 0.05) for _ in range(6)]
        ).decides
        for _ in range(series)
    )
    assert undecided / series >= 0.94


def test_a_slowdown_of_a_fifth_is_seen_with_six_pairs() -> None:
    draw = random.Random(20)
    series = 500
    seen = 0
    for _ in range(series):
        standard = [30 * draw.lognormvariate(0, 0.05) for _ in range(6)]
        slowed = [30 * 1.2 * draw.lognormvariate(0, 0.05) for _ in range(6)]
        estimate = paired_ratio(standard, slowed)
        seen += estimate.decides and estimate.ratio < 1
    assert seen / series >= 0.98


@pytest.mark.parametrize("pairs", [3, 5, 10])
def test_detectable_ratio_is_found_four_times_in_five(pairs: int) -> None:
    """The true power at the stated difference, by the noncentral t, is 80 % within 5 points."""
    freedom = pairs - 1
    critical = t_quantile(0.975, freedom)
    noncentrality = critical + t_quantile(0.8, freedom)
    power = 1 - scipy.stats.nct.cdf(critical, freedom, noncentrality)
    assert power == pytest.approx(0.8, abs=0.05)
    spread = 0.1
    draw = [spread * (-1) ** index for index in range(pairs)]
    estimate = paired_ratio([math.exp(value) for value in draw], [1.0] * pairs)
    deviation = math.sqrt(sum((v - sum(draw) / pairs) ** 2 for v in draw) / freedom)
    assert estimate.detectable_ratio == pytest.approx(math.exp(noncentrality * deviation / math.sqrt(pairs)))


def test_one_pair_gives_a_figure_and_no_interval() -> None:
    estimate = paired_ratio([632.0], [450.09])
    assert estimate.ratio == pytest.approx(632.0 / 450.09)
    assert (estimate.method, estimate.low, estimate.sign_flip_p) == ("single", None, None)
    assert not estimate.decides


@given(st.lists(st.tuples(times_s, times_s), min_size=2, max_size=12))
def test_swapping_the_sides_inverts_the_ratio(pairs: list[tuple[float, float]]) -> None:
    a, b = [x for x, _ in pairs], [y for _, y in pairs]
    forth, back = paired_ratio(a, b), paired_ratio(b, a)
    assert forth.ratio * back.ratio == pytest.approx(1)
    assert forth.low is not None
    assert back.high is not None
    assert forth.low * back.high == pytest.approx(1, rel=1e-6)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_a_ratio_refuses_what_has_no_logarithm(bad: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        paired_ratio([bad, 1.0], [1.0, 1.0])


def test_no_percentile_below_ten_samples() -> None:
    nine, ten = summarize([float(n) for n in range(9)]), summarize([float(n) for n in range(10)])
    assert nine is not None
    assert nine.p90 is None
    assert ten is not None
    assert ten.p90 == pytest.approx(8.1)
    assert summarize([]) is None


def test_outliers_are_labelled_by_their_distance_from_the_median() -> None:
    assert outliers([10.0, 10.2, 9.9, 10.1, 25.0]) == [False, False, False, False, True]
    assert outliers([10.0, 10.0, 10.0, 10.0, 25.0]) == [False] * 5  # no spread to measure by
    assert outliers([1.0, 100.0]) == [False, False]
