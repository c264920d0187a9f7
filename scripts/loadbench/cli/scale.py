"""`scale-out`: adds one copy to running endpoints."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from loadbench.cli.confirm import confirm, cost_of_run
from loadbench.cli.options import (
    JSON_OPTION,
    config_options,
    method_options,
    open_bench,
    show_plan,
    spending_options,
)
from loadbench.commands_in_messages import typed_here
from loadbench.load_paths import COMPARED_LOAD_PATHS, LOAD_PATHS
from loadbench.workspace import Workspace

if TYPE_CHECKING:
    from loadbench.load_paths import LoadPath
    from loadbench.run.run_context import RunContext
    from loadbench.run.scale_out import ScaledRun


@click.command("scale-out")
@click.argument("load_paths", metavar="[PATH]...", nargs=-1, type=click.Choice(list(LOAD_PATHS)))
@config_options
@method_options
@spending_options
@JSON_OPTION
@click.option("--repeat", type=click.IntRange(1, 1000), default=1, help="Scale-outs of each method, in turn.")
@click.option("--deploy", is_flag=True, help="Deploy missing endpoints, and remove them afterwards.")
@click.option("--keep", is_flag=True, help="Leave the last copy, and the endpoints deployed for it, running.")
def scale_out(
    load_paths: tuple[LoadPath, ...],
    repeat: int,
    deploy: bool,
    keep: bool,
    yes: bool,
    max_usd: float | None,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Add a copy to running endpoints, time it, remove it.

    PATHS: the endpoints to scale; by default all that are running. Requests are sent meanwhile; the result
    says how many of them failed. An endpoint never gets two copies at once.

    \b
    Examples:
      loadbench scale-out fast
      loadbench scale-out standard fast --deploy --repeat 3
    """
    from loadbench.run.scale_out import deployed_load_paths
    from loadbench.run.scale_out import scale_out as scale

    deployments = repeat + deploy  # a copy costs as much as a deployment
    if dry_run:
        show_plan(list(load_paths or COMPARED_LOAD_PATHS), max_usd, options, pairs=deployments)
        return
    context = open_bench(**options)
    chosen = list(load_paths or COMPARED_LOAD_PATHS) if deploy else deployed_load_paths(context, load_paths)
    if max_usd is not None and context.config.target == "aws":
        cost_of_run(context, chosen, deployments).require_within(max_usd)
    _confirm(context, chosen, deploy, keep, yes)
    scaled = scale(context, list(dict.fromkeys(chosen)), repeat=repeat, keep=keep)
    _show(scaled, as_json)
    if keep and not as_json:
        what = " and ".join(item.run.names.endpoint for item in scaled)
        remove = typed_here("make destroy", context.workspace.home)
        click.echo(f"Running with one more copy: {what}. To remove everything: {remove}")


def _confirm(context: RunContext, load_paths: list[LoadPath], deploy: bool, keep: bool, yes: bool) -> None:
    """Print the cost of one more copy; on AWS, ask for confirmation once."""
    from loadbench.run.scale_out import cost_of_copy

    if context.config.target == "local" or yes:
        return
    if deploy:
        click.echo(cost_of_run(context, load_paths, 1).text, err=True)
    until = "until you remove it" if keep else "until it is removed minutes later"
    for load_path in load_paths:
        click.echo(f"{load_path}: {cost_of_copy(context, load_path)}, {until}.", err=True)
    confirm("Continue?", abort=True)


def _show(scaled: list[ScaledRun], as_json: bool) -> None:
    """Compare the scale-outs of this command, and print the path of the page with all of them."""
    from loadbench.results.commands import compare_each, show_scale_outs

    results_dir = Workspace.here().results_dir
    runs = [item.run for item in scaled]
    order = [run.path for run in runs]
    comparisons = compare_each(runs, results_dir, order=order) if len(runs) > 1 else []
    if as_json:
        document = {
            "scale_outs": [record.model_dump(mode="json") for item in scaled for record in item.scale_outs],
            "comparisons": [comparison.comparison_id for comparison in comparisons],
        }
        click.echo(json.dumps(document, indent=2))
        return
    show_scale_outs(runs, [record for item in scaled for record in item.scale_outs], comparisons, results_dir)
