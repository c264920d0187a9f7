"""A record has an ending, also when its run had none."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadbench.results.run_record import load_record, record_file, save_record
from loadbench.run.record_writer import RecordWriter, close_record
from tests.loadbench.results.builders import make_record
from tests.loadbench.test_clock import Machine


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
    assert "ended unexpectedly" in closed.failure.message


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


def test_a_clock_that_is_set_during_a_step_is_noted_and_the_step_keeps_its_length(tmp_path: Path) -> None:
    machine = Machine()
    record = make_record()
    record.steps = []
    writer = RecordWriter(record, tmp_path, machine.clock())
    with writer.step("deployment"):
        machine.passes(12.0)
        machine.wall_s += 600.0
    with writer.step("testing"):
        machine.passes(3.0)
        machine.wall_s -= 600.0  # set back: by now there is nothing to see any more
    writer.finish("succeeded")
    saved = load_record(record_file(tmp_path, record.run_id))
    assert [saved.seconds_of(step) for step in ("deployment", "testing")] == pytest.approx([12.0, 3.0])
    assert saved.clock_problem is not None
    assert "+600.0 s" in saved.clock_problem
