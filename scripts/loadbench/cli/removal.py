"""Commands that remove: `destroy`, `leftovers`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from loadbench.cli.confirm import asking
from loadbench.cli.options import (
    JSON_OPTION,
    YES_OPTION,
    Duration,
    config_options,
    make_ui,
    open_bench,
    open_context,
    read_config,
)
from loadbench.errors import ConfigError

if TYPE_CHECKING:
    from loadbench.config import Config


@click.command()
@config_options
@YES_OPTION
@JSON_OPTION
@click.option("--shards", is_flag=True, help="Remove the sharded weights in S3 as well.")
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Remove models, shards, logs and the bucket made here as well; stop the embedded AWS.",
)
@click.option(
    "--forget", multiple=True, metavar="RUN", help="A run whose resources you know are gone: it is skipped."
)
def destroy(
    yes: bool, as_json: bool, shards: bool, everything: bool, forget: tuple[str, ...], **options: Any
) -> None:
    """Remove everything of this project, and verify that it is gone.

    Runs of this folder are removed from the account and region they were created in, even if the
    configuration has changed since. Exit code 3, with names and prices, if something that costs money still
    exists.

    \b
    Examples:
      loadbench destroy
      loadbench destroy --config my.yaml --yes
      loadbench destroy --shards                   the sharded weights in S3 too
      loadbench destroy --all                      and models, logs, the bucket
    """
    from loadbench.run.destroy import destroy_everything
    from loadbench.workspace import Workspace

    ui = make_ui()
    config, error = _config_or_stand_in(**options)
    summary = destroy_everything(
        lambda place: open_context(place, ui),
        config,
        Workspace.here(),
        ui,
        remove="all" if everything else "shards" if shards else "runs",
        confirm=lambda context, question: asking(context, yes)(question),
        forget=forget,
        config_error=error,
    )
    click.echo(json.dumps(summary.as_json(), indent=2) if as_json else summary.as_text())


def _config_or_stand_in(
    config_file: Path, target: str | None, overrides: tuple[str, ...]
) -> tuple[Config, ConfigError | None]:
    """The configuration, or a default one and the error of the file: a removal must not depend on it."""
    from loadbench.config import Config

    try:
        return read_config(config_file, target, overrides), None
    except ConfigError as error:
        nothing = {"hf_model_id": "none", "image_uri": "none", "instance_type": "ml.none.none"}
        sections = {"standard_deployment_info": nothing, "fast_model_loading_info": nothing}
        return Config.model_validate(sections), error


@click.command()
@config_options
@JSON_OPTION
@click.option(
    "--older-than",
    "older_than_s",
    type=Duration(),
    default="0h",
    help="Only resources that are older, for example 4h or 2d.",
)
@click.option("--remove", "do_remove", is_flag=True, help="Also remove what is listed.")
@YES_OPTION
def leftovers(older_than_s: float, do_remove: bool, yes: bool, as_json: bool, **options: Any) -> None:
    """List orphaned resources of any run, checkout or colleague.

    They are found by the project's tags, and listed with their hourly cost.

    \b
    Examples:
      loadbench leftovers --config my.yaml
      loadbench leftovers --older-than 4h --remove --yes
    """
    from loadbench.run.destroy import find_leftovers

    context = open_bench(**options)
    summary = find_leftovers(context, older_than_s, do_remove, confirm=asking(context, yes))
    click.echo(json.dumps(summary.as_json(), indent=2) if as_json else summary.as_text())
