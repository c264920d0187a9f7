"""Records of scale-outs: strict, never mixed up, and judged by the method of deployments."""

from __future__ import annotations

import csv
import datetime
import io
import json
from pathlib import Path

import pytest

from loadbench.errors import UsageError
from loadbench.results.commands import compare_each
from loadbench.results.comparison.compare import compare
from loadbench.results.comparison.model import ScaleOutSection, load_comparison
from loadbench.results.reports import csv as csv_report
from loadbench.results.reports import markdown, text, trace
from loadbench.results.run_record import save_record
from loadbench.results.scale_out_record import (
    ScaleOutRecord,
    load_scale_out,
    new_scale_out_id,
    save_scale_out,
    scale_out_file,
    scale_outs_of,
)
from tests.loadbench.results.builders import EPOCH_S, make_record, make_scale_out

STANDARD, FAST = make_record("standard", ready_s=600), make_record("fast", ready_s=450)


def section_of(*scale_outs: ScaleOutRecord) -> ScaleOutSection:
    section = compare([STANDARD, FAST], created_s=EPOCH_S, scale_outs=scale_outs).scale_out
    assert section is not None
    return section


def test_a_record_comes_back_as_it_was_written(tmp_path: Path) -> None:
    record = make_scale_out(FAST)
    file = save_scale_out(tmp_path, record)
    assert file == scale_out_file(tmp_path, record)
    assert file.parent.name == FAST.run_id
    assert load_scale_out(file) == record


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"colour": "red"}, "colour"),
        ({"schema_version": 2}, "schema version 2"),
        ({"copies_after": "x"}, "copies_after"),
    ],
)
def test_a_record_that_is_not_one_is_refused(tmp_path: Path, change: dict[str, object], says: str) -> None:
    file = tmp_path / "scale-out-x.json"
    file.write_text(json.dumps({**json.loads(make_scale_out(FAST).model_dump_json()), **change}))
    with pytest.raises(UsageError, match=says):
        load_scale_out(file)


def test_ids_sort_by_time_and_differ_within_a_second() -> None:
    moment = datetime.datetime(2026, 11, 23, 6, 15, 30, tzinfo=datetime.UTC)
    ids = {new_scale_out_id(moment) for _ in range(20)}
    assert len(ids) > 1
    assert max(ids) < new_scale_out_id(moment + datetime.timedelta(seconds=1))


def test_only_scale_outs_that_ended_and_belong_to_the_runs_are_found(tmp_path: Path) -> None:
    other = make_record("fast", number=7)
    for run, number, status in (
        (FAST, 1, "failed"),
        (FAST, 0, "succeeded"),
        (FAST, 2, "interrupted"),
        (other, 3, "succeeded"),
    ):
        save_scale_out(tmp_path, make_scale_out(run, number=number, status=status))  # type: ignore[arg-type]
    found = scale_outs_of(tmp_path, [STANDARD.run_id, FAST.run_id])
    assert [record.pair.index for record in found if record.pair] == [0, 1]


def test_a_scale_out_ends_when_its_last_count_is_there() -> None:
    record = make_scale_out(FAST, ready_s=200)
    request_s = record.changes[0].request_s
    assert [change.resource for change in record.changes] == ["endpoint", "inference component"]
    assert (record.request_s, record.ready_s) == (request_s, request_s + 200)
    record.changes[1].ready_s = None
    assert record.ready_s is None


def test_phases_of_the_copy_add_up_to_its_own_time_not_to_the_deployments() -> None:
    section = section_of(make_scale_out(STANDARD, ready_s=300), make_scale_out(FAST, ready_s=200))
    assert section.total.a_s == pytest.approx(300)
    assert section.total.b_s == pytest.approx(200)
    for total_s, phases in (
        (300, [row.a_s for row in section.phases]),
        (200, [row.b_s for row in section.phases]),
    ):
        assert sum(seconds or 0 for seconds in phases) == pytest.approx(total_s)
    assert section.total.estimate is None
    assert section.sentence.startswith("Inconclusive (1 scale-out each)")


def test_a_failed_scale_out_is_counted_and_its_reason_shown() -> None:
    failed = make_scale_out(FAST, number=1, status="failed", failed_requests=2)
    comparison = compare([STANDARD, FAST], created_s=EPOCH_S, scale_outs=[make_scale_out(STANDARD), failed])
    shown = text.render(comparison)
    assert "Unable to provision" in shown
    assert "of which failed" in shown
    assert comparison.scale_out is not None
    rows = list(csv.DictReader(io.StringIO(csv_report.render_scale_outs(comparison.scale_out))))
    assert [(row["status"], row["requests"], row["failed_requests"]) for row in rows] == [
        ("succeeded", "8", "0"),
        ("failed", "8", "2"),
    ]
    assert "One more copy was in service" in markdown.render(comparison)
    processes = [
        event["args"]["name"]
        for event in json.loads(trace.render(comparison))["traceEvents"]
        if event["name"] == "process_name"
    ]
    assert sum("one more copy" in name for name in processes) == 1


def test_a_comparison_without_scale_outs_says_nothing_of_them() -> None:
    comparison = compare([STANDARD, FAST], created_s=EPOCH_S)
    assert comparison.scale_out is None
    assert "copy" not in text.render(comparison)


def test_a_comparison_of_recorded_runs_finds_their_scale_outs(tmp_path: Path) -> None:
    for run in (STANDARD, FAST):
        save_record(tmp_path, run)
        save_scale_out(tmp_path, make_scale_out(run))
    (comparison,) = compare_each([STANDARD, FAST], tmp_path)
    folder = tmp_path / f"comparison-{comparison.comparison_id}"
    assert load_comparison(folder).scale_out == comparison.scale_out is not None
    assert (folder / "scale_out.csv").exists()
    assert (folder / "charts" / "scale-out.svg").exists()
