"""Commands that prepare and check, and create nothing that costs money: `doctor`, `render`, `setup`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from loadbench.cli.confirm import cost_of_run
from loadbench.cli.options import (
    FORMAT_OPTION,
    JSON_OPTION,
    PATH_ARGUMENT,
    config_options,
    make_ui,
    method_options,
    open_bench,
    read_config,
)
from loadbench.cli.tables import print_table
from loadbench.errors import UsageError
from loadbench.workspace import Workspace

if TYPE_CHECKING:
    from loadbench.load_paths import LoadPath
    from loadbench.run.run_context import RunContext


@click.command()
@config_options
@method_options
@JSON_OPTION
@FORMAT_OPTION
@click.option(
    "--live-facts", is_flag=True, help="Verify the unverified assumptions about AWS (read-only, free)."
)
@click.option(
    "--rehearse", is_flag=True, help="Create the free resources of a run on the target, and remove them."
)
def doctor(as_json: bool, form: str, live_facts: bool, rehearse: bool, **options: Any) -> None:
    """Run the pre-flight checks and estimate the cost.

    Creates nothing, except with --rehearse. Exit code 2 if a check fails; warnings are not failures.

    \b
    Examples:
      loadbench doctor --config my.yaml
      loadbench doctor --target aws --format json
      loadbench doctor --target aws --live-facts
      loadbench doctor --target aws --rehearse
    """
    from loadbench.run.preflight import Check, check_methods, estimate_cost

    form = "json" if as_json else form
    if live_facts:
        show_live_facts(open_bench(**options), form == "json")
        return
    if rehearse:
        show_rehearsal(open_bench(**options), form == "json")
        return
    config, context, missing = read_config(**options), None, None
    try:
        context = open_bench(**options)
    except UsageError as error:
        if config.target == "local":
            raise
        missing = Check("credentials", "failure", error.message, error.remedy, config.paths)
    load_paths = list(config.paths)
    session = context.account.session if context else None
    checks = check_methods(config, load_paths, session, make_ui().progress)
    checks = [missing, *checks] if missing else checks
    rows = [
        [
            check.status,
            check.name,
            "all" if len(check.methods) == len(load_paths) else ", ".join(check.methods),
            f"{check.message}. {check.remedy}" if check.remedy and check.status != "ok" else check.message,
        ]
        for check in checks
    ]
    print_table(["status", "check", "method", "finding"], rows, form, [asdict(check) for check in checks])
    if form == "table":
        if missing:
            click.echo("\nChecks that need an account were skipped.")
        pairs = config.benchmark.pairs
        estimate = (
            cost_of_run(context, load_paths, pairs) if context else estimate_cost(config, load_paths, pairs)
        )
        click.echo(f"\n{estimate.text}")
    if any(check.status == "failure" for check in checks):
        raise SystemExit(2)


def show_rehearsal(context: RunContext, as_json: bool) -> None:
    """One line per load path; a refused resource ends the rehearsal with the service's reason."""
    from dataclasses import asdict

    from loadbench.run.rehearsal import rehearse

    for load_path in context.config.paths:
        with context.path_lock(load_path):
            done = rehearse(context, load_path)
        click.echo(json.dumps(asdict(done)) if as_json else done.as_text())


def show_live_facts(context: RunContext, as_json: bool) -> None:
    """One line per fact; exit 1 if one is contradicted, because code depends on it."""
    from loadbench.run.live_check.facts import find_out
    from loadbench.run.preflight.check_result import CheckContext
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
@method_options
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
@click.option("--yes", is_flag=True, help="Download Terraform without asking if there is none.")
def setup(config_file: Path, yes: bool) -> None:
    """Find or download Terraform, its provider and the model.

    Other commands do this when they need it, except that they never download Terraform.

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
