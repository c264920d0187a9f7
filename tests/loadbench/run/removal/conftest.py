"""A folder with runs in an account in memory, and a Terraform root that needs no provider."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from rich.console import Console

from loadbench.config import Config, load_config
from loadbench.run.removal.deployed_runs import DeployedRun, deployed_by, note_deployed
from loadbench.run.run_context import RunContext
from loadbench.target import Account
from loadbench.ui import Ui
from loadbench.workspace import Workspace
from tests.loadbench.results.builders import make_record
from tests.loadbench.run.fake_account import FakeAccount

ROOT = Path(__file__).parents[4]
ACCOUNT_ID = "123456789012"
STANDARD = "20261123-061530-standard-4f2a"
FAST = "20261123-071530-fast-beef"
SORTS = ("inference_component", "endpoint", "endpoint_config", "model", "role")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    assets = tmp_path / "assets"
    (assets / "terraform").mkdir(parents=True)
    (assets / "terraform" / "main.tf").write_text('resource "terraform_data" "this" {}\n')
    (assets / "terraform" / "outputs.tf").write_text("")
    (tmp_path / "home").mkdir()
    return Workspace(assets, tmp_path / "home")


@pytest.fixture
def account() -> FakeAccount:
    return FakeAccount()


@pytest.fixture
def said() -> io.StringIO:
    return io.StringIO()


OpenContext = Callable[..., RunContext]


@pytest.fixture
def context_of(workspace: Workspace, account: FakeAccount, said: io.StringIO) -> OpenContext:
    """A context of a configuration; the account in memory stands for the one with the given number."""

    def make(config: Config | None = None, account_id: str = ACCOUNT_ID) -> RunContext:
        config = config or config_with()
        session = cast("Any", account)
        there = Account(config.target, config.region, account_id, session, {})
        return RunContext(config, workspace, there, Ui(Console(file=said)), ["loadbench"])

    return make


def config_with(**changes: Any) -> Config:
    return load_config(ROOT / "config.yaml", [f"{key}={value}" for key, value in changes.items()])


def run_in(
    workspace: Workspace, account: FakeAccount | None, run_id: str = STANDARD, **changes: Any
) -> DeployedRun:
    """A run that is up: its note in the folder, its resources in `account`, or (None) in another one."""
    record = make_record("fast" if "fast" in run_id else "standard", target="local")
    record.run_id, record.account_id = run_id, ACCOUNT_ID
    names = dict.fromkeys(type(record.names).model_fields, f"{changes.get('project', 'loadbench')}-{run_id}")
    record.names = type(record.names)(**names)
    run = deployed_by(record).model_copy(update={"state_dir": ".localaws", **changes})
    note_deployed(workspace, run)
    if account is not None:
        put(account, run)
    return run


def put(account: FakeAccount, run: DeployedRun) -> None:
    tags: Mapping[str, str] = {
        "loadbench:project": run.project,
        "loadbench:run-id": run.run_id,
        "loadbench:path": run.path,
    }
    for sort in SORTS:
        account.add(sort, f"{run.project}-{run.run_id}", tags, endpoint=f"{run.project}-{run.run_id}")
