"""Commands that show recorded results: `report`."""

from __future__ import annotations

import click

from loadbench.cli.options import JSON_OPTION
from loadbench.workspace import Workspace


@click.command()
@click.argument("comparison_id", required=False)
@JSON_OPTION
@click.option("--all", "every_row", is_flag=True, help="Show every phase and measure.")
def report(comparison_id: str | None, as_json: bool, every_row: bool) -> None:
    """Show a comparison again, the newest by default.

    \b
    Examples:
      loadbench report
      loadbench report 20261123-202029-2a45
      loadbench report --all
      loadbench report --json | jq .verdict
    """
    from loadbench.results.commands import latest_comparison_id

    newest = comparison_id or latest_comparison_id(Workspace.here().results_dir)
    show_comparison(newest, as_json, every_row=every_row)


def show_comparison(comparison_id: str, as_json: bool, *, every_row: bool = False) -> None:
    """Print a saved comparison, and where its report is."""
    from loadbench.results.commands import show
    from loadbench.results.select_runs import comparison_folder

    results_dir = Workspace.here().results_dir
    if as_json:
        file = comparison_folder(results_dir, comparison_id) / "comparison.json"
        click.echo(file.read_text(encoding="utf-8"))
    else:
        show(results_dir, comparison_id, every_row=every_row)
