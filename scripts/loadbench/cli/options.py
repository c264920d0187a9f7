"""What the commands share: options, the configuration, the way to the target, questions before paying."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from loadbench.load_paths import LOAD_PATHS
from loadbench.workspace import Workspace

if TYPE_CHECKING:
    from loadbench.config import Config
    from loadbench.load_paths import LoadPath
    from loadbench.run.run_context import RunContext
    from loadbench.ui import Ui

PATH_ARGUMENT = click.argument("load_path", metavar="PATH", type=click.Choice(list(LOAD_PATHS)))
JSON_OPTION = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
YES_OPTION = click.option(
    "--yes", is_flag=True, help="Do not ask before creating or removing what costs money."
)

_VERBOSITY = "loadbench.verbosity"


def _remember_verbosity(context: click.Context, option: click.Parameter, given: bool) -> None:
    if given:
        context.meta[_VERBOSITY] = option.name


def verbosity_options(command: Any) -> Any:
    """`-v` and `-q`, before the verb or after it; the last one counts."""
    for name, text in (
        ("--quiet", "Show results, warnings and errors only."),
        ("--verbose", "Show what Terraform, the service and the container say, and each retry."),
    ):
        command = click.option(
            name[1:3], name, is_flag=True, expose_value=False, callback=_remember_verbosity, help=text
        )(command)
    return command


def make_ui() -> Ui:
    """Progress as loud as this call asked for."""
    from loadbench.ui import Ui

    asked = click.get_current_context().meta.get(_VERBOSITY)
    return Ui(verbose=asked == "verbose", quiet=asked == "quiet")


def config_options(command: Any) -> Any:
    """Options that say which configuration, shared by every command that reads one."""
    command = verbosity_options(command)
    for option in (
        click.option(
            "--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Override one key."
        ),
        click.option(
            "--target", type=click.Choice(["local", "aws"]), help="The embedded AWS, or a real account."
        ),
        click.option(
            "--config",
            "config_file",
            type=click.Path(path_type=Path),
            default=Path("config.yaml"),
            show_default=True,
            help="The configuration file.",
        ),
    ):
        command = option(command)
    return command


def read_config(config_file: Path, target: str | None, overrides: tuple[str, ...]) -> Config:
    """The configuration with the call's overrides."""
    from loadbench.config import load_config

    return load_config(config_file, [*overrides, *([f"target={target}"] if target else [])])


def open_bench(**options: Any) -> RunContext:
    """Read the configuration, load `.env`, reach the target."""
    return open_context(read_config(**options), make_ui())


def open_context(config: Config, ui: Ui) -> RunContext:
    """Load `.env` and reach the target that a configuration names."""
    from dotenv import load_dotenv

    from loadbench.run.record_writer import command_line
    from loadbench.run.run_context import RunContext
    from loadbench.target import open_account

    workspace = Workspace.here()
    secrets = workspace.home / ".env"
    if load_dotenv(secrets) and secrets.stat().st_mode & 0o077:
        ui.warn(f"{secrets} can be read by others: chmod 600 {secrets}")
    with ui.step("reaching the embedded AWS" if config.target == "local" else "reaching AWS"):
        account = open_account(config, workspace.home)
    return RunContext(config, workspace, account, ui, command_line())


def confirm_cost(context: RunContext, load_paths: list[LoadPath], yes: bool) -> None:
    """On AWS, say what will be created and what it costs, and ask once."""
    if context.config.target == "local" or yes:
        return
    click.echo(cost_of_run(context, load_paths), err=True)
    click.confirm("Go on?", abort=True, err=True)


def cost_of_run(context: RunContext, load_paths: list[LoadPath]) -> str:
    """What a run of these paths creates and costs; on AWS at the price that AWS tells now."""
    from loadbench.run.preflight import cost_summary
    from loadbench.run.price_lookup import look_up_price

    if context.config.target == "local":
        return cost_summary(context.config, load_paths)
    session, region = context.account.session, context.config.region
    return cost_summary(context.config, load_paths, lambda name: look_up_price(session, name, region))


def asking(context: RunContext, yes: bool) -> Any:
    """A question for removals: asked on AWS, taken as yes on the embedded target or with --yes."""
    if context.config.target == "local" or yes:
        return lambda _: True
    return lambda question: click.confirm(question, err=True)
