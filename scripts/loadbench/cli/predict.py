"""The command `predict`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from loadbench.cli.options import (
    FORMAT_OPTION,
    JSON_OPTION,
    config_options,
    read_config,
    readable_records,
)
from loadbench.errors import UsageError
from loadbench.load_paths import LOAD_PATHS
from loadbench.workspace import Workspace

if TYPE_CHECKING:
    from loadbench.config import Config
    from loadbench.predict.learn import KnownStart


class _Names(click.ParamType):  # type: ignore[type-arg]
    """Names separated by commas, without duplicates."""

    name = "names"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[str]:
        """The names. A usage error if there is none."""
        names = list(dict.fromkeys(part.strip() for part in str(value).split(",") if part.strip()))
        if not names:
            self.fail("names nothing", param, ctx)
        return names


@click.command()
@config_options
@click.option(
    "--paths",
    type=_Names(),
    metavar="METHOD,METHOD",
    help="Loading methods; each is compared with the first.",
)
@click.option("--instance-type", "instance_types", type=_Names(), metavar="TYPE,TYPE", help="Instance types.")
@click.option("--model", metavar="ID", help="Model of every loading method: a hub id or a folder.")
@click.option("--weights-gb", type=click.FloatRange(min=0, min_open=True), help="Size of the weights, in GB.")
@click.option(
    "--image-cached", is_flag=True, help="The image is already on the instance, as in later scale-outs."
)
@click.option("--compile-cache-warm", is_flag=True, help="The engine's compile cache is warm.")
@click.option("--check", is_flag=True, help="Compare predicted with measured for every record.")
@click.option(
    "--all", "everything", is_flag=True, help="Show every phase, and every coefficient with its source."
)
@JSON_OPTION
@FORMAT_OPTION
def predict(
    paths: list[str] | None,
    instance_types: list[str] | None,
    model: str | None,
    weights_gb: float | None,
    image_cached: bool,
    compile_cache_warm: bool,
    check: bool,
    everything: bool,
    as_json: bool,
    form: str,
    **options: Any,
) -> None:
    """Predict cold starts and their cost.

    From published figures, updated by the records in results/. Creates nothing and calls no service. Records
    of the embedded AWS and of AWS are never mixed. docs/prediction.md says how well it predicts.

    \b
    Examples:
      loadbench predict --target aws --model meta-llama/Llama-3.1-8B-Instruct
      loadbench predict --config my.yaml --instance-type ml.g5.2xlarge,ml.g6.12xlarge
      loadbench predict --paths standard,streamer --weights-gb 140 --format md
      loadbench predict --all
      loadbench predict --check
    """
    from loadbench.predict.learn import known_starts

    records = readable_records(Workspace.here().results_dir)
    form = "json" if as_json else form
    if check:
        _check({target: known_starts(records, target) for target in ("aws", "local")}, form)
        return
    config = read_config(**options, model=model)
    chosen = paths or [name for name in config.paths if LOAD_PATHS[name].compared]
    unknown = [name for name in chosen if name not in LOAD_PATHS]
    if unknown:
        raise UsageError(
            f"there is no loading method {unknown[0]!r}", remedy=f"Choose from {', '.join(LOAD_PATHS)}."
        )
    known = known_starts(records, config.target)
    conditions: dict[str, Any] = {
        "weights_gb": weights_gb,
        "image_cached": image_cached,
        "compile_cache_warm": compile_cache_warm,
    }
    _predict(config, chosen, instance_types, known, conditions, form, everything)


def _predict(
    config: Config,
    load_paths: Sequence[str],
    instance_types: list[str] | None,
    known: Sequence[KnownStart],
    conditions: dict[str, Any],
    form: str,
    everything: bool,
) -> None:
    from loadbench.cli.tables import print_table
    from loadbench.instance_types import instance_specification
    from loadbench.predict import document
    from loadbench.predict.advice import advise
    from loadbench.predict.learn import learn_from
    from loadbench.predict.model import predict
    from loadbench.predict.planned_start import planned_start
    from loadbench.results.costs import find_price

    for name in instance_types or []:
        instance_specification(name)  # raises an error that lists the known types
    coefficients = learn_from(known, config.target)
    predictions = [
        predict(
            planned_start(config, load_path, known, instance_type=instance_type, **conditions), coefficients
        )
        for load_path in load_paths
        for instance_type in instance_types or [config.deployment(load_path).instance_type]
    ]
    predictions.sort(
        key=lambda item: (instance_types or [""]).index(item.start.instance_type) if instance_types else 0
    )
    advice = advise(predictions, coefficients)
    prices = {
        item.start.instance_type: find_price(item.start.instance_type, config.model_dump())
        for item in predictions
    }
    if form == "json":
        click.echo(json.dumps(document.document(predictions, advice, coefficients, prices), indent=2))
        return
    if form == "csv" and everything:
        print_table(document.PHASE_COLUMNS, document.phase_rows(predictions), form)
        return
    print_table(document.COLUMNS, document.rows(predictions, prices), form)
    if everything:
        click.echo()
        print_table(document.PHASE_COLUMNS, document.phase_rows(predictions), form)
        click.echo()
        print_table(document.COEFFICIENT_COLUMNS, document.coefficient_rows(predictions, coefficients), form)
    if form != "csv":
        _print_sentences(document.sentences(predictions, advice, coefficients), form)


def _check(known: dict[Any, list[KnownStart]], form: str) -> None:
    from loadbench.cli.tables import print_table
    from loadbench.predict import document
    from loadbench.predict.check_predictions import leave_one_out

    checks = [leave_one_out(starts, population) for population, starts in known.items()]
    if form == "json":
        click.echo(json.dumps(document.check_document(checks), indent=2))
        return
    rows = document.check_rows(checks)
    if not rows and form == "table":
        click.echo("No successful start is recorded in this folder yet: there is nothing to compare with.")
        return
    print_table(document.CHECK_COLUMNS, rows, form)
    if form != "csv":
        _print_sentences(document.check_sentences(checks), form)


def _print_sentences(sentences: Sequence[str], form: str) -> None:
    click.echo()
    for sentence in sentences:
        click.echo(f"- {sentence}" if form == "md" else sentence)
