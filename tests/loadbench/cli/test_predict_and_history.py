"""`predict` and `history` on the command line: formats, exit codes, odd folders."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pytest

from loadbench.results.run_record import save_record
from tests.docs.readme import ROOT
from tests.loadbench.cli.test_cli import loadbench
from tests.loadbench.predict.starts import local_record
from tests.loadbench.results.test_history import nightly


@pytest.fixture
def home(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "config.yaml", tmp_path)
    return tmp_path


def test_a_prediction_needs_no_record_and_says_what_it_rests_on(home: Path) -> None:
    done = loadbench(
        *("predict", "--target", "aws", "--model", "meta-llama/Llama-3.1-8B-Instruct", "--format", "json"),
        *("--instance-type", "ml.g5.2xlarge,ml.g6.2xlarge"),
        home=home,
    )
    document = json.loads(done.stdout)
    assert done.returncode == 0
    assert not document["emulated"]
    assert document["fitted_on"]["records"] == 0
    assert [(item["path"], item["instance_type"]) for item in document["predictions"]] == [
        *(("standard", "ml.g5.2xlarge"), ("fast", "ml.g5.2xlarge")),
        *(("standard", "ml.g6.2xlarge"), ("fast", "ml.g6.2xlarge")),
    ]
    for item in document["predictions"]:
        assert item["total_s"]["low"] < item["total_s"]["median"] < item["total_s"]["high"]
    assert document["predictions"][0]["cost_usd"]["median"] > 0
    assert document["predictions"][2]["cost_usd"] is None  # no price is known
    assert all(item["source"] and item["date"] for item in document["coefficients"])


def test_a_model_without_a_known_size_asks_for_it(home: Path) -> None:
    done = loadbench("predict", "--model", "somebody/something", home=home)
    assert done.returncode == 2
    assert "--weights-gb" in done.stderr
    again = loadbench(
        "predict", "--model", "somebody/something", "--weights-gb", "3", "--format", "md", home=home
    )
    assert again.returncode == 0
    assert "Local emulation, not AWS timings" in again.stdout


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--paths", "slow"), "there is no loading method 'slow'"),
        (("--instance-type", "ml.g5.2xlrage"), "did you mean ml.g5.2xlarge"),
        (("--paths", ","), "names nothing"),
    ],
)
def test_what_is_not_known_is_refused_in_a_line(home: Path, options: tuple[str, str], words: str) -> None:
    done = loadbench("predict", *options, home=home)
    assert done.returncode == 2
    assert words in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_records_are_checked_and_a_broken_one_is_named(home: Path) -> None:
    assert "nothing to compare with" in loadbench("predict", "--check", home=home).stdout
    for number in range(3):
        save_record(home / "results", local_record(number))
    broken = home / "results" / "20260101-000000-standard-bad1"
    broken.mkdir()
    (broken / "run.json").write_text("{")
    done = loadbench("predict", "--check", "--format", "csv", home=home)
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert (done.returncode, len(rows)) == (0, 3)
    assert {row["target"] for row in rows} == {"emulated"}
    assert broken.name in done.stderr


def test_history_fails_where_the_newest_level_is_slower_than_allowed(home: Path) -> None:
    empty = loadbench("history", "--max-slowdown-percent", "5", home=home)
    assert (empty.returncode, empty.stdout) == (0, "No results in this folder yet.\n")
    seconds = [300 + 3 * (night % 5) for night in range(12)] + [360 + 3 * (night % 5) for night in range(12)]
    for record in nightly(seconds, image_from=12):
        save_record(home / "results", record)
    slower = loadbench("history", "--max-slowdown-percent", "10", "--badge", "b.svg", home=home)
    assert slower.returncode == 1
    assert "+20 %" in slower.stderr
    assert "0.33.0" in slower.stderr
    assert (home / "results" / "history.html").is_file()
    assert "<svg" in (home / "b.svg").read_text()
    allowed = loadbench("history", "--max-slowdown-percent", "30", "--json", home=home)
    assert allowed.returncode == 0
    assert len(json.loads(allowed.stdout)["series"][0]["levels"]) == 2
    assert loadbench("history", "--openmetrics", home=home).stdout.endswith("# EOF\n")
    assert loadbench("history", "--path", "fast", home=home).returncode == 2
    assert loadbench("history", "--json", "--openmetrics", home=home).returncode == 2
