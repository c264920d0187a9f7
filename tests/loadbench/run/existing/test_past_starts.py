"""Past starts of somebody else's endpoint, from logs and activities."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest

from loadbench.errors import UsageError
from loadbench.results.reports.starts_screen import render
from loadbench.results.run_record import ResourceNames, save_record
from loadbench.run.existing.activities import Activity
from loadbench.run.existing.description import Description, Place
from loadbench.run.existing.import_starts import import_folder
from loadbench.run.existing.past_starts import Seen, past_starts
from loadbench.run.observe.lines import LogLine, parse_lines

FIXTURES = Path(__file__).parent.parent / "observe" / "fixtures"
NAMES = ResourceNames(endpoint="theirs", endpoint_configuration="c", model="m")
PLACE = Place("aws", "us-west-2", "123456789012", ["loadbench", "import"])


def log(name: str, stream: str = "AllTraffic/i-1", later_s: float = 0) -> list[LogLine]:
    lines = parse_lines((FIXTURES / name).read_text(encoding="utf-8").splitlines())
    return [LogLine(line.timestamp_s + later_s, stream, line.message) for line in lines]


def test_the_first_start_is_counted_from_the_creation() -> None:
    lines = log("vllm-compile.log")
    created_s, in_service_s = lines[0].timestamp_s - 200, lines[-1].timestamp_s + 8
    description = Description(names=NAMES, created_s=created_s, in_service_s=in_service_s)
    (start,) = past_starts(description, Seen(lines), PLACE)
    assert start.record.deployment.request_s == created_s
    assert start.record.deployment.ready_s == in_service_s
    assert start.record.cause == "created"
    provision = next(span for span in start.record.spans if span.name == "provision")
    assert (provision.certainty, round(provision.duration_s)) == ("inferred", 200)


def test_a_later_start_belongs_to_the_activity_that_asked_for_it() -> None:
    first, second = log("vllm-compile.log"), log("vllm-compile.log", "AllTraffic/i-2", later_s=86_400)
    began_s = second[0].timestamp_s
    cause = "monitor alarm TargetTracking-theirs-AlarmHigh in state ALARM triggered policy track"
    activities = [
        Activity(
            began_s - 90,
            second[-1].timestamp_s + 5,
            cause,
            "Setting desired instance count to 2.",
            "Successful",
        ),
        Activity(
            began_s - 20_000, began_s - 19_000, cause, "Setting desired instance count to 2.", "Successful"
        ),
    ]
    starts = past_starts(Description(names=NAMES), Seen([*first, *second], activities=activities), PLACE)
    record = starts[1].record
    assert record.deployment.request_s == began_s - 90
    assert record.deployment.ready_s == second[-1].timestamp_s + 5
    assert record.cause == cause


def test_a_change_since_then_has_taken_the_time_of_the_first_readiness() -> None:
    first, second = log("vllm-compile.log"), log("vllm-compile.log", "AllTraffic/i-2", later_s=150)
    modified_s = second[-1].timestamp_s + 5
    description = Description(names=NAMES, created_s=first[0].timestamp_s - 20, in_service_s=modified_s)
    starts = past_starts(description, Seen([*first, *second]), PLACE)
    assert starts[0].record.deployment.ready_s == first[-1].timestamp_s
    assert "no longer available" in (starts[0].record.deployment.ready_source or "")


def test_a_start_that_nothing_asked_for_is_counted_from_its_first_line_and_says_so() -> None:
    lines = log("vllm-compile.log")
    (start,) = past_starts(Description(names=NAMES), Seen(lines), PLACE)
    assert start.record.deployment.request_s == lines[0].timestamp_s
    assert "the time of the request is unknown" in (start.record.deployment.request_source or "")
    assert start.record.cause == "unknown"


def test_a_server_that_began_again_after_it_served_is_another_start() -> None:
    lines = [*log("vllm-compile.log"), *log("vllm-compile.log", later_s=7200)]
    starts = past_starts(Description(names=NAMES), Seen(lines), PLACE)
    assert len(starts) == 2
    layers = {layer.name: layer.state for layer in starts[1].record.layers}
    assert layers == {"image": "warm", "weights": "warm", "compile_cache": "cold", "page_cache": "warm"}


def test_failed_starts_are_part_of_the_one_that_became_ready() -> None:
    (start,) = past_starts(Description(names=NAMES), Seen(log("vllm-supervised-restart.log")), PLACE)
    assert len(start.record.restarts) == 1
    assert any(span.name == "failed_start" for span in start.record.spans)


def test_importing_twice_gives_the_same_record_ids() -> None:
    seen = Seen(log("vllm-compile.log"))
    ids = [past_starts(Description(names=NAMES), seen, PLACE)[0].record.run_id for _ in range(2)]
    assert ids[0] == ids[1]


@pytest.mark.parametrize("form", ["events.json", "rows.csv", "i-1.log", "AllTraffic/i-1/000000.txt"])
def test_exported_logs_of_every_form_are_read(tmp_path: Path, form: str) -> None:
    lines, folder = log("vllm-compile.log"), tmp_path / "exported"
    file = folder / form
    file.parent.mkdir(parents=True)
    moments = [datetime.datetime.fromtimestamp(line.timestamp_s, datetime.UTC) for line in lines]
    stamps = [f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z" for moment in moments]
    texts = {
        "events.json": json.dumps(
            {
                "events": [
                    {
                        "timestamp": round(1000 * line.timestamp_s),
                        "logStreamName": line.stream,
                        "message": line.message,
                    }
                    for line in lines
                ]
            }
        ),
        "rows.csv": "timestamp,message\n"
        + "".join(
            f'{round(1000 * line.timestamp_s)},"{line.message.replace(chr(34), chr(34) * 2)}"\n'
            for line in lines
        ),
        "i-1.log": "".join(f"{line.message}\n" for line in lines),
        "AllTraffic/i-1/000000.txt": "".join(
            f"{stamp} {line.message}\n" for stamp, line in zip(stamps, lines, strict=True)
        ),
    }
    file.write_text(texts[form], encoding="utf-8")
    (record,) = import_folder(tmp_path / "results", ["loadbench"], "theirs", folder)
    assert record.time_to_ready_s == pytest.approx(lines[-1].timestamp_s - lines[0].timestamp_s, abs=5)


def test_a_folder_without_logs_says_how_to_get_some(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no readable log"):
        import_folder(tmp_path / "results", ["loadbench"], "theirs", tmp_path)


def test_the_table_names_the_start_that_is_far_from_the_rest(tmp_path: Path) -> None:
    from rich.console import Console

    lines: list[LogLine] = []
    for number in range(8):
        own = log("vllm-compile.log", f"AllTraffic/i-{number}", later_s=10_000 * number)
        # Not all alike: the last line comes a little later each time.
        lines += [*own[:-1], LogLine(own[-1].timestamp_s + number / 10, own[-1].stream, own[-1].message)]
    slow = [
        LogLine(line.timestamp_s + (600 if number else 0), "AllTraffic/i-9", line.message)
        for number, line in enumerate(log("vllm-compile.log", later_s=100_000))
    ]
    records = [start.record for start in past_starts(Description(names=NAMES), Seen([*lines, *slow]), PLACE)]
    console = Console(width=200, record=True)
    console.print(render(records))
    shown = console.export_text()
    assert f"Outliers: {records[-1].run_id}" in shown
    assert "engine configuration" in shown
    assert "not independent" in shown


def test_an_imported_endpoint_is_never_taken_for_one_to_remove(tmp_path: Path) -> None:
    from loadbench.config import load_config
    from loadbench.run.removal.deployed_runs import known_runs
    from loadbench.workspace import Workspace

    (start,) = past_starts(Description(names=NAMES), Seen(log("vllm-compile.log")), PLACE)
    workspace = Workspace(tmp_path, tmp_path)
    save_record(workspace.results_dir, start.record)
    config = load_config(Path(__file__).resolve().parents[4] / "config.yaml", [])
    assert known_runs(workspace, config).runs == []
    ours = start.record.model_copy(update={"origin": "run"})
    save_record(workspace.results_dir, ours)
    assert [run.run_id for run in known_runs(workspace, config).runs] == [ours.run_id]


HIGH, LOW = (
    "alarm TargetTracking-x-AlarmHigh-1 in state ALARM",
    "alarm TargetTracking-x-AlarmLow-1 in state ALARM",
)
STEP, TIMED = "monitor alarm busy in state ALARM triggered policy steps", "scheduled action day was triggered"


@pytest.mark.parametrize(
    ("cause", "before", "count", "is_scale_out"),
    [
        (HIGH, None, 2, True),
        (HIGH, 3, 2, True),  # somebody changed the count by hand in between
        (LOW, None, 1, False),
        (LOW, 1, 2, False),
        (STEP, None, 2, True),
        (STEP, 1, 2, True),
        (STEP, 2, 1, False),
        (STEP, None, 0, False),
        (TIMED, 1, 4, True),
        (TIMED, 4, 1, False),
        (TIMED, None, 4, False),
    ],
)
def test_an_activity_that_removed_copies_asked_for_no_start(
    cause: str, before: int | None, count: int, is_scale_out: bool
) -> None:
    text = f"Setting desired copy count to {count}."
    assert Activity(0.0, 1.0, cause, text, "Successful", before).is_scale_out is is_scale_out
