"""Records on disk: old ones stay readable, wrong ones are refused with what to do."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest

from loadbench.errors import UsageError
from loadbench.results.comparison.compare import compare
from loadbench.results.comparison.model import load_comparison
from loadbench.results.run_record import find_records, load_record, new_run_id, record_file, save_record
from tests.loadbench.results.builders import EPOCH_S, make_record, seed_records

FIXTURES = Path(__file__).parent / "fixtures"


def test_a_saved_record_reads_back_the_same(tmp_path: Path) -> None:
    record = make_record("fast")
    save_record(tmp_path, record)
    assert load_record(record_file(tmp_path, record.run_id)) == record
    assert list(find_records(tmp_path)) == [record_file(tmp_path, record.run_id)]


def test_an_unfinished_record_is_readable(tmp_path: Path) -> None:
    record = make_record().model_copy(update={"status": "running", "finished_s": None, "spans": []})
    save_record(tmp_path, record)
    assert load_record(record_file(tmp_path, record.run_id)).status == "running"


def test_a_record_of_version_1_is_still_read() -> None:
    """The file was written when version 1 was published; it is never written anew."""
    record = load_record(FIXTURES / "run.v1.json")
    assert record.time_to_ready_s == pytest.approx(632)


def test_a_comparison_of_version_1_is_still_read() -> None:
    comparison = load_comparison(FIXTURES / "comparison.v1.json")
    assert comparison.estimate is not None
    assert comparison.estimate.ratio == pytest.approx(632 / 450.09)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"schema_version": 1}', "\x00", '"run"'])
def test_what_is_no_record_is_refused_by_name(tmp_path: Path, content: str) -> None:
    file = tmp_path / "run.json"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=r"run\.json is not a run record"):
        load_record(file)
    with pytest.raises(UsageError, match=r"run\.json is not a comparison"):
        load_comparison(file)


def test_a_newer_version_is_refused_with_the_remedy(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    for load, document in (
        (load_record, make_record().model_dump(mode="json")),
        (load_comparison, compare(seed_records(), created_s=EPOCH_S).model_dump(mode="json")),
    ):
        file.write_text(json.dumps({**document, "schema_version": 2, "more": 1}), encoding="utf-8")
        with pytest.raises(UsageError, match="schema version 2") as caught:
            load(file)
        assert caught.value.remedy == "Update loadbench."


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        load_record(tmp_path / "run.json")


def test_run_ids_sort_by_time() -> None:
    early = datetime.datetime(2025, 11, 23, 9, 59, tzinfo=datetime.UTC)
    ids = [new_run_id("standard", early + datetime.timedelta(minutes=n)) for n in range(3)]
    assert ids == sorted(ids)
    assert new_run_id("fast", early).startswith("20251123-095900-fast-")
