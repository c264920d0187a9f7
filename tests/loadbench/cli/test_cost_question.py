"""Before anything is paid for on AWS the user reads what it costs and is asked once; elsewhere nobody is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from botocore.exceptions import NoCredentialsError
from click.testing import CliRunner, Result

from loadbench.cli.confirm import confirm_cost
from loadbench.config import load_config
from loadbench.run.run_context import RunContext
from loadbench.target import Account
from loadbench.ui import Ui
from loadbench.workspace import Workspace

ROOT = Path(__file__).resolve().parents[3]


class NoPriceList:
    """A session of a caller who may not ask for prices."""

    def client(self, service: str, **_: Any) -> Any:
        raise NoCredentialsError


def ask(target: str, answer: str, *, yes: bool = False) -> Result:
    config = load_config(ROOT / "config.yaml", [f"target={target}"])
    session: Any = NoPriceList()
    account = Account(config.target, config.region, "123456789012", session, {})
    context = RunContext(config, Workspace(ROOT, ROOT), account, Ui(), [])

    @click.command()
    def command() -> None:
        confirm_cost(context, ["standard", "fast"], 1, yes, None)
        click.echo("goes on")

    return CliRunner().invoke(command, input=answer)


@pytest.mark.parametrize(("answer", "goes_on"), [("y\n", True), ("n\n", False), ("", False), ("\n", False)])
def test_on_aws_the_cost_is_printed_and_a_yes_is_needed(answer: str, goes_on: bool) -> None:
    result = ask("aws", answer)
    assert "an endpoint with an inference component on 1 × ml.g5.2xlarge" in result.output
    assert result.output.count("Continue?") == 1
    assert ("goes on" in result.output) == goes_on
    assert (result.exit_code == 0) == goes_on


def test_a_script_is_not_asked() -> None:
    assert ask("aws", "", yes=True).output == "goes on\n"


def test_nobody_is_asked_on_the_embedded_aws() -> None:
    assert ask("local", "").output == "goes on\n"
