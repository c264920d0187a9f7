"""A record has an ending, also when its run had none."""

from __future__ import annotations

from pathlib import Path

from loadbench.results.run_record import load_record, record_file, save_record
from loadbench.run.record_writer import close_record
from tests.loadbench.results.builders import make_record


def test_a_run_that_was_killed_is_interrupted_and_says_so(tmp_path: Path) -> None:
    record = make_record()
    record.status, record.finished_s, record.steps[-1].end_s = "running", None, None
    save_record(tmp_path, record)

    close_record(tmp_path, record.run_id, removed_s=record.started_s + 9000)

    closed = load_record(record_file(tmp_path, record.run_id))
    assert closed.status == "interrupted"
    assert closed.destroyed_s == record.started_s + 9000
    assert closed.finished_s == record.steps[-1].start_s, "the last that is known of it"
    assert closed.failure is not None
    assert closed.failure.step == record.steps[-1].name
    assert "without output" in closed.failure.message


def test_a_run_that_had_an_ending_keeps_it(tmp_path: Path) -> None:
    record = make_record()
    save_record(tmp_path, record)
    close_record(tmp_path, record.run_id, removed_s=record.started_s + 9000)
    expected = record.model_copy(update={"destroyed_s": record.started_s + 9000})
    assert load_record(record_file(tmp_path, record.run_id)) == expected


def test_a_record_that_cannot_be_read_stops_no_removal(tmp_path: Path) -> None:
    close_record(tmp_path, "20261123-061530-fast-4f2a", removed_s=1.0)
    file = record_file(tmp_path, "20261123-061530-fast-4f2a")
    file.parent.mkdir()
    file.write_text("{")
    close_record(tmp_path, "20261123-061530-fast-4f2a", removed_s=1.0)
    assert file.read_text() == "{"
