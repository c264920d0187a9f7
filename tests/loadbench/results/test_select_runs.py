"""Recorded runs and comparisons compared later, and the limit for CI."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from loadbench.errors import RunError, UsageError
from loadbench.results import formatting
from loadbench.results.ci_gate import check_limit
from loadbench.results.commands import (
    compare_each,
    latest_comparison_id,
    require_not_slower,
    require_success,
    show,
)
from loadbench.results.comparison.compare import compare
from loadbench.results.comparison.model import load_comparison
from loadbench.results.reports import write_reports
from loadbench.results.run_record import record_file, save_record
from loadbench.results.select_runs import comparison_folder, recorded_runs
from tests.loadbench.results.builders import EPOCH_S, make_pairs, make_record


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two runs of each path, the second pair slower, and a comparison of the first."""
    tmp_path = tmp_path / "results"
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


def sides(results: Path, names: list[str], baseline: list[str] | None = None) -> dict[str, tuple[str, str]]:
    """What is compared with what, and the first run of each side."""
    made = compare_each(recorded_runs(results, names), results, baseline=baseline or [])
    return {
        f"{part.a.label} / {part.b.label}": (part.a.runs[0].run_id, part.b.runs[0].run_id)
        for item in made
        for part in item.parts
    }


def test_two_paths_are_compared_with_each_other(results: Path) -> None:
    assert sides(results, [FAST, STANDARD]) == {"standard / fast": (STANDARD, FAST)}


def test_each_of_three_paths_is_compared_with_the_first(results: Path) -> None:
    streamer = save_record(results, make_record("streamer", ready_s=500)).parent.name
    assert sides(results, [streamer, FAST, STANDARD]) == {
        "standard / fast": (STANDARD, FAST),
        "standard / streamer": (STANDARD, streamer),
    }


def test_the_order_that_is_asked_for_says_which_path_is_the_first(results: Path) -> None:
    made = compare_each(recorded_runs(results, [STANDARD, FAST]), results, order=["fast", "standard"])
    assert [(item.a.label, item.b.label) for item in made] == [("fast", "standard")]


def test_the_first_of_several_runs_of_one_path_is_the_baseline(results: Path) -> None:
    assert sides(results, [FAST, FAST_LATER]) == {"fast (baseline) / fast": (FAST, FAST_LATER)}


def test_each_path_is_compared_with_the_same_path_of_the_baseline(results: Path) -> None:
    found = sides(results, [STANDARD_LATER, FAST_LATER], [STANDARD, FAST])
    assert found == {
        "standard (baseline) / standard": (STANDARD, STANDARD_LATER),
        "fast (baseline) / fast": (FAST, FAST_LATER),
    }


def test_a_baseline_of_another_path_is_compared_across(results: Path) -> None:
    assert sides(results, [FAST], [STANDARD]) == {"standard / fast": (STANDARD, FAST)}


def test_a_comparison_stands_for_its_runs_by_id_folder_or_file(results: Path) -> None:
    comparison_id = latest_comparison_id(results)
    folder = comparison_folder(results, comparison_id)
    for name in (comparison_id, folder.name, str(folder), str(folder / "comparison.json")):
        assert sides(results, [name]) == {"standard / fast": (STANDARD, FAST)}


def test_a_run_is_found_by_its_folder_and_file_too(results: Path) -> None:
    file = record_file(results, FAST)
    for name in (str(file), str(file.parent)):
        assert sides(results, [STANDARD, name]) == {"standard / fast": (STANDARD, FAST)}


@pytest.mark.parametrize("name", ["nothing", "", "..", "/"])
def test_an_unknown_name_is_refused(results: Path, name: str) -> None:
    with pytest.raises(UsageError, match="no run or comparison named"):
        recorded_runs(results, [name])


def test_a_baseline_run_that_is_named_twice_is_not_compared_with_itself(results: Path) -> None:
    assert sides(results, [FAST, FAST_LATER], [FAST]) == {"fast (baseline) / fast": (FAST, FAST_LATER)}


