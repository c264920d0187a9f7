"""`loadbench what-if` as it is typed: records or given values, every format, all mistakes at once."""

from __future__ import annotations

import csv
import io
import json
import random
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from loadbench.cli import cli
from loadbench.errors import UsageError
from loadbench.results.run_record import save_record
from tests.loadbench.results.builders import make_record

GIVEN = ("--rate", "0.5", "--hours", "0.5", "--cold-start", "standard=632", "--cold-start", "fast=450,500")
REQUEST = ("--request-seconds", "2")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def what_if(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["what-if", *arguments])


def refused(*arguments: str) -> UsageError:
    result = what_if(*arguments)
    assert isinstance(result.exception, UsageError), result.output
    return result.exception


def test_the_methods_stand_side_by_side_in_every_format() -> None:
    shown = what_if(*GIVEN, *REQUEST, "--usd-per-hour", "1.5")
    assert shown.exit_code == 0, shown.output
    assert "standard" in shown.output
    assert "$36.00" in shown.output
    rows = list(csv.reader(io.StringIO(what_if(*GIVEN, *REQUEST, "--format", "csv").output)))
    assert rows[0] == ["", "standard", "fast"]
    assert {len(row) for row in rows} == {3}
    assert "| --- | --- | --- |" in what_if(*GIVEN, *REQUEST, "--format", "md").output
    document = json.loads(what_if(*GIVEN, *REQUEST, "--format", "json").output)
    assert [outcome["load_path"] for outcome in document["outcomes"]] == ["standard", "fast"]


def test_the_same_command_gives_the_same_answer() -> None:
    assert what_if(*GIVEN, *REQUEST).output == what_if(*GIVEN, *REQUEST).output
    assert what_if(*GIVEN, *REQUEST).output != what_if(*GIVEN, *REQUEST, "--seed", "1").output


def test_chart_and_export_are_written(folder: Path) -> None:
    done = what_if(*GIVEN, *REQUEST, "--chart", "c.svg", "--export", "d.json")
    assert done.exit_code == 0, done.output
    assert (folder / "c.svg").read_text().startswith("<svg")
    fast = json.loads((folder / "d.json").read_text())[1]
    assert fast["loading_delay_mean_s"] == 475.0
    assert fast["loading_delay_std_s"] == pytest.approx(35.355, rel=1e-4)


def test_the_smallest_minimum_of_copies_is_shown() -> None:
    shown = what_if(*GIVEN, *REQUEST, "--target-p99-wait-seconds", "5", "--format", "json")
    needed = json.loads(shown.output)["needed"]
    assert [item["outcome"]["min_copies"] for item in needed] == [2, 2]


def test_recorded_runs_are_taken_where_nothing_is_said(folder: Path) -> None:
    draw = random.Random(0)
    for number in range(3):
        for path, seconds in (("standard", 600.0), ("fast", 400.0)):
            record = make_record(path, ready_s=seconds + draw.random(), number=number)
            save_record(folder / "results", record)
    document = json.loads(what_if("--rate", "0.01", "--format", "json").output)
    standard, fast = document["outcomes"]
    assert 600 < standard["cold_start"]["mean_s"] < 601
    assert 400 < fast["cold_start"]["mean_s"] < 401
    assert standard["cold_start"]["source"] == "3 recorded cold starts"
    assert standard["usd_per_day"]["value"] > 0
    only = json.loads(what_if("--rate", "0.01", "--paths", "fast", "--format", "json").output)
    assert [outcome["load_path"] for outcome in only["outcomes"]] == ["fast"]


def test_without_records_it_says_what_to_give() -> None:
    error = refused("--rate", "1")
    assert "no recorded run" in error.message
    assert "--cold-start" in error.remedy


def test_three_mistakes_are_three_sentences() -> None:
    error = refused(
        *("--cold-start", "standard=soon", "--request-seconds", "normal:1", "--scaling", "target-tracking")
    )
    assert "'soon'" in error.message
    assert "'normal:1'" in error.message
    assert "requires --target-value" in error.message
    assert "no traffic is given" in error.message


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--min-copies", "5", "--max-copies", "2"), "maximum of 2 copies is below the minimum of 5"),
        (("--min-copies", "0"), "every request fails"),
        (("--scaling", "step"), "require each other"),
        (("--step", "3:+1"), "require each other"),
        (("--scaling", "step", "--step", "3:1"), "not of the form VALUE:CHANGE"),
        (
            ("--burst-rate", "3", "--burst-seconds", "900", "--burst-every-seconds", "60"),
            "is longer than its interval",
        ),
        (("--trace", "t.csv"), "cannot be combined"),
        (("--cold-start", "standard=3"), "is given twice"),
        (("--cold-start", "3"), "has no name"),
    ],
)
def test_what_does_not_fit_is_refused(arguments: tuple[str, ...], words: str) -> None:
    assert words in refused(*GIVEN, *REQUEST, *arguments).message


def test_a_method_that_does_not_exist_is_refused() -> None:
    assert "unknown loading method" in what_if("--rate", "1", "--paths", "quick").output


CONFIG = str(Path(__file__).resolve().parents[3] / "config.aws.yaml")


def test_predicted_cold_starts_are_those_of_predict() -> None:
    model = "meta-llama/Llama-3.1-8B-Instruct"
    options = ("--config", CONFIG, "--target", "aws", "--model", model, "--paths", "standard,fast")
    shown = what_if("--rate", "0.02", "--hours", "1", "--predicted", *options, *REQUEST, "--format", "json")
    assert shown.exit_code == 0, shown.output
    document = json.loads(shown.output)
    predicted = CliRunner().invoke(cli, ["predict", *options, "--json"])
    medians_s = [item["total_s"]["median"] for item in json.loads(predicted.output)["predictions"]]
    for outcome, median_s in zip(document["outcomes"], medians_s, strict=True):
        values_s = outcome["cold_start"]["values_s"]
        assert sorted(values_s)[len(values_s) // 2] == pytest.approx(median_s, rel=0.02)
    assert "predicted cold starts on AWS" in document["notice"]


@pytest.mark.parametrize("option", [("--image-cached",), ("--target", "aws"), ("--set", "benchmark.pairs=3")])
def test_an_option_of_a_prediction_is_refused_without_one(option: tuple[str, ...]) -> None:
    error = refused("--rate", "1", "--cold-start", "9", *REQUEST, *option)
    assert error.message == f"{option[0]} has no effect without --predicted"


def test_predicted_cold_starts_exclude_recorded_and_given_ones() -> None:
    assert "cannot be combined" in refused("--rate", "1", "--predicted", "--cold-start", "9").message


def test_a_prediction_without_recorded_requests_needs_response_times() -> None:
    model = "meta-llama/Llama-3.1-8B-Instruct"
    error = refused("--rate", "1", "--predicted", "--config", CONFIG, "--target", "aws", "--model", model)
    assert "no response time" in error.message
