"""Shared by the commands: options, loading the configuration, opening the target."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from loadbench.errors import UsageError
from loadbench.load_paths import LOAD_PATHS
from loadbench.workspace import Workspace

if TYPE_CHECKING:
    from loadbench.config import Config
    from loadbench.load_paths import LoadPath
    from loadbench.results.run_record import RunRecord
    from loadbench.run.run_context import RunContext
    from loadbench.ui import Ui

PATH_ARGUMENT = click.argument("load_path", metavar="PATH", type=click.Choice(list(LOAD_PATHS)))
JSON_OPTION = click.option("--json", "as_json", is_flag=True, help="Print machine-readable JSON.")
YES_OPTION = click.option(
    "--yes", is_flag=True, help="Do not ask before creating or removing what costs money."
)
FORMATS = ("table", "csv", "md", "json")
FORMAT_OPTION = click.option(
    "--format", "form", type=click.Choice(FORMATS), default="table", show_default=True, help="Output format."
)

_UNITS_S = {"m": 60.0, "h": 3600.0, "d": 86400.0}
_VERBOSITY = "loadbench.verbosity"


class Duration(click.ParamType):  # type: ignore[type-arg]
    """A duration: 90m, 12h, 7d."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([mhd])", str(value).strip())
        if found is None:
            self.fail(f"{value!r} is not a duration; write 90m, 12h or 7d", param, ctx)
        return float(found[1]) * _UNITS_S[found[2]]


def _remember_verbosity(context: click.Context, option: click.Parameter, given: bool) -> None:
    if given:
        context.meta[_VERBOSITY] = option.name


def verbosity_options(command: Any) -> Any:
    """`-v` and `-q`, before or after the command; the last one counts."""
    for name, text in (
        ("--quiet", "Show results, warnings and errors only."),
        ("--verbose", "Show the output of Terraform, the service and the container, and each retry."),
    ):
        command = click.option(
            name[1:3], name, is_flag=True, expose_value=False, callback=_remember_verbosity, help=text
        )(command)
    return command


def make_ui() -> Ui:
    """Progress output as verbose as the options say."""
    from loadbench.ui import Ui

    asked = click.get_current_context().meta.get(_VERBOSITY)
    return Ui(
        verbose=asked == "verbose",
        quiet=asked == "quiet",
        durations_file=Workspace.here().private_dir / "step_seconds.json",
    )


def with_options(command: Any, *options: Any) -> Any:
    """A command with these options; the last one is listed first in its help."""
    for option in options:
        command = option(command)
    return command


def config_options(command: Any) -> Any:
    """Options that choose the configuration, for every command that reads one."""
    command = verbosity_options(command)
    return with_options(
        command,
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
    )


def method_options(command: Any) -> Any:
    """Options that change the sections of all methods."""
    return with_options(
        command,
        click.option("--instance-type", metavar="TYPE", help="Instance type of every loading method."),
        click.option("--model", metavar="ID", help="Model of every loading method: a hub id or a folder."),
    )


def spending_options(command: Any) -> Any:
    """Options of every command that may create resources that cost money."""
    return with_options(
        command,
        click.option("--dry-run", is_flag=True, help="Print plan, requests and cost; create nothing."),
        click.option(
            "--max-usd",
            type=click.FloatRange(min=0),
            metavar="USD",
            help="Refuse to start if the estimated total is higher, or unknown.",
        ),
        YES_OPTION,
    )


