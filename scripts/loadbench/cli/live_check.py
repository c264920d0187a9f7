"""The command `live-check`: settles assumptions about AWS; asks before each paid step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from loadbench.cli.confirm import confirm, cost_of_run
from loadbench.cli.options import JSON_OPTION, YES_OPTION, config_options, method_options, open_bench

if TYPE_CHECKING:
    from loadbench.load_paths import LoadPath
    from loadbench.run.live_check.walk import LiveCheck
    from loadbench.run.run_context import RunContext


@click.command("live-check")
@config_options
@method_options
@YES_OPTION
@JSON_OPTION
def live_check(yes: bool, as_json: bool, **options: Any) -> None:
    """Verify what loadbench assumes about AWS, cheapest first.

    Makes read-only calls, creates and deletes free resources, then runs the paid steps; it shows the price of
    each and asks first. Everything is removed afterwards. The evidence is written to a file, without the
    account id, after every step. The exit code is 1 if a step failed or an assumption is wrong.

    \b
    Examples:
      loadbench live-check                               the embedded AWS: shows its behaviour
      loadbench live-check --config my.yaml --target aws
    """
    from loadbench.run.live_check.walk import live_check as walk

    context = open_bench(**options)
    checked = walk(context, lambda step: _agreed(context, step, yes))
    if as_json:
        click.echo(checked.file.read_text(encoding="utf-8"), nl=False)
    else:
        _show(checked)
    if checked.has_failed:
        raise SystemExit(1)


def _agreed(context: RunContext, step: str, yes: bool) -> bool:
    """On AWS, show the price of the step and ask."""
    if context.config.target == "local" or yes:
        return True
    what, _, load_path = step.partition(" ")
    click.echo(_cost(context, what, load_path), err=True)
    return confirm(f"Continue with {step}? (no: skip to the next step)")


def _cost(context: RunContext, what: str, load_path: LoadPath) -> str:
    from loadbench.run.scale_out import cost_of_copy

    if what == "scale-out":
        return f"{load_path}: {cost_of_copy(context, load_path)}, until it is removed, minutes later."
    return cost_of_run(context, [load_path], 1).text


def _show(checked: LiveCheck) -> None:
    for step in checked.steps:
        took = f"{step.seconds:8.1f} s" if step.seconds is not None else f"{'':10}"
        click.echo(f"{step.outcome:9} {step.name:18} {took}  {step.words.partition(chr(10))[0]}".rstrip())
    click.echo()
    for finding in checked.findings:
        click.echo(f"{finding.answer:14} {finding.id}\n{'':15}{finding.words}")
    click.echo(f"\nEvidence, without the account id: {checked.file}")
