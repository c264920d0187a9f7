"""The command `what-if`: simulates a scaling policy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from loadbench.cli.options import FORMAT_OPTION, config_options, read_config, readable_records, with_options
from loadbench.errors import UsageError
from loadbench.load_paths import LOAD_PATHS
from loadbench.workspace import Workspace

if TYPE_CHECKING:
    from loadbench.what_if.outcome import Day
    from loadbench.what_if.recorded import LoadingFigures
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
            help="Arrival process: random or evenly spaced.",
        ),
        click.option("--hours", type=_ABOVE_ZERO, help="Simulated time. Default: 24, or the whole trace."),
        click.option(
            "--trace", type=click.Path(path_type=Path), help="Traffic from a CSV file, described above."
        ),
        click.option(
            "--burst-every-seconds",
            type=_ABOVE_ZERO,
            default=7200.0,
            show_default=True,
            help="Interval of bursts; each interval ends with one.",
        ),
        click.option(
            "--burst-seconds", type=_ABOVE_ZERO, default=900.0, show_default=True, help="Length of a burst."
        ),
        click.option("--burst-rate", type=_ABOVE_ZERO, metavar="R", help="Requests per second in a burst."),
        click.option("--rate", type=click.FloatRange(0, 1e6), metavar="R", help="Requests per second."),
    )


def _serving_options(command: Any) -> Any:
    return with_options(
        command,
        click.option(
            "--timeout-seconds",
            type=_ABOVE_ZERO,
            default=60.0,
            show_default=True,
            help="Timeout of a request; InvokeEndpoint has 60.",
        ),
        click.option(
            "--routing",
            type=click.Choice(["least-outstanding", "random"]),
            default="least-outstanding",
            show_default=True,
            help="Routing to the copy with the fewest requests, or to a random one.",
        ),
        click.option(
            "--concurrency",
            type=click.IntRange(1, 10_000),
            default=1,
            show_default=True,
            help="Concurrent requests per copy.",
        ),
        click.option(
            "--request-seconds",
            "requests",
            multiple=True,
            metavar="[METHOD=]SECONDS",
            help="Response time. Default: recorded warm requests.",
        ),
        click.option(
            "--cold-start",
            "cold_starts",
            multiple=True,
            metavar="[METHOD=]SECONDS",
            help="Time to start a copy. Default: recorded runs.",
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
            help="Cooldown before a scale-in, in seconds.",
        ),
        click.option(
            "--scale-out-cooldown",
            type=click.FloatRange(0, 1e6),
            default=300.0,
            show_default=True,
            help="Cooldown before a scale-out, in seconds.",
        ),
        click.option(
            "--period-seconds", type=_ABOVE_ZERO, help="Metric period. Default: 60; 10 for concurrency."
        ),
        click.option("--max-copies", type=_COUNT, help="Most copies. Default: 10."),
        click.option(
            "--min-copies", type=_COUNT, default=1, show_default=True, help="Fewest copies; 0 scales to zero."
        ),
        click.option(
            "--step", "steps", multiple=True, metavar="VALUE:CHANGE", help="Scaling step, for example 60:+2."
        ),
        click.option("--target-value", type=_ABOVE_ZERO, help="Target of the metric (target tracking)."),
        click.option(
            "--metric",
            type=click.Choice(["invocations", "concurrency"]),
            default="invocations",
            show_default=True,
            help="Requests per minute and copy, or concurrent requests per copy.",
        ),
        click.option(
            "--scaling",
            type=click.Choice(["none", "target-tracking", "step"]),
            default="none",
            show_default=True,
            help="Scaling policy.",
        ),
    )


@click.command("what-if")
@click.argument("runs", nargs=-1)
@_traffic_options
@_serving_options
@_scaling_options
@click.option("--paths", metavar="METHOD,METHOD", help="Only these loading methods.")
@click.option("--model", metavar="ID", help="Only recorded runs of this model, or the model to predict.")
@click.option(
    "--instance-type",
    metavar="TYPE",
    help="Only recorded runs of this type, or the type to predict; also sets the price.",
)
@click.option(
    "--predicted", is_flag=True, help="Predict the cold starts of --config, as `loadbench predict` does."
)
@click.option(
    "--image-cached", is_flag=True, help="With --predicted: the image is cached, as in later scale-outs."
)
@click.option("--usd-per-hour", type=click.FloatRange(0, 1e6), help="Hourly price of a copy's instance.")
@click.option(
    "--target-p99-wait-seconds",
    type=click.FloatRange(0, 1e6),
    metavar="SECONDS",
    help="Find the smallest --min-copies with a p99 wait within this.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31),
    default=0,
    show_default=True,
    help="Random seed for arrivals, response times and cold starts.",
)
@click.option(
    "--repeat",
    "repeats",
    type=click.IntRange(1, 1000),
    default=5,
    show_default=True,
    help="Number of simulations, each with its own seed; several give intervals.",
)
@FORMAT_OPTION
@click.option("--chart", type=click.Path(path_type=Path), help="Write a chart of the first simulation (SVG).")
@click.option(
    "--export",
    "export_to",
    type=click.Path(path_type=Path),
    help="Write mean and standard deviation of the loading delay, for other simulators (JSON).",
)
@config_options
def what_if(
    runs: tuple[str, ...],
    paths: str | None,
    model: str | None,
    instance_type: str | None,
    target_p99_wait_seconds: float | None,
    form: str,
    chart: Path | None,
    export_to: Path | None,
    predicted: bool,
    image_cached: bool,
    config_file: Path,
    target: str | None,
    overrides: tuple[str, ...],
    **options: Any,
) -> None:
    """Simulate traffic and scaling with each method's cold starts.

    Nothing is deployed. Cold starts and response times are taken from the recorded RUNS (default: all that
    match the newest one), predicted (--predicted), or given by --cold-start and --request-seconds: one number
    of seconds, several (95,120,110: equally likely), lognormal:MEAN,STDDEV or exponential:MEAN.

    A trace is a CSV file with a header line: time_s (one row per request), or time_s,requests_per_s (the rate
    from that time on).

    \b
    Examples:
      loadbench what-if --rate 0.2 --burst-rate 2 --scaling target-tracking --target-value 20
      loadbench what-if --trace monday.csv --scaling step --step 30:+2 --step 5:-1 --min-copies 0
      loadbench what-if --rate 2 --cold-start standard=632 --cold-start fast=590 --request-seconds 4 \\
        --target-p99-wait-seconds 10
      loadbench what-if --rate 2 --predicted --target aws --request-seconds 4 --min-copies 1
      loadbench what-if --rate 2 --format json --chart copies.svg --export delays.json
    """
    from loadbench.what_if.outcome import find_min_copies, play
    from loadbench.what_if.predicted import predicted_loading
    from loadbench.what_if.recorded import recorded_loading
    from loadbench.what_if.report import WhatIf, export
    from loadbench.what_if.scenario import Options, make_scenario, serving_words

    known: list[LoadingFigures] = []

    def figures() -> list[LoadingFigures]:
        names = [name.strip() for name in paths.split(",")] if paths else []
        results_dir = Workspace.here().results_dir
        if predicted:
            config = read_config(config_file, target, overrides, model, instance_type)
            records = readable_records(results_dir)
            known.extend(predicted_loading(config, names, records, image_cached=image_cached))
        else:
            known.extend(recorded_loading(results_dir, runs, names, model, instance_type))
        return known

    _check_paths(paths)
    if predicted and (runs or options["cold_starts"]):
        raise UsageError("--predicted cannot be combined with recorded runs or --cold-start")
    for option, given in (("--image-cached", image_cached), ("--target", target), ("--set", overrides)):
        if given and not predicted:
            raise UsageError(f"{option} has no effect without --predicted", remedy="Add --predicted.")
    if options["usd_per_hour"] is None and instance_type:
        options["usd_per_hour"] = _price_of(instance_type)
    scenario, loadings = make_scenario(Options(**options), figures)
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
        notice=_notice(known, predicted),
    )
    _print(result, form)
    if chart:
        _write_chart(chart, days, result.notice)
    if export_to:
        export_to.write_text(export(result), encoding="utf-8")


def _notice(known: list[LoadingFigures], predicted: bool) -> str:
    """The limits of the figures."""
    if known and predicted:
        where = "the embedded AWS" if known[0].is_local else "AWS"
        return f"Simulated from predicted cold starts on {where} (docs/prediction.md), not from measurements."
    if not known:
        return "Simulated from given figures, not from measurements."
    where = " on the embedded AWS, not on AWS" if any(item.is_local for item in known) else ""
    return f"Simulated from recorded runs{where}."


def _check_paths(paths: str | None) -> None:
    unknown = [name for name in (paths or "").split(",") if paths and name.strip() not in LOAD_PATHS]
    if unknown:
        raise click.BadParameter(
            f"unknown loading method {unknown[0]!r}; known methods: {', '.join(LOAD_PATHS)}"
        )


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
