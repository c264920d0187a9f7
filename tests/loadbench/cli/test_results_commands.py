"""`list`, `show` and `report` print what is recorded, in the format asked for."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from loadbench.results.commands import compare_each
from loadbench.results.run_record import save_record
from tests.loadbench.cli.test_cli import loadbench
from tests.loadbench.results.builders import make_pairs, make_record


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    records = [*make_pairs([1.3, 1.2, 1.35]), make_record("fast", number=9, status="failed")]
    for record in records:
        save_record(folder / "results", record)
    compare_each(records, folder / "results")
    return folder


def test_everything_recorded_is_listed_newest_first(home: Path) -> None:
    done = loadbench("list", "--format", "csv", home=home)
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert len(rows) == 8
    assert rows[0]["id"].startswith("comparison-")
    assert rows[0]["result"].startswith("fast is faster")
    assert {row["result"] for row in rows[1:]} == {"succeeded", "failed"}
    runs = json.loads(loadbench("list", "--runs", "--format", "json", home=home).stdout)
    assert [row["id"] for row in runs] == [row["id"] for row in rows[1:]]


def test_what_is_listed_can_be_shown(home: Path) -> None:
    for row in json.loads(loadbench("list", "--format", "json", home=home).stdout)[:3]:
        done = loadbench("show", row["id"], home=home)
        assert done.returncode == 0, done.stderr
        assert "cold start" in done.stdout or "Failed in the step" in done.stdout


def test_a_comparison_is_printed_as_markdown_csv_and_json(home: Path) -> None:
    (folder,) = (home / "results").glob("comparison-*")
    for form, file in (("md", "comparison.md"), ("csv", "raw.csv"), ("json", "comparison.json")):
        done = loadbench("report", "--format", form, home=home)
        assert done.stdout.splitlines() == (folder / file).read_text(encoding="utf-8").splitlines()


def test_an_unknown_id_is_refused_and_an_empty_folder_said(tmp_path: Path) -> None:
    assert loadbench("show", "nothing", home=tmp_path).returncode == 2
    assert "No results" in loadbench("list", home=tmp_path).stdout
