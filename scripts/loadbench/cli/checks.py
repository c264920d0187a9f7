"""Commands that prepare and check, and create nothing that costs money: `doctor`, `render`, `setup`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from loadbench.cli.options import JSON_OPTION, PATH_ARGUMENT, config_options, cost_of_run, open_bench
from loadbench.workspace import Workspace

if TYPE_CHECKING:
    from loadbench.load_paths import LoadPath
    from loadbench.run.run_context import RunContext


@click.command()
@config_options
@JSON_OPTION
@click.option(
    "--live-facts",
    is_flag=True,
    help="Ask, for nothing and reading only, what the code takes for true without having seen it on AWS.",
)
def doctor(as_json: bool, live_facts: bool, **options: Any) -> None:
    """Check what can be known to fail before anything costs money.

    \b
    Examples:
      loadbench doctor --config my.yaml
      loadbench doctor --target aws --json
      loadbench doctor --target aws --live-facts
    """
    from loadbench.run.preflight import run_checks

    context = open_bench(**options)
    if live_facts:
        show_live_facts(context, as_json)
        return
    checks = run_checks(
        context.config, list(context.config.paths), context.account.session, context.ui.progress
    )
    if as_json:
        click.echo(json.dumps([check.__dict__ for check in checks], indent=2))
    else:
        for check in checks:
            remedy = f" {check.remedy}" if check.remedy and check.status != "ok" else ""
            click.echo(f"{check.status:8} {check.name}: {check.message}{remedy}")
        click.echo(f"\n{cost_of_run(context, list(context.config.paths))}")
    if any(check.status == "failure" for check in checks):
        raise SystemExit(2)


def show_live_facts(context: RunContext, as_json: bool) -> None:
    """One line a fact; exit 1 when one is contradicted, because code depends on it."""
    from dataclasses import asdict

    from loadbench.run.preflight.check import CheckContext
    from loadbench.run.preflight.live_facts import find_out
    from loadbench.run.run_context import hugging_face_token

    load_paths, session = list(context.config.paths), context.account.session
    findings = find_out(CheckContext(context.config, load_paths, session, hugging_face_token()))
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2, ensure_ascii=False))
    else:
        for finding in findings:
            click.echo(f"{finding.answer:14} {finding.id}: {finding.claim}\n{'':15}{finding.words}")
    if any(finding.answer == "contradicted" for finding in findings):
        raise SystemExit(1)


@click.command()
@PATH_ARGUMENT
@config_options
def render(load_path: LoadPath, **options: Any) -> None:
    """Print the Terraform variables that a run would use.

    Creates nothing.

    \b
    Examples:
      loadbench render fast --config my.yaml
    """
    from loadbench.run.deployment_plan import rendered_variables

    click.echo(rendered_variables(open_bench(**options), load_path))


@click.command()
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    default=Path("config.yaml"),
    help="The configuration file.",
)
@click.option("--yes", is_flag=True, help="Do not ask before fetching Terraform where there is none.")
def setup(config_file: Path, yes: bool) -> None:
    """Find or fetch Terraform, its provider and the model.

    Every other command does what it needs of this by itself, except fetching Terraform.

    \b
    Examples:
      loadbench setup
      loadbench setup --config my.yaml --yes
    """
    from loadbench.config import load_config
    from loadbench.run.setup import set_up
    from loadbench.ui import Ui

    def may_fetch(question: str) -> bool:
        return yes or (sys.stdin.isatty() and click.confirm(question, default=True, err=True))

    set_up(load_config(config_file), Workspace.here(), Ui(), may_fetch)


@click.command("terraform-test", hidden=True)
def terraform_test() -> None:
    """Terraform fmt, validate and test for every module and root."""
    from loadbench.run.setup import check_terraform
    from loadbench.ui import Ui

    check_terraform(Workspace.here(), Ui())
