"""One run is removed whatever else fails, and forgotten only when nothing of it exists any more."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from loadbench.errors import LeftoverError, StateLockedError
from loadbench.results.run_record import load_record, record_file, save_record
from loadbench.run.removal import remove_run as module
from loadbench.run.removal.deployed_runs import DeployedRun
from loadbench.run.removal.remove_run import remove_run, remove_runs
from loadbench.workspace import Workspace
from tests.loadbench.results.builders import make_record
from tests.loadbench.run.fake_account import FakeAccount, client_error
from tests.loadbench.run.removal.conftest import FAST, STANDARD, OpenContext, run_in

WHOLE = json.dumps(
    {"version": 4, "terraform_version": "1.11.4", "serial": 1, "lineage": "a", "resources": []}
)
STATES = {
    "empty": b"",
    "cut short": WHOLE.encode()[:60],
    "nulls": WHOLE.encode()[:20] + bytes(4096),
    "of a newer version": WHOLE.replace('"version": 4', '"version": 99').encode(),
    "not JSON": b"\xff\xfe state",
    "another document": b"[]",
}


def with_state(workspace: Workspace, run: DeployedRun, state: bytes) -> Path:
    run_dir = workspace.run_dir(run.run_id)
    (run_dir / f"{run.path}.tfvars.json").write_text('{"region": "us-west-2"}')
    (run_dir / "terraform.tfstate").write_bytes(state)
    return run_dir


@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
def test_a_damaged_state_does_not_keep_the_run_from_being_removed(
    workspace: Workspace, account: FakeAccount, context_of: OpenContext, state: bytes
) -> None:
    run = run_in(workspace, account)
    run_dir = with_state(workspace, run, state)
    remove_run(context_of(), run)
    assert account.alive() == []
    assert not run_dir.exists()


def test_without_terraform_the_run_is_removed(
    workspace: Workspace, account: FakeAccount, context_of: OpenContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOADBENCH_TERRAFORM", "/nowhere/terraform")
    run = run_in(workspace, account)
    with_state(workspace, run, WHOLE.encode())
    remove_run(context_of(), run)
    assert account.alive() == []


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), ValueError("a defect"), MemoryError()]
)
def test_whatever_fails_on_this_machine_the_api_is_tried(
    workspace: Workspace,
    account: FakeAccount,
    context_of: OpenContext,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    def failing(*_: object) -> None:
        raise error

    monkeypatch.setattr(module, "stop_earlier", failing)
    run = run_in(workspace, account)
    with_state(workspace, run, WHOLE.encode())
    remove_run(context_of(), run)
    assert account.alive() == []


@pytest.mark.parametrize("adopted", [False, True])
def test_only_a_lock_that_another_checkout_may_hold_is_respected(
    workspace: Workspace,
    account: FakeAccount,
    context_of: OpenContext,
    monkeypatch: pytest.MonkeyPatch,
    adopted: bool,
) -> None:
    """Terraform creates for a run in its own folder only, and there it is stopped first."""

    def locked(*_: object) -> None:
        raise StateLockedError("ada@laptop is using this run's state", remedy="Wait.")

    monkeypatch.setattr(module, "terraform_for", locked)
    run = run_in(workspace, account, adopted=adopted)
    with_state(workspace, run, WHOLE.encode())
    if adopted:
        with pytest.raises(LeftoverError, match="ada@laptop"):
            remove_run(context_of(), run)
        assert len(account.alive()) == 5
    else:
        remove_run(context_of(), run)
        assert account.alive() == []


def test_what_is_still_there_is_named_and_its_state_stays(
    workspace: Workspace, account: FakeAccount, context_of: OpenContext
) -> None:
    run = run_in(workspace, account)
    account.errors["delete_endpoint", f"loadbench-{STANDARD}"] = [client_error("AccessDeniedException", "no")]
    with pytest.raises(LeftoverError, match="still exist") as caught:
        remove_run(context_of(), run)
    assert f"endpoint loadbench-{STANDARD}" in caught.value.details
    assert workspace.run_dir(STANDARD).exists()


def test_what_cannot_be_listed_is_removed_by_the_names_of_the_run(
    workspace: Workspace, account: FakeAccount, context_of: OpenContext
) -> None:
    run = run_in(workspace, account)
    for sort in SORTS_LISTED:
        account.errors[f"list_{sort}s", ""] = [client_error("AccessDeniedException", "no listing")]
    remove_run(context_of(), run)
    assert account.alive() == []


SORTS_LISTED = ("optimization_job", "inference_component", "endpoint", "endpoint_config", "model")


def test_an_account_whose_number_nothing_names_proves_nothing(
    workspace: Workspace, account: FakeAccount, context_of: OpenContext
) -> None:
    run = run_in(workspace, None, target="aws", account_id=None)
    with pytest.raises(LeftoverError, match="its account is not known"):
        remove_run(context_of(), run)
    assert workspace.run_dir(STANDARD).exists()


def test_the_record_says_when_it_was_gone(
    workspace: Workspace, account: FakeAccount, context_of: OpenContext
) -> None:
    record = make_record("standard", target="local")
    save_record(workspace.results_dir, record)
    run = run_in(workspace, account, record.run_id)
    removed_s = remove_run(context_of(), run)
    assert load_record(record_file(workspace.results_dir, record.run_id)).destroyed_s == removed_s


def test_a_record_that_cannot_be_written_is_a_warning(
    workspace: Workspace,
    account: FakeAccount,
    context_of: OpenContext,
    said: io.StringIO,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "forget_run", full)
    remove_run(context_of(), run_in(workspace, account))
    assert account.alive() == []
    assert "No space left" in said.getvalue()


def test_one_of_several_that_cannot_be_removed_keeps_no_other(
    workspace: Workspace, account: FakeAccount, context_of: OpenContext
) -> None:
    runs = [run_in(workspace, account, name) for name in (STANDARD, FAST)]
    account.errors["delete_endpoint", f"loadbench-{STANDARD}"] = [client_error("AccessDeniedException", "no")]
    with pytest.raises(LeftoverError) as caught:
        remove_runs(context_of(), runs)
    assert {thing.name for thing in account.alive()} == {f"loadbench-{STANDARD}"}
    assert f"endpoint loadbench-{STANDARD}" in caught.value.details
