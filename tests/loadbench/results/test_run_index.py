"""The index changes how fast runs are listed and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from loadbench.results.run_index import latest, list_summaries
from loadbench.results.run_record import RunRecord, record_file, save_record
from loadbench.results.run_summary import point_of
from tests.loadbench.results.builders import make_record


@pytest.fixture
def records(tmp_path: Path) -> list[RunRecord]:
    made = [make_record(path, number=n) for n in range(3) for path in ("standard", "fast")]
    for record in made:
        save_record(tmp_path, record)
    return made


def test_a_second_listing_says_the_same_without_reading_records(
    tmp_path: Path, records: list[RunRecord]
) -> None:
    first = list_summaries(tmp_path)
    assert {point.run_id: point for point in first.points} == {
        record.run_id: point_of(record) for record in records
    }
    assert [point.run_id for point in first.points] == sorted(point.run_id for point in first.points)
    file = record_file(tmp_path, records[0].run_id)
    state = file.stat()
    with file.open("r+b") as handle:
        handle.write(b"x")  # in place: same size and inode
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert list_summaries(tmp_path) == first


def test_a_changed_record_is_read_again(tmp_path: Path, records: list[RunRecord]) -> None:
    list_summaries(tmp_path)
    save_record(tmp_path, records[0].model_copy(update={"status": "failed"}))
    statuses = {point.run_id: point.status for point in list_summaries(tmp_path).points}
    assert statuses[records[0].run_id] == "failed"


def test_a_removed_run_is_gone(tmp_path: Path, records: list[RunRecord]) -> None:
    list_summaries(tmp_path)
    record_file(tmp_path, records[0].run_id).unlink()
    assert len(list_summaries(tmp_path).points) == len(records) - 1


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe\x00", b"version\nnot\ta\n", None])
def test_a_damaged_index_is_made_anew(tmp_path: Path, records: list[RunRecord], damage: bytes | None) -> None:
    before = list_summaries(tmp_path)
    index = tmp_path / ".index"
    content = index.read_bytes()
    index.write_bytes(content[: len(content) // 2] if damage is None else damage)
    assert list_summaries(tmp_path) == before
    assert index.read_bytes() == content


def test_a_record_that_cannot_be_read_is_reported_beside_the_others(
    tmp_path: Path, records: list[RunRecord]
) -> None:
    record_file(tmp_path, records[0].run_id).write_text("{", encoding="utf-8")
    listing = list_summaries(tmp_path)
    assert list(listing.unreadable) == [records[0].run_id]
    assert len(listing.points) == len(records) - 1


def test_comparisons_stray_files_and_no_results_at_all_are_no_runs(tmp_path: Path) -> None:
    (tmp_path / "comparison-1").mkdir()
    (tmp_path / "notes.txt").write_text("x", encoding="utf-8")
    assert list_summaries(tmp_path).points == []
    assert list_summaries(tmp_path / "nothing").points == []


def test_the_latest_run_is_of_the_same_path_and_configuration_and_succeeded(
    tmp_path: Path, records: list[RunRecord]
) -> None:
    save_record(tmp_path, make_record("fast", number=8, status="failed"))
    other = make_record("fast", number=9).model_copy(update={"configuration_digest": "other"})
    save_record(tmp_path, other)
    found = latest(list_summaries(tmp_path).points, "fast", records[0].configuration_digest)
    assert found is not None
    assert found.run_id == records[-1].run_id
    assert latest(list_summaries(tmp_path).points, "fast", "never") is None
