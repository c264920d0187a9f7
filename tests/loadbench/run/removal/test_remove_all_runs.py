"""`destroy` from the outside: "nothing is left" is only said where that was seen."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from loadbench.config import Config
from loadbench.errors import ConfigError, InterruptedRunError, LeftoverError, UsageError
from loadbench.results.run_record import load_record, record_file, save_record
from loadbench.run import destroy
from loadbench.run.destroy import Removal, destroy_everything
from loadbench.run.removal import remove_all_runs
from loadbench.run.removal.kept_data import Kept
from loadbench.run.run_context import RunContext, lock_path
from loadbench.ui import Ui
from loadbench.workspace import Workspace
from tests.loadbench.results.builders import make_record
from tests.loadbench.run.fake_account import FakeAccount, client_error
from tests.loadbench.run.removal.conftest import (
    ACCOUNT_ID,
    FAST,
    STANDARD,
    OpenContext,
    config_with,
    put,
    run_in,
)

OTHER_ACCOUNT = "222222222222"
AWS: dict[str, Any] = {"target": "aws", "state_dir": None}
Destroy = Callable[..., Removal]


@pytest.fixture
def opened() -> list[Config]:
    return []


@pytest.fixture
def run_destroy(
    workspace: Workspace,
    context_of: OpenContext,
    said: io.StringIO,
    opened: list[Config],
    monkeypatch: pytest.MonkeyPatch,
) -> Destroy:
    """`destroy` in the folder, by the credentials of one account; S3 is not looked at."""
    monkeypatch.setattr(destroy, "_remove_stored", lambda *_: ([], []))
    monkeypatch.setattr(destroy, "_embedded_aws", lambda *_, **__: ([], []))
    monkeypatch.setattr(remove_all_runs, "localaws", lambda *_, **__: "")

    def call(config: Config | None = None, account_id: str = ACCOUNT_ID, **options: Any) -> Removal:
        def open_context(place: Config) -> RunContext:
            opened.append(place)
            return context_of(place, account_id)

        return destroy_everything(
            open_context,
            config or config_with(),
            workspace,
            Ui(Console(file=said)),
            remove="runs",
            confirm=options.pop("confirm", lambda context, question: True),
            **options,
        )

    return call


def test_what_the_folder_made_and_what_else_has_the_tags_is_removed(
    workspace: Workspace, account: FakeAccount, run_destroy: Destroy
) -> None:
    run = run_in(workspace, account)
    put(account, run.model_copy(update={"run_id": FAST, "path": "fast"}))
    removal = run_destroy()
    assert account.alive() == []
    assert {f"endpoint loadbench-{STANDARD}", f"endpoint loadbench-{FAST}"} <= set(removal.removed)
    assert "Nothing of this project is left" in removal.as_text()


def test_another_accounts_credentials_prove_nothing_and_erase_nothing(
    workspace: Workspace, account: FakeAccount, run_destroy: Destroy
) -> None:
    run_in(workspace, None, **AWS)
    with pytest.raises(LeftoverError) as caught:
        run_destroy(config_with(target="aws"), OTHER_ACCOUNT)
    said = f"{caught.value.message}\n{caught.value.details}\n{caught.value.remedy}"
    assert f"endpoint loadbench-{STANDARD}" in said
    assert f"credentials of account {ACCOUNT_ID}" in said
    assert f"reached account {OTHER_ACCOUNT}" in said
    assert workspace.run_dir(STANDARD).is_dir()


@pytest.mark.parametrize(
    ("changes", "config"),
    [
        ({"region": "eu-west-1"}, {}),
        ({"project": "other"}, {}),
        ({**AWS, "region": "eu-west-1"}, {"target": "aws"}),
        ({**AWS, "project": "other"}, {"target": "aws"}),
    ],
)
def test_a_run_is_removed_where_it_was_made(
    workspace: Workspace,
    account: FakeAccount,
    run_destroy: Destroy,
    opened: list[Config],
    changes: dict[str, Any],
    config: dict[str, str],
) -> None:
    (workspace.home / ".localaws").mkdir()
    run_in(workspace, account, **changes)
    run_destroy(config_with(**config))
    assert account.alive() == []
    assert not workspace.run_dir(STANDARD).exists()
    assert opened[-1].region == changes.get("region", "us-west-2")


def test_another_embedded_aws_is_started_for_its_runs_and_stopped_again(
    workspace: Workspace,
    account: FakeAccount,
    run_destroy: Destroy,
    opened: list[Config],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stopped: list[str] = []
    monkeypatch.setattr(
        remove_all_runs, "localaws", lambda arguments, config, home: stopped.append(config.local.state_dir)
    )
    (workspace.home / "elsewhere").mkdir()
    run_in(workspace, account, state_dir="elsewhere")
    run_destroy()
    assert [place.local.state_dir for place in opened] == [".localaws", "elsewhere"]
    assert stopped == ["elsewhere"]
    assert account.alive() == []


def test_an_embedded_aws_that_is_deleted_has_taken_its_runs_with_it(
    workspace: Workspace, run_destroy: Destroy, opened: list[Config]
) -> None:
    run_in(workspace, None, state_dir="deleted")
    run_destroy()
    assert not workspace.run_dir(STANDARD).exists()
    assert [place.local.state_dir for place in opened] == [".localaws"], "none is started to look"


def test_on_the_embedded_aws_a_run_on_aws_is_named_and_left(
    workspace: Workspace, account: FakeAccount, run_destroy: Destroy
) -> None:
    run_in(workspace, account, **AWS)
    with pytest.raises(LeftoverError) as caught:
        run_destroy()
    assert "--target aws" in caught.value.remedy
    assert workspace.run_dir(STANDARD).is_dir()


def test_on_aws_a_run_on_the_embedded_aws_costs_nothing_and_is_mentioned(
    workspace: Workspace, run_destroy: Destroy
) -> None:
    run_in(workspace, None)
    removal = run_destroy(config_with(target="aws"))
    assert "--target local" in removal.as_text()
    assert workspace.run_dir(STANDARD).is_dir()


@pytest.mark.parametrize("number_of_runs", [0, 1])
def test_an_account_that_cannot_be_reached_is_named_with_what_is_in_it(
    workspace: Workspace, said: io.StringIO, number_of_runs: int
) -> None:
    def closed(place: Config) -> RunContext:
        raise UsageError("no usable AWS credentials")

    for _ in range(number_of_runs):
        run_in(workspace, None, **AWS)
    with pytest.raises(
        LeftoverError if number_of_runs else UsageError, match=STANDARD if number_of_runs else "no usable"
    ) as caught:
        destroy_everything(
            closed,
            config_with(target="aws"),
            workspace,
            Ui(Console(file=said)),
            remove="runs",
            confirm=lambda *_: True,
        )
    assert "no usable AWS credentials" in caught.value.message + caught.value.details


def test_a_lost_state_folder_does_not_lose_the_run(
    workspace: Workspace, account: FakeAccount, run_destroy: Destroy
) -> None:
    record = make_record("standard")
    record.run_id, record.account_id = STANDARD, ACCOUNT_ID
    save_record(workspace.results_dir, record)
    with pytest.raises(LeftoverError, match=STANDARD):
        run_destroy(config_with(target="aws"), OTHER_ACCOUNT)
    run_destroy(config_with(target="aws", region=record.region))
    assert load_record(record_file(workspace.results_dir, STANDARD)).destroyed_s is not None


def test_without_a_configuration_the_records_say_what_is_removed(
    workspace: Workspace, account: FakeAccount, run_destroy: Destroy, said: io.StringIO
) -> None:
    (workspace.home / ".localaws").mkdir()
    run_in(workspace, account, region="eu-west-1")
    error = ConfigError("config.yaml, line 3: not valid YAML")
    text = run_destroy(config_error=error).as_text()
    assert account.alive() == []
    assert "Nothing of this project" not in text
    assert "not valid YAML" in said.getvalue()
    with pytest.raises(ConfigError):
        run_destroy(config_error=error)


def test_a_kind_that_may_not_be_listed_may_be_left(account: FakeAccount, run_destroy: Destroy) -> None:
    account.errors["list_models", ""] = [client_error("AccessDeniedException", "no listing")] * 9
    with pytest.raises(LeftoverError, match="not everything could be listed") as caught:
        run_destroy()
    assert "no listing" in caught.value.details


def test_one_that_cannot_be_removed_keeps_no_other_and_is_named_once(
    workspace: Workspace, account: FakeAccount, run_destroy: Destroy
) -> None:
    for name in (STANDARD, FAST):
        run_in(workspace, account, name)
    account.errors["delete_endpoint", f"loadbench-{STANDARD}"] = [client_error("AccessDeniedException")] * 9
    with pytest.raises(LeftoverError) as caught:
        run_destroy()
    assert {thing.name for thing in account.alive()} == {f"loadbench-{STANDARD}"}
    assert caught.value.details.count(f"endpoint loadbench-{STANDARD}") == 1
    assert not workspace.run_dir(FAST).exists()


def test_a_run_that_is_known_to_be_gone_can_be_forgotten(workspace: Workspace, run_destroy: Destroy) -> None:
    run_in(workspace, None, **AWS)
    run_destroy(config_with(target="aws"), OTHER_ACCOUNT, forget=[STANDARD])
    assert not workspace.run_dir(STANDARD).exists()


def test_a_no_removes_nothing(workspace: Workspace, account: FakeAccount, run_destroy: Destroy) -> None:
    run_in(workspace, account)
    asked: list[str] = []

    def no(context: RunContext, question: str) -> bool:
        asked.append(question)
        return False

    with pytest.raises(InterruptedRunError):
        run_destroy(confirm=no)
    assert f"endpoint loadbench-{STANDARD}" in asked[0]
    assert len(account.alive()) == 5


def test_while_a_run_is_at_work_nothing_is_removed(
    workspace: Workspace, account: FakeAccount, run_destroy: Destroy
) -> None:
    run_in(workspace, account)
    with lock_path(workspace, "fast"), pytest.raises(UsageError, match="is running the fast path"):
        run_destroy()
    assert len(account.alive()) == 5


def test_a_lock_that_cannot_be_made_is_a_warning(
    workspace: Workspace, account: FakeAccount, run_destroy: Destroy, said: io.StringIO
) -> None:
    run_in(workspace, account)
    (workspace.private_dir / "fast.lock").mkdir()
    run_destroy()
    assert account.alive() == []
    assert "fast.lock" in said.getvalue().replace("\n", "")


def test_stored_data_that_is_still_there_after_its_removal_is_named(
    context_of: OpenContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = Kept("models", "s3://own/models/", 20_000_000, 0.0, "they can be used again", lambda: None)
    monkeypatch.setattr(destroy, "remove_half_made", lambda *_: [])
    monkeypatch.setattr(destroy, "find_kept", lambda *_: [item])
    with pytest.raises(LeftoverError) as caught:
        destroy._remove_stored(context_of(config_with(), ACCOUNT_ID), "all", lambda *_: True)
    assert "models s3://own/models/: 0.02 GB" in caught.value.details
    assert "still there" in caught.value.details
    assert caught.value.exit_code == 3
