"""The commands `engine install`, `status` and `remove`: serving engines for the embedded AWS."""

from __future__ import annotations

import json

import click

from loadbench.cli.options import JSON_OPTION, make_ui, verbosity_options
from loadbench.workspace import Workspace

ENGINE_ARGUMENT = click.argument("name", metavar="ENGINE", default="vllm")


@click.group()
def engine() -> None:
    """Real serving engines for the embedded AWS.

    If vLLM is installed, the embedded AWS serves images of the vLLM server with vLLM itself, otherwise with
    its own model server. Every record names the one that was used.
    """


@engine.command()
@ENGINE_ARGUMENT
@verbosity_options
def install(name: str) -> None:
    """Install an engine into .loadbench/engines.

    Takes minutes and gigabytes the first time; does nothing if it is already installed.

    \b
    Examples:
      loadbench engine install vllm
    """
    from loadbench.engines import installation

    chosen, private_dir, ui = installation.engine_named(name), Workspace.here().private_dir, make_ui()
    found = installation.find(chosen, private_dir)
    if found.is_ready:
        ui.note(f"{chosen.name} {chosen.version} is installed in {found.folder}")
        return
    if found.state != "absent":
        ui.note(f"{found.folder} is {found.state}: reinstalling")
    ui.note(f"{chosen.name} {chosen.version} will be installed in {found.folder}: {chosen.cost}")
    with ui.step(f"installing {chosen.name} {chosen.version}"):
        installation.install(chosen, private_dir, ui.progress)
    ui.note("A running embedded AWS uses it after the next command, for new endpoints only.")


@engine.command()
@JSON_OPTION
def status(as_json: bool) -> None:
    """Show which engines are installed, and where.

    \b
    Examples:
      loadbench engine status
      loadbench engine status --json
    """
    from loadbench.engines import installation

    private_dir = Workspace.here().private_dir
    found = [installation.find(item, private_dir) for item in installation.ENGINES.values()]
    if as_json:
        rows = [
            {"name": i.engine.name, "version": i.engine.version, "state": i.state, "folder": str(i.folder)}
            for i in found
        ]
        click.echo(json.dumps(rows, indent=2))
        return
    for item in found:
        place = str(item.folder) if item.state != "absent" else f"{item.engine.cost} to install"
        click.echo(f"{item.engine.name} {item.engine.version}: {item.state} ({place})")


@engine.command()
@ENGINE_ARGUMENT
@verbosity_options
def remove(name: str) -> None:
    """Remove an engine's environment.

    \b
    Examples:
      loadbench engine remove vllm
    """
    from loadbench.engines import installation

    chosen, ui = installation.engine_named(name), make_ui()
    with ui.step(f"removing {chosen.name} {chosen.version}"):
        was_there = installation.remove(chosen, Workspace.here().private_dir)
    if not was_there:
        ui.note(f"{chosen.name} is not installed")
