"""What a folder knows of its runs, from whichever file still says it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from loadbench.results.run_record import record_file, save_record
from loadbench.run.removal.deployed_runs import deployed_by, known_runs, note_deployed
from loadbench.workspace import Workspace
from tests.loadbench.results.builders import make_record
from tests.loadbench.run.removal.conftest import ACCOUNT_ID, STANDARD, config_with, run_in

BASE = f"loadbench-{STANDARD}"


def record_of(workspace: Workspace, destroyed_s: float | None = None) -> Path:
    record = make_record("standard")
    record.run_id, record.account_id, record.destroyed_s = STANDARD, ACCOUNT_ID, destroyed_s
    return save_record(workspace.results_dir, record)


def edit(file: Path, **changes: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes, indent=2))


def test_the_note_is_believed_before_the_record(workspace: Workspace) -> None:
    record_of(workspace)
    run = run_in(workspace, None, region="eu-west-1")
    assert known_runs(workspace, config_with()).runs == [run]


def test_without_a_state_folder_the_record_says_it(workspace: Workspace) -> None:
    file = record_of(workspace)
    (run,) = known_runs(workspace, config_with()).runs
    assert (run.run_id, run.target, run.account_id) == (STANDARD, "aws", ACCOUNT_ID)
    assert run.names["endpoint"] == json.loads(file.read_text())["names"]["endpoint"]


def test_a_record_of_a_removed_run_is_no_run(workspace: Workspace) -> None:
    record_of(workspace, destroyed_s=1.0)
    assert known_runs(workspace, config_with()).runs == []


def test_a_record_of_a_newer_version_says_what_removal_needs(workspace: Workspace) -> None:
    edit(record_of(workspace), schema_version=99, something_new=True)
    (run,) = known_runs(workspace, config_with()).runs
    assert (run.run_id, run.account_id) == (STANDARD, ACCOUNT_ID)


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"[]", b"\xff\xfe", b'{"destroyed_s": null}', b'{\n  "destroyed_s": null, "names": 3}'],
)
def test_an_unreadable_record_is_reported_and_stops_no_other(workspace: Workspace, damage: bytes) -> None:
    other = run_in(workspace, None)
    file = record_file(workspace.results_dir, "20261123-061530-standard-aaaa")
    file.parent.mkdir(parents=True)
    file.write_bytes(damage)
    known = known_runs(workspace, config_with())
    assert known.runs == [other]
    assert known.unreadable == [file]


def test_a_record_that_is_cut_short_after_it_was_removed_is_reported(workspace: Workspace) -> None:
    file = record_of(workspace, destroyed_s=1.0)
    file.write_bytes(file.read_bytes()[:200])
    assert known_runs(workspace, config_with()).unreadable == [file]


@pytest.mark.parametrize("state", ["", '{"version": 4, "resources": [{"arn": "ARN"', "\0\0ARN\0"])
def test_without_note_and_record_terraforms_files_say_it(workspace: Workspace, state: str) -> None:
    folder = workspace.run_dir(STANDARD)
    folder.mkdir(parents=True)
    (folder / "standard.tfvars.json").write_text(
        json.dumps({"model": {"name": f"mine-{STANDARD}"}, "region": "eu-west-1"})
    )
    arn = f"arn:aws:sagemaker:eu-west-1:222222222222:endpoint/mine-{STANDARD}"
    (folder / "terraform.tfstate").write_text(state.replace("ARN", arn))
    (run,) = known_runs(workspace, config_with()).runs
    assert (run.project, run.region, run.path) == ("mine", "eu-west-1", "standard")
    assert run.names["endpoint"] == f"mine-{STANDARD}"
    assert run.account_id == ("222222222222" if state else None)


def test_a_sharding_job_has_its_runs_name_before_the_record_has_it(workspace: Workspace) -> None:
    record = make_record("fast")
    record.names.optimization_job = None
    assert deployed_by(record).names["optimization job"] == record.names.endpoint


def test_the_state_folder_of_a_run_says_which_runs_are_up_without_results(workspace: Workspace) -> None:
    run = run_in(workspace, None)
    shutil.rmtree(workspace.results_dir, ignore_errors=True)
    note_deployed(workspace, run)
    assert known_runs(workspace, config_with()).runs == [run]
