"""Commands that remove: `destroy`, `leftovers`."""

from __future__ import annotations

import json
from typing import Any

import click

from loadbench.cli.options import JSON_OPTION, YES_OPTION, asking, config_options, open_bench


@click.command()
@config_options
@YES_OPTION
@JSON_OPTION
@click.option("--shards", is_flag=True, help="Remove the sharded weights in S3 as well.")
def destroy(yes: bool, as_json: bool, shards: bool, **options: Any) -> None:
    """Remove everything of this project, and check that it is gone.

    Exit code 3, with names and prices, if something that costs money is still there.

    \b
    Examples:
      loadbench destroy
      loadbench destroy --config my.yaml --yes
      loadbench destroy --shards                   the sharded weights in S3 too
    """
    from loadbench.run.destroy import destroy_everything

    context = open_bench(**options)
    summary = destroy_everything(context, include_shards=shards, confirm=asking(context, yes))
    click.echo(json.dumps(summary.as_json(), indent=2) if as_json else summary.as_text())


@click.command()
@config_options
@JSON_OPTION
@click.option("--older-than", default="0h", help="Only what is older, for example 4h or 2d.")
@click.option("--remove", "do_remove", is_flag=True, help="Remove what is listed; otherwise only list.")
@YES_OPTION
def leftovers(older_than: str, do_remove: bool, yes: bool, as_json: bool, **options: Any) -> None:
    """List what any run, checkout or colleague left behind.

    Found by the project's tags, with what each costs an hour.

    \b
    Examples:
      loadbench leftovers --config my.yaml
      loadbench leftovers --older-than 4h --remove --yes
    """
    from loadbench.run.destroy import find_leftovers

    context = open_bench(**options)
    summary = find_leftovers(context, older_than, do_remove, confirm=asking(context, yes))
    click.echo(json.dumps(summary.as_json(), indent=2) if as_json else summary.as_text())