def read_config(
    config_file: Path,
    target: str | None,
    overrides: tuple[str, ...],
    model: str | None = None,
    instance_type: str | None = None,
) -> Config:
    """The configuration with the command line's overrides; `--set` overrides the shorter options."""
    from loadbench.config import load_config
    from loadbench.load_paths import LOAD_PATHS

    given = [*overrides, *([f"target={target}"] if target else [])]
    if not model and not instance_type:
        return load_config(config_file, given)
    config = load_config(config_file, given)
    everywhere = []
    for load_path in config.paths:
        section, info = LOAD_PATHS[load_path].section, config.deployment(load_path)
        if model:
            everywhere.append(f"{section}.hf_model_id={json.dumps(model)}")
            if "HF_MODEL_ID" in info.container_env_vars:
                everywhere.append(f"{section}.container_env_vars.HF_MODEL_ID={json.dumps(model)}")
        if instance_type:
            everywhere.append(f"{section}.instance_type={json.dumps(instance_type)}")
    return load_config(config_file, [*everywhere, *given])


def open_bench(**options: Any) -> RunContext:
    """Read the configuration, load `.env`, open the target."""
    config = read_config(**options)
    workspace, ui = Workspace.here(), make_ui()
    workspace.require_writable()
    remove_leftover_files(workspace, ui)
    return open_context(config, ui)


def remove_leftover_files(workspace: Workspace, ui: Ui) -> None:
    """Remove temporary files that killed commands left."""
    from loadbench.results.formatting import size_bytes
    from loadbench.run.models.resolve import cache_dir
    from loadbench.scratch import sweep

    count, found_bytes = sweep(workspace.private_dir, workspace.results_dir, cache_dir())
    if count:
        ui.note(f"removed {count} temporary files of killed commands, {size_bytes(found_bytes)}")


def open_context(config: Config, ui: Ui) -> RunContext:
    """Load `.env` and open the configured target."""
    from loadbench.run.record_writer import command_line
    from loadbench.run.run_context import RunContext
    from loadbench.target import open_account

    workspace = Workspace.here()
    load_secrets(workspace.home / ".env", ui)
    mask_secrets(config, ui)
    with ui.step("reaching the embedded AWS" if config.target == "local" else "reaching AWS"):
        account = open_account(config, workspace.home)
    return RunContext(config, workspace, account, ui, command_line())


def load_secrets(file: Path, ui: Ui) -> None:
    """Load the variables of `.env`; an unreadable file is a warning, because it must not stop a removal."""
    from dotenv import load_dotenv

    try:
        if load_dotenv(file) and file.stat().st_mode & 0o077:
            ui.warn(f"{file} can be read by others: chmod 600 {file}")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text with one NAME=value per line"
        ui.warn(f"{file} was not read: {reason}")


def mask_secrets(config: Config, ui: Ui) -> None:
    """Warn about secrets in `container_env_vars`, although they are masked everywhere."""
    from loadbench.redaction import is_secret, remember_secrets

    found = {
        f"{LOAD_PATHS[load_path].section}.container_env_vars.{name}": value
        for load_path in config.paths
        for name, value in config.deployment(load_path).container_env_vars.items()
        if is_secret(name, value)
    }
    remember_secrets(found.values())
    if found:
        ui.warn(
            f"{', '.join(found)}: looks like a secret. It is masked in logs and records, but everybody who"
            " can read the configuration or describe the model sees it; put a Hugging Face token into .env."
        )


def show_plan(
    load_paths: list[LoadPath], max_usd: float | None, options: dict[str, Any], pairs: int | None = None
) -> None:
    """`--dry-run`: what a run would do and cost, from the configuration and the price table only."""
    from loadbench.run.preflight import describe_plan, estimate_cost

    config = read_config(**options)
    pairs = config.benchmark.pairs if pairs is None else pairs
    estimate = estimate_cost(config, load_paths, pairs)
    click.echo(f"{describe_plan(config, load_paths, pairs)}\n\n{estimate.text}")
    if max_usd is not None and config.target == "aws":
        estimate.require_within(max_usd)


def readable_records(results_dir: Path) -> list[RunRecord]:
    """All records that can be read; the others are reported on standard error."""
    from loadbench.results.run_record import find_records, load_record

    found = []
    for file in find_records(results_dir):
        try:
            found.append(load_record(file))
        except UsageError as error:
            click.echo(f"{file.parent.name} cannot be read: {error.message}", err=True)
    return found
