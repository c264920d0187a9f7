"""Commands that show recorded results: `report`."""

from __future__ import annotations

import click

from loadbench.cli.options import JSON_OPTION
from loadbench.workspace import Workspace


@click.command()
@click.argument("comparison_id", required=False)
@JSON_OPTION
def report(comparison_id: str | None, as_json: bool) -> None:
    """Show a comparison again, the newest by default.

    \b
    Examples:
      loadbench report
      loadbench report 20261123-202029-2a45
      loadbench report --json | jq .verdict
    """
    from loadbench.results.commands import latest_comparison_id

    show_comparison(comparison_id or latest_comparison_id(Workspace.here().results_dir), as_json)


def show_comparison(comparison_id: str, as_json: bool) -> None:
    """Print a saved comparison and where its files lie."""
    from loadbench.results.commands import show
    from loadbench.results.select_runs import comparison_folder

    results_dir = Workspace.here().results_dir
    if as_json:
        file = comparison_folder(results_dir, comparison_id) / "comparison.json"
        click.echo(file.read_text(encoding="utf-8"))
    else:
        show(results_dir, comparison_id)
