"""The command that simulates a scaling policy: `what-if`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from loadbench.cli.options import FORMAT_OPTION, verbosity_options, with_options
from loadbench.load_paths import LOAD_PATHS
from loadbench.workspace import Workspace

if TYPE_CHECKING:
    from loadbench.what_if.outcome import Day
    from loadbench.what_if.recorded import Recorded
    from loadbench.what_if.report import WhatIf

_ABOVE_ZERO = click.FloatRange(min=0, min_open=True, max=1e7)
_COUNT = click.IntRange(0, 1_000_000)


def _traffic_options(command: Any) -> Any:
    return with_options(
        command,
        click.option(
            "--arrivals",
            type=click.Choice(["poisson", "even"]),
            default="poisson",
            show_default=True,
            help="How requests are spread: at random, or evenly.",
        ),
        click.option("--hours", type=_ABOVE_ZERO, help="How long. Default: 24, of a trace all of it."),
        click.option("--trace", type=click.Path(path_type=Path), help="Traffic from a CSV file, see below."),
        click.option(
            "--burst-every-seconds",
            type=_ABOVE_ZERO,
            default=7200.0,
            show_default=True,
            help="A burst ends every interval of this length.",
        ),
        click.option(
            "--burst-seconds", type=_ABOVE_ZERO, default=900.0, show_default=True, help="How long a burst is."
        ),
        click.option("--burst-rate", type=_ABOVE_ZERO, metavar="R", help="Requests a second in a burst."),
        click.option("--rate", type=click.FloatRange(0, 1e6), metavar="R", help="Requests a second."),
    )


def _serving_options(command: Any) -> Any:
    return with_options(
        command,
        click.option(
            "--timeout-seconds",
            type=_ABOVE_ZERO,
            default=60.0,
            show_default=True,
            help="A request fails after that, as InvokeEndpoint does.",
        ),
        click.option(
            "--routing",
            type=click.Choice(["least-outstanding", "random"]),
            default="least-outstanding",
            show_default=True,
            help="To the copy with the fewest requests, or to any.",
        ),
        click.option(
            "--concurrency",
            type=click.IntRange(1, 10_000),
            default=1,
            show_default=True,
            help="Requests that a copy answers at once.",
        ),
        click.option(
            "--request-seconds",
            "requests",
            multiple=True,
            metavar="[METHOD=]SECONDS",
            help="How long an answer takes. Default: recorded warm requests.",
        ),
        click.option(
            "--cold-start",
            "cold_starts",
            multiple=True,
            metavar="[METHOD=]SECONDS",
            help="How long a copy takes to start. Default: recorded runs.",
        ),
    )


def _scaling_options(command: Any) -> Any:
    return with_options(
        command,
        click.option(
            "--scale-in-cooldown",
            type=click.FloatRange(0, 1e6),
            default=300.0,
            show_default=True,
            help="Seconds from a change to a scale-in.",
        ),
        click.option(
            "--scale-out-cooldown",
            type=click.FloatRange(0, 1e6),
            default=300.0,
            show_default=True,
            help="Seconds from a change to a scale-out.",
        ),
        click.option("--period-seconds", type=_ABOVE_ZERO, help="Default: 60, of concurrency 10."),
        click.option("--max-copies", type=_COUNT, help="Default: 10."),
        click.option("--min-copies", type=_COUNT, default=1, show_default=True, help="0: scale to zero."),
        click.option("--step", "steps", multiple=True, metavar="VALUE:CHANGE", help="Such as 60:+2."),
        click.option("--target-value", type=_ABOVE_ZERO, help="What target tracking keeps the metric at."),
        click.option(
            "--metric",
            type=click.Choice(["invocations", "concurrency"]),
            default="invocations",
            show_default=True,
            help="A copy's requests a minute, or its requests at once.",
        ),
        click.option(
            "--scaling",
            type=click.Choice(["none", "target-tracking", "step"]),
            default="none",
            show_default=True,
            help="The policy.",
        ),
    )


@click.command("what-if")
@click.argument("runs", nargs=-1)
@_traffic_options
@_serving_options
@_scaling_options
@click.option("--paths", metavar="METHOD,METHOD", help="Only these loading methods of the recorded runs.")
@click.option("--model", metavar="ID", help="Only recorded runs of this model.")
@click.option("--instance-type", metavar="TYPE", help="Only recorded runs of this type; its price otherwise.")
@click.option("--usd-per-hour", type=click.FloatRange(0, 1e6), help="Price of a copy's instance.")
@click.option(
    "--target-p99-wait-seconds",
    type=click.FloatRange(0, 1e6),
    metavar="SECONDS",
    help="Find the smallest minimum of copies for which 99 of 100 wait no longer.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31),
    default=0,
    show_default=True,
    help="Draws arrivals, answers and cold starts.",
)
@click.option(
    "--repeat",
    "repeats",
    type=click.IntRange(1, 1000),
    default=5,
    show_default=True,
    help="Simulations, each with a seed of its own; intervals come from them.",
)
@FORMAT_OPTION
@click.option("--chart", type=click.Path(path_type=Path), help="Write the first simulation's chart (SVG).")
@click.option(
    "--export",
    "export_to",
    type=click.Path(path_type=Path),
    help="Write mean and deviation of the loading delay, for other simulators (JSON).",
)
@verbosity_options
def what_if(
    runs: tuple[str, ...],
    paths: str | None,
    model: str | None,
    instance_type: str | None,
    target_p99_wait_seconds: float | None,
    form: str,
    chart: Path | None,
    export_to: Path | None,
    **options: Any,
) -> None:
    """Simulate traffic and scaling with each method's cold starts.

    Nothing is deployed. Cold starts and answering times are those of the recorded RUNS (default: all that are
    like the newest one), or what --cold-start and --request-seconds say: seconds, several of them
    (95,120,110: each as likely), lognormal:MEAN,DEVIATION or exponential:MEAN.

    A trace is a CSV file with a heading: time_s alone (a row a request), or time_s,requests_per_s (the rate
    from then on).

    \b
    Examples:
      loadbench what-if --rate 0.2 --burst-rate 2 --scaling target-tracking --target-value 20
      loadbench what-if --trace monday.csv --scaling step --step 30:+2 --step 5:-1 --min-copies 0
      loadbench what-if --rate 2 --cold-start standard=632 --cold-start fast=590 --request-seconds 4 \\
        --target-p99-wait-seconds 10
      loadbench what-if --rate 2 --format json --chart copies.svg --export delays.json
    """
    from loadbench.what_if.outcome import find_min_copies, play
    from loadbench.what_if.recorded import recorded_loading
    from loadbench.what_if.report import WhatIf, export
    from loadbench.what_if.scenario import Options, make_scenario, serving_words

    known: list[Recorded] = []

    def recorded() -> list[Recorded]:
        names = [name.strip() for name in paths.split(",")] if paths else []
        known.extend(recorded_loading(Workspace.here().results_dir, runs, names, model, instance_type))
        return known

    _check_paths(paths)
    if options["usd_per_hour"] is None and instance_type:
        options["usd_per_hour"] = _price_of(instance_type)
    scenario, loadings = make_scenario(Options(**options), recorded)
    days: list[Day] = [play(scenario, loading) for loading in loadings]
    target_s = target_p99_wait_seconds
    result = WhatIf(
        traffic=scenario.traffic.words,
        arrivals=scenario.arrivals,
        policy=scenario.policy.words,
        serving=serving_words(scenario.serving),
        duration_s=scenario.traffic.duration_s,
        seed=scenario.seed,
        repeats=scenario.repeats,
        outcomes=[outcome for outcome, _ in days],
        needed=[]
        if target_s is None
        else [find_min_copies(scenario, loading, target_s) for loading in loadings],
        notice=_notice(known),
    )
    _print(result, form)
    if chart:
        _write_chart(chart, days, result.notice)
    if export_to:
        export_to.write_text(export(result), encoding="utf-8")


def _notice(known: list[Recorded]) -> str:
    """What the figures are not."""
    if not known:
        return "Simulated from figures that were given, not measured."
    where = ", of the embedded AWS and not of AWS" if any(item.is_local for item in known) else ""
    return f"Simulated from recorded runs{where}."


def _check_paths(paths: str | None) -> None:
    unknown = [name for name in (paths or "").split(",") if paths and name.strip() not in LOAD_PATHS]
    if unknown:
        raise click.BadParameter(f"unknown loading method {unknown[0]!r}; known are {', '.join(LOAD_PATHS)}")


def _price_of(instance_type: str) -> float | None:
    from loadbench.results.costs import table_price

    price = table_price(instance_type)
    return price.usd_per_hour if price else None


def _print(result: WhatIf, form: str) -> None:
    from loadbench.cli.tables import print_table
    from loadbench.what_if.report import assumptions, columns, rows

    if form == "json":
        click.echo(result.model_dump_json(indent=2))
        return
    print_table(columns(result), rows(result), form)
    if form != "csv":
        click.echo()
        click.echo("\n".join(f"- {line}" if form == "md" else line for line in assumptions(result)))


def _write_chart(file: Path, days: list[Day], notice: str | None) -> None:
    from loadbench.what_if.chart import timeline

    sheet = (Workspace.here().assets / "templates" / "charts.css").read_text(encoding="utf-8")
    file.write_text(timeline(days).render_alone(sheet, notice) + "\n", encoding="utf-8")
    click.echo(f"Chart: {file}", err=True)
