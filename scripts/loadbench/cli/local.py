"""Commands of the embedded AWS: `local up`, `down`, `status`, `env`, `logs`."""

from __future__ import annotations

import json
from typing import Any

import click

from loadbench.cli.options import config_options, read_config
from loadbench.workspace import Workspace


@click.group()
def local() -> None:
    """Start, stop, inspect and use the embedded AWS."""


def _local_command(name: str, summary: str, *examples: str) -> None:
    @config_options
    @click.option("--json", "as_json", is_flag=True, help="Print machine-readable JSON.")
    def command(as_json: bool, **options: Any) -> None:
        from loadbench import target

        config, home = read_config(**options), Workspace.here().home
        if name == "up":
            target.start_local(config, home)
        if name == "env":
            environment = target.local_environment(config, home)
            click.echo(json.dumps(environment) if as_json else target.export_lines(environment))
            return
        shown = "status" if name == "up" else name
        arguments = [shown, "--json"] if as_json and shown == "status" else [shown]
        click.echo(target.localaws(arguments, config, home), nl=False)

    lines = "\n".join(f"  {example}" for example in examples or (f"loadbench local {name}",))
    command.__doc__ = f"{summary}\n\n\b\nExamples:\n{lines}"
    local.command(name)(command)


_local_command("up", "Start it, or apply the configuration's `local` section to it.")
_local_command("down", "Stop it and every model server.")
_local_command(
    "status",
    "Show whether it runs, its address, and its endpoints.",
    "loadbench local status",
    "loadbench local status --json",
)
_local_command(
    "env",
    "Print shell exports that make any AWS client use it.",
    'eval "$(loadbench local env)"',
    "loadbench local env --json",
)
_local_command("logs", "Show the server's log.")
