"""The first users' two files keep their keys and lines, so that what reads them keeps working."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest

from loadbench.results.reports import snippet
from loadbench.results.reports.original_output_files import (
    deployment_head,
    deployment_summary,
    timing_results,
)
from loadbench.results.run_record import RunRecord, Step
from tests.loadbench.results.builders import make_record

FIXTURES = Path(__file__).parents[1] / "fixtures"


def record_of(path: str, completed: datetime.datetime, steps: list[tuple[str, float]]) -> RunRecord:
    """A run whose steps follow one another and end at `completed`."""
    at_s = completed.timestamp() - sum(length_s for _, length_s in steps)
    record = make_record("fast" if path == "fast" else "standard")
    record.started_s, record.steps = at_s, []
    for name, length_s in steps:
        record.steps.append(Step(name=name, start_s=at_s, end_s=at_s + length_s))
        at_s += length_s
    return record


def test_the_summary_is_the_first_users_line_for_line() -> None:
    completed = datetime.datetime(2025, 8, 27, 22, 1, 6, tzinfo=datetime.UTC)
    record = record_of(
        "standard", completed, [("initialization", 0.2), ("deployment", 632.4), ("testing", 1)]
    )
    record.names.endpoint = ""
    theirs = (FIXTURES / "deployment_summary.txt").read_text(encoding="utf-8")
    assert deployment_summary(record).startswith(theirs)
    assert theirs.startswith(deployment_head(record).rstrip("\n"))


def test_the_summary_ends_with_the_environment_without_secrets_and_with_the_call() -> None:
    record = make_record("standard")
    record.configuration["standard_deployment_info"] = {
        "container_env_vars": {"OPTION_DTYPE": "bf16", "HF_TOKEN": "hf_PlantedForThisTestAndNothingElse0006"}
    }
    summary = deployment_summary(record)
    assert "OPTION_DTYPE=bf16\n" in summary
    assert "HF_TOKEN=***\n" in summary
    assert "hf_Planted" not in summary
    assert summary.endswith(snippet.render(record))


def test_the_timing_file_has_the_first_users_keys_in_their_order_and_their_values() -> None:
    theirs = json.loads((FIXTURES / "timing_results.json").read_text(encoding="utf-8"))
    completed = datetime.datetime(2025, 8, 27, 21, 41, 41, tzinfo=datetime.UTC)
    names = ("initialization", "builder_creation", "optimization", "build", "deployment", "testing")
    ours = json.loads(
        timing_results(record_of("fast", completed, [(name, theirs[f"{name}_time"]) for name in names]))
    )
    assert list(ours) == list(theirs)
    assert ours["timestamp"] == theirs["timestamp"]
    for key, value in theirs.items():
        assert ours[key] == (pytest.approx(value, abs=2e-3) if isinstance(value, float) else value)


def test_a_step_that_never_ended_is_null_and_one_that_is_not_part_of_the_path_took_nothing() -> None:
    timings = json.loads(timing_results(make_record("standard", status="failed")))
    assert timings["deployment_time"] is None
    assert timings["optimization_time"] == 0
    assert timings["total_execution_time"] > 0


def test_destroying_the_endpoint_is_not_part_of_the_total() -> None:
    record = make_record("standard")
    before = json.loads(timing_results(record))["total_execution_time"]
    last_s = record.steps[-1].end_s or 0
    record.steps.append(Step(name="destroy", start_s=last_s, end_s=last_s + 300))
    assert json.loads(timing_results(record))["total_execution_time"] == before


def test_the_summary_shows_values_as_they_are() -> None:
    record = make_record("standard")
    record.model.model_id = "a<b>&{{ c }}"
    assert "a<b>&{{ c }}" in deployment_summary(record)
