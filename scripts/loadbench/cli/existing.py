"""The commands `observe` and `import`, for endpoints that loadbench did not deploy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from loadbench.cli.options import JSON_OPTION, Duration, config_options, open_bench
from loadbench.workspace import Workspace

COMPONENT_OPTION = click.option(
    "--component", metavar="NAME", help="The inference component; required if there are several."
)


@click.command()
@click.argument("endpoint")
@COMPONENT_OPTION
@config_options
@JSON_OPTION
def observe(endpoint: str, component: str | None, as_json: bool, **options: Any) -> None:
    """Watch an endpoint while it is created, updated or scaled.

    Read-only; docs/iam-policy-observe.json has all permissions it needs. If the endpoint does not exist yet,
    waits for it. Ctrl-C stops watching and keeps what was observed.

    \b
    Examples:
      loadbench observe my-endpoint --target aws
      loadbench observe my-endpoint --component my-component --target aws
    """
    from loadbench.results.commands import show_run
    from loadbench.run.existing.observe import observe_endpoint

    context = open_bench(**options)
    record = observe_endpoint(context, endpoint, component)
    if as_json:
        click.echo(record.model_dump_json(indent=2))
    else:
        show_run(record, context.workspace.results_dir)


@click.command("import")
@click.argument("endpoint")
@COMPONENT_OPTION
@click.option(
    "--since",
    "since_s",
    type=Duration(),
    default="7d",
    show_default=True,
    help="Period to search, counted back from now.",
)
@click.option(
    "--from-folder",
    "folder",
    type=click.Path(path_type=Path),
    help="Read exported logs from this folder, without an account.",
)
@config_options
@JSON_OPTION
def import_starts(
    endpoint: str,
    component: str | None,
    since_s: float,
    folder: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Create a record of every past start of an endpoint's copies.

    Reads Describe calls, CloudWatch Logs and metrics, and Application Auto Scaling activities. Changes
    nothing.

    \b
    Examples:
      loadbench import my-endpoint --target aws --since 12h
      loadbench import my-endpoint --component my-component --target aws
      loadbench import my-endpoint --from-folder exported-logs
    """
    from loadbench.results.commands import show_starts
    from loadbench.run.existing.import_starts import import_endpoint, import_folder
    from loadbench.run.record_writer import command_line

    workspace = Workspace.here()
    if folder is not None:
        records = import_folder(workspace.results_dir, command_line(), endpoint, folder, component)
    else:
        records = import_endpoint(open_bench(**options), endpoint, component, since_s)
    if as_json:
        click.echo(json.dumps([record.model_dump(mode="json") for record in records], indent=2))
    else:
        show_starts(records, workspace.results_dir)
