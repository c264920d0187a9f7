"""The command `history`: cold starts over time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from loadbench.cli.options import JSON_OPTION
from loadbench.errors import RunError, UsageError
from loadbench.workspace import Workspace

if TYPE_CHECKING:
    from loadbench.results.history.run_history import History, Series

_COLUMNS = ["method", "model", "instance type", "target", "network", "runs", "now", "change"]
_DEFAULT_LIMIT_PERCENT = 10.0


@click.command()
@click.option("--path", "path", metavar="METHOD", help="Only this loading method.")
@click.option("--model", metavar="ID", help="Only this model.")
@click.option("--instance-type", metavar="TYPE", help="Only this instance type.")
@click.option(
    "--target", type=click.Choice(["local", "aws"]), help="Only the embedded AWS, or a real account."
)
@click.option(
    "--max-slowdown-percent",
    "limit_percent",
    type=click.FloatRange(min=0),
    metavar="PERCENT",
    help="Exit with 1 if a newest level is slower than the previous one by more than this.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Path of the page.  [default: results/history.html]",
)
@click.option("--openmetrics", is_flag=True, help="Print OpenMetrics text for a scraper.")
@click.option(
    "--badge",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a badge (SVG) of the newest series.",
)
@click.option("--open", "in_browser", is_flag=True, help="Open the page in the browser.")
@JSON_OPTION
def history(
    path: str | None,
    model: str | None,
    instance_type: str | None,
    target: str | None,
    limit_percent: float | None,
    output: Path | None,
    openmetrics: bool,
    badge: Path | None,
    in_browser: bool,
    as_json: bool,
) -> None:
    """Show cold starts over time, and since when they are slower.

    Every configuration is a series. The page shows medians with intervals, version changes, and changes of
    level with their dates. Detecting a change takes ten runs. docs/history.md describes the method and its
    false-alarm rate.

    \b
    Examples:
      loadbench history
      loadbench history --path standard --open
      loadbench history --target aws --max-slowdown-percent 10
      loadbench history --openmetrics > /var/lib/node_exporter/loadbench.prom
      loadbench history --model my-org/my-model --badge cold-start.svg
      loadbench history --json | jq '.series[].levels[-1]'
    """
    from loadbench.results.history import badge as badges
    from loadbench.results.history import openmetrics as metrics
    from loadbench.results.history.page import render
    from loadbench.results.history.run_history import history_of
    from loadbench.results.run_record import write_atomically

    if as_json and openmetrics:
        raise UsageError("--json and --openmetrics cannot be combined", remedy="Remove one of them.")
    results_dir = Workspace.here().results_dir
    found, unreadable = history_of(results_dir)
    found = _chosen(found, path=path, model=model, instance_type=instance_type, target=target)
    for name, reason in unreadable.items():
        click.echo(f"{name} cannot be read: {reason}", err=True)
    page = output or results_dir / "history.html"
    if output or found.series:
        write_atomically(page, render(found))
    if badge:
        limit = _DEFAULT_LIMIT_PERCENT if limit_percent is None else limit_percent
        write_atomically(badge, badges.render(found.series[0] if found.series else None, limit))
    if as_json:
        click.echo(json.dumps(found.model_dump(mode="json"), indent=2, ensure_ascii=False))
    elif openmetrics:
        click.echo(metrics.render(found), nl=False)
    else:
        _show(found, page)
    if in_browser and found.series and click.launch(str(page)) != 0:
        click.echo(f"Could not start a browser; open {page}", err=True)
    if limit_percent is not None:
        _require_not_slower(found, limit_percent)


def _chosen(found: History, **wanted: str | None) -> History:
    """The series that match the options, and the comparisons that match model and instance type."""

    def fits(series: Series) -> bool:
        has = {
            "path": series.path,
            "target": series.target,
            "model": series.facts["model"],
            "instance_type": series.facts["instance type"],
        }
        return all(value is None or has[name] == value for name, value in wanted.items())

    comparisons = [
        point
        for point in found.comparisons
        if wanted["model"] in (None, point.model)
        and wanted["instance_type"] in (None, point.instance_type)
        and wanted["path"] in (None, point.a, point.b)
        and wanted["target"] in (None, "local" if point.emulated else "aws")
    ]
    series = [item for item in found.series if fits(item)]
    if found.series and not series:
        names = ", ".join(f"{name.replace('_', '-')} {value}" for name, value in wanted.items() if value)
        raise UsageError(
            f"no recorded run matches {names}", remedy="List recorded runs with loadbench list --runs."
        )
    return found.model_copy(update={"series": series, "comparisons": comparisons})


def _show(found: History, page: Path) -> None:
    from loadbench.cli.tables import print_table
    from loadbench.results import formatting

    if not found.series:
        click.echo("No results in this folder yet.")
        return
    print_table(
        _COLUMNS,
        [
            [
                series.path,
                series.facts["model"].rpartition("/")[2],
                series.facts["instance type"],
                "emulated" if series.emulated else "aws",
                series.network,
                f"{len(series.timed)}" + (f" + {series.failed} failed" if series.failed else ""),
                formatting.seconds(series.newest.median_s if series.newest else None),
                series.brief,
            ]
            for series in found.series
        ],
        "table",
    )
    for series in found.series:
        if series.newest and series.newest.change:
            click.echo(f"\n{series.title}:\n  {series.words}")
    if any(series.emulated for series in found.series):
        click.echo("\nemulated: timings of a local emulation, not of AWS")
    click.echo(f"\nPage with charts: {page}")


def _require_not_slower(found: History, limit_percent: float) -> None:
    """Raises RunError if a series' newest level is slower than its previous one by more than the limit."""
    slower = [series for series in found.series if series.slowdown_percent > limit_percent]
    if slower:
        raise RunError(
            f"slower by more than --max-slowdown-percent {limit_percent:g}: "
            + "; ".join(f"{series.title}, {series.words}" for series in slower),
            remedy="history.html lists the runs; compare runs from before the change with runs after it.",
        )
