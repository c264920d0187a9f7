"""Recorded runs and comparisons compared later, and the limit for CI."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadbench.errors import RunError, UsageError
from loadbench.results.ci_gate import check_limit
from loadbench.results.commands import compare_each, latest_comparison_id, require_not_slower, show
from loadbench.results.comparison.compare import compare
from loadbench.results.reports import write_reports
from loadbench.results.run_record import record_file, save_record
from loadbench.results.select_runs import comparison_folder, recorded_runs
from tests.loadbench.results.builders import EPOCH_S, make_pairs, make_record


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two runs of each path, the second pair slower, and a comparison of the first."""
    runs = [
        make_record("standard"),
        make_record("fast", ready_s=450),
        make_record("standard", ready_s=700, number=1),
        make_record("fast", ready_s=500, number=1),
    ]
    for record in runs:
        save_record(tmp_path, record)
    comparison = compare(runs[:2], created_s=EPOCH_S)
    write_reports(comparison, comparison_folder(tmp_path, comparison.comparison_id))
    return tmp_path


STANDARD, FAST = "20251123-000000-standard-0000", "20251123-000000-fast-0000"
STANDARD_LATER, FAST_LATER = "20251123-000001-standard-0001", "20251123-000001-fast-0001"


def ratios(results: Path, names: list[str], baseline: list[str] | None = None) -> dict[str, float]:
    made = compare_each(recorded_runs(results, names), results, baseline=baseline or [])
    return {f"{item.a.label} / {item.b.label}": item.estimate.ratio for item in made if item.estimate}


def test_two_paths_are_compared_with_each_other(results: Path) -> None:
    assert ratios(results, [FAST, STANDARD]) == {"standard / fast": pytest.approx(632 / 450)}


def test_each_of_three_paths_is_compared_with_the_first(results: Path) -> None:
    streamer = save_record(results, make_record("streamer", ready_s=500)).parent.name
    assert ratios(results, [streamer, FAST, STANDARD]) == {
        "standard / fast": pytest.approx(632 / 450),
        "standard / streamer": pytest.approx(632 / 500),
    }


def test_the_order_that_is_asked_for_says_which_path_is_the_first(results: Path) -> None:
    made = compare_each(recorded_runs(results, [STANDARD, FAST]), results, order=["fast", "standard"])
    assert [(item.a.label, item.b.label) for item in made] == [("fast", "standard")]


def test_the_first_of_several_runs_of_one_path_is_the_baseline(results: Path) -> None:
    assert ratios(results, [FAST, FAST_LATER]) == {"fast (baseline) / fast": pytest.approx(450 / 500)}


def test_each_path_is_compared_with_the_same_path_of_the_baseline(results: Path) -> None:
    found = ratios(results, [STANDARD_LATER, FAST_LATER], [STANDARD, FAST])
    assert found == {
        "standard (baseline) / standard": pytest.approx(632 / 700),
        "fast (baseline) / fast": pytest.approx(450 / 500),
    }


def test_a_baseline_of_another_path_is_compared_across(results: Path) -> None:
    assert ratios(results, [FAST], [STANDARD]) == {"standard / fast": pytest.approx(632 / 450)}


def test_a_comparison_stands_for_its_runs_by_id_folder_or_file(results: Path) -> None:
    comparison_id = latest_comparison_id(results)
    folder = comparison_folder(results, comparison_id)
    for name in (comparison_id, folder.name, str(folder), str(folder / "comparison.json")):
        assert ratios(results, [name]) == {"standard / fast": pytest.approx(632 / 450)}


def test_a_run_is_found_by_its_folder_and_file_too(results: Path) -> None:
    file = record_file(results, FAST)
    for name in (str(file), str(file.parent)):
        assert ratios(results, [STANDARD, name]) == {"standard / fast": pytest.approx(632 / 450)}


@pytest.mark.parametrize("name", ["nothing", "", "..", "/"])
def test_an_unknown_name_is_refused(results: Path, name: str) -> None:
    with pytest.raises(UsageError, match="no run and no comparison is called"):
        recorded_runs(results, [name])


def test_a_baseline_run_that_is_named_twice_is_not_compared_with_itself(results: Path) -> None:
    assert ratios(results, [FAST, FAST_LATER], [FAST]) == {"fast (baseline) / fast": pytest.approx(0.9)}


def test_runs_that_are_all_in_the_baseline_are_refused(results: Path) -> None:
    with pytest.raises(UsageError, match="part of the baseline"):
        ratios(results, [FAST], [STANDARD, FAST])


def test_each_comparison_gets_a_report_of_its_own(results: Path) -> None:
    runs = recorded_runs(results, [STANDARD_LATER, FAST_LATER])
    comparisons = compare_each(runs, results, baseline=[STANDARD, FAST])
    assert len({comparison.comparison_id for comparison in comparisons}) == 2
    for comparison in comparisons:
        assert (comparison_folder(results, comparison.comparison_id) / "report.html").is_file()


def test_a_saved_comparison_is_shown_with_where_its_page_is(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    comparison_id = latest_comparison_id(results)
    show(results, comparison_id)
    shown = capsys.readouterr().out
    assert "time to in service" in shown
    assert str(comparison_folder(results, comparison_id) / "report.html") in shown


def test_no_comparison_yet_is_said_with_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        latest_comparison_id(tmp_path)
    assert "make compare" in caught.value.remedy


def test_being_slower_than_allowed_ends_with_an_error_and_being_within_does_not(results: Path) -> None:
    (comparison,) = compare_each(recorded_runs(results, [FAST, FAST_LATER]), results)
    require_not_slower(comparison, 1.2)
    with pytest.raises(RunError, match=r"slower than the limit ×1\.05"):
        require_not_slower(comparison, 1.05)


def gate(ratio_now_over_before: list[float], limit: float) -> bool:
    comparison = compare(make_pairs([1 / ratio for ratio in ratio_now_over_before]), created_s=EPOCH_S)
    return check_limit(comparison, limit).failed


def test_the_limit_fails_when_the_whole_interval_is_above_it() -> None:
    slower = [1.19, 1.21, 1.2, 1.22, 1.2]
    assert gate(slower, 1.05)
    assert not gate(slower, 1.25)
    assert not gate(slower, 1.20)  # the interval reaches below: not shown to be slower than that


def test_noise_alone_does_not_fail_the_limit() -> None:
    assert not gate([1.5, 0.8, 1.2, 0.9], 1.05)


def test_one_run_of_each_is_judged_by_its_figure_and_says_so() -> None:
    comparison = compare([make_record(ready_s=100), make_record("fast", ready_s=110)], created_s=EPOCH_S)
    assert check_limit(comparison, 1.05).failed
    assert not check_limit(comparison, 1.15).failed
    assert "no interval" in check_limit(comparison, 1.05).sentence


def test_a_gate_that_cannot_see_stays_shut() -> None:
    comparison = compare([make_record(), make_record("fast", status="failed")], created_s=EPOCH_S)
    assert check_limit(comparison, 1.05).failed


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan")])
def test_a_limit_that_makes_no_sense_is_refused(limit: float) -> None:
    comparison = compare([make_record(), make_record("fast")], created_s=EPOCH_S)
    with pytest.raises(UsageError, match="not above 0"):
        check_limit(comparison, limit)