def test_runs_that_are_all_in_the_baseline_are_refused(results: Path) -> None:
    with pytest.raises(UsageError, match="belong to the baseline"):
        sides(results, [FAST], [STANDARD, FAST])


def test_three_methods_are_one_comparison_with_one_report(results: Path) -> None:
    streamer = save_record(results, make_record("streamer", ready_s=500)).parent.name
    (comparison,) = compare_each(recorded_runs(results, [STANDARD, FAST, streamer]), results)
    assert [side.label for side in comparison.sides] == ["standard", "fast", "streamer"]
    folder = comparison_folder(results, comparison.comparison_id)
    assert load_comparison(folder) == comparison
    (line,) = [
        line for line in (folder / "comparison.txt").read_text().splitlines() if "cold start  " in line
    ]
    assert line.split() == ["cold", "start", "632.0", "s", "450.0", "s", "500.0", "s"]


def test_a_run_that_was_not_made_now_is_named_with_its_age_in_every_format(results: Path) -> None:
    runs = recorded_runs(results, [STANDARD, FAST])
    (comparison,) = compare_each(runs, results, reused={FAST})
    folder = comparison_folder(results, comparison.comparison_id)
    for name in ("comparison.txt", "comparison.md", "report.html"):
        shown = (folder / name).read_text(encoding="utf-8").replace("\n", " ")
        assert f"Reused fast run {FAST}" in shown.replace("\\", ""), name
        assert "days old" in shown, name
    rows = csv.DictReader((folder / "raw.csv").open(encoding="utf-8"))
    assert {row["run_id"]: row["reused"] for row in rows} == {STANDARD: "0", FAST: "1"}


def test_a_method_without_a_successful_run_fails_the_command(results: Path) -> None:
    failed = save_record(results, make_record("fast", number=9, status="failed")).parent.name
    (comparison,) = compare_each(recorded_runs(results, [STANDARD, failed]), results)
    with pytest.raises(RunError, match="No run of fast succeeded"):
        require_success(comparison)


def test_commands_in_sentences_are_those_of_the_folder(results: Path) -> None:
    (comparison,) = compare_each(recorded_runs(results, [STANDARD, FAST]), results)
    assert comparison.verdict.next_command == "loadbench compare --pairs 5"
    (results.parent / "Makefile").touch()
    (comparison,) = compare_each(recorded_runs(results, [STANDARD, FAST]), results)
    assert comparison.verdict.next_command == "make compare PAIRS=5"


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
    assert "cold start" in shown
    assert "--all" in shown
    assert str(comparison_folder(results, comparison_id) / "report.html") in shown


def test_no_comparison_yet_is_said_with_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        latest_comparison_id(tmp_path)
    assert "make compare" in caught.value.remedy


def test_being_slower_than_allowed_ends_with_an_error_in_the_tables_own_ratio() -> None:
    slower = compare(make_pairs([1 / ratio for ratio in (1.19, 1.21, 1.2, 1.22, 1.2)]), created_s=EPOCH_S)
    require_not_slower(slower, 1.25)
    assert slower.estimate is not None
    ratio = formatting.times(slower.estimate.ratio)
    with pytest.raises(RunError, match=f"standard ÷ fast {ratio}.*below ×0.95"):
        require_not_slower(slower, 1.05)


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


def test_one_run_of_each_decides_nothing() -> None:
    comparison = compare([make_record(ready_s=100), make_record("fast", ready_s=900)], created_s=EPOCH_S)
    with pytest.raises(UsageError, match="needs an interval") as caught:
        check_limit(comparison, 1.05)
    assert "--pairs" in caught.value.remedy


def test_a_gate_that_cannot_see_stays_shut() -> None:
    comparison = compare([make_record(), make_record("fast", status="failed")], created_s=EPOCH_S)
    assert check_limit(comparison, 1.05).failed


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan")])
def test_a_limit_that_makes_no_sense_is_refused(limit: float) -> None:
    comparison = compare([make_record(), make_record("fast")], created_s=EPOCH_S)
    with pytest.raises(UsageError, match="not above 0"):
        check_limit(comparison, limit)
