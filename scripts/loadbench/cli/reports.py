"""Commands that show recorded results: `list`, `show`, `report`."""

from __future__ import annotations

import click

from loadbench.cli.options import FORMAT_OPTION, JSON_OPTION
from loadbench.workspace import Workspace

ALL_ROWS_OPTION = click.option("--all", "every_row", is_flag=True, help="Show every phase and measure.")
_EXTENSIONS = {"csv": "raw.csv", "md": "comparison.md", "json": "comparison.json"}


@click.command()
@click.argument("comparison_id", required=False)
@JSON_OPTION
@FORMAT_OPTION
@ALL_ROWS_OPTION
@click.option("--open", "in_browser", is_flag=True, help="Open the report page in the browser.")
def report(comparison_id: str | None, as_json: bool, form: str, every_row: bool, in_browser: bool) -> None:
    """Show a comparison again, the newest by default.

    \b
    Examples:
      loadbench report
      loadbench report --all
      loadbench report --open
      loadbench report 20261123-202029-2a45 --format md
      loadbench report --json | jq .verdict
    """
    from loadbench.results.commands import latest_comparison_id
    from loadbench.results.select_runs import comparison_folder

    results_dir = Workspace.here().results_dir
    chosen = comparison_id or latest_comparison_id(results_dir)
    show_comparison(chosen, "json" if as_json else form, every_row=every_row)
    if in_browser:
        page = comparison_folder(results_dir, chosen) / "report.html"
        if click.launch(str(page)) != 0:
            click.echo(f"No browser could be started; open {page}", err=True)


@click.command("list")
@FORMAT_OPTION
@click.option("--runs", "what", flag_value="runs", help="Runs only.")
@click.option("--comparisons", "what", flag_value="comparisons", help="Comparisons only.")
def list_results(form: str, what: str | None) -> None:
    """List recorded comparisons and runs, the newest first.

    \b
    Examples:
      loadbench list
      loadbench list --runs --format csv
    """
    from loadbench.cli.tables import print_table
    from loadbench.results.listing import COLUMNS, list_results

    rows, unreadable = list_results(Workspace.here().results_dir, what)
    if not rows and form == "table":
        click.echo("No results in this folder yet.")
    else:
        print_table(COLUMNS, rows, form)
    for name, reason in unreadable.items():
        click.echo(f"{name} cannot be read: {reason}", err=True)


@click.command()
@click.argument("name", metavar="ID")
@JSON_OPTION
@ALL_ROWS_OPTION
def show(name: str, as_json: bool, every_row: bool) -> None:
    """Show one run or one comparison by its id.

    \b
    Examples:
      loadbench show 20261123-061530-standard-4f2a
      loadbench show 20261123-202029-2a45 --all
    """
    from loadbench.results.commands import show_run
    from loadbench.results.select_runs import comparison_folder, is_file, recorded_runs

    results_dir = Workspace.here().results_dir
    if is_file(comparison_folder(results_dir, name) / "comparison.json"):
        show_comparison(name, "json" if as_json else "table", every_row=every_row)
        return
    (record,) = recorded_runs(results_dir, [name])[:1]
    if as_json:
        click.echo(record.model_dump_json(indent=2))
    else:
        show_run(record, results_dir)


def show_comparison(comparison_id: str, form: str = "table", *, every_row: bool = False) -> None:
    """Print a saved comparison: as a table with the path of its report, or one of its files unchanged."""
    from loadbench.results.commands import show
    from loadbench.results.comparison.model import load_comparison
    from loadbench.results.select_runs import comparison_folder

    results_dir = Workspace.here().results_dir
    if form in _EXTENSIONS:
        folder = comparison_folder(results_dir, comparison_id)
        load_comparison(folder)  # raises UsageError for a wrong name
        click.echo((folder / _EXTENSIONS[form]).read_text(encoding="utf-8"), nl=False)
    else:
        show(results_dir, comparison_id, every_row=every_row)
