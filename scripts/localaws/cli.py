"""The commands of the embedded AWS: up, down, status, env, logs. Parses, calls, prints."""

from __future__ import annotations

import errno
import io
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from .errors import LocalAwsError
from .server import lifecycle
from .settings import Settings, SettingsError, parse_settings
from .state.files import StateFolderError

_state_dir = click.option(
    "--state-dir",
    required=True,
    envvar="LOCALAWS_STATE_DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="State folder of this embedded AWS; each folder is a separate instance.",
)
_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


# Exit codes are part of the interface; the help of the command lists them. 1 is any other failure.
EXIT_USAGE = 2
EXIT_STATE_FOLDER = 3

# Errors of the disk, for which the given path is not the cause.
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO)


class _Group(click.Group):
    def invoke(self, context: click.Context) -> Any:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # a locale may lack a character of a path
        try:
            return super().invoke(context)
        except SettingsError as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(EXIT_USAGE)
        except StateFolderError as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(EXIT_STATE_FOLDER)
        except LocalAwsError as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(1)
        except OSError as error:
            name = f" {error.filename}" if error.filename else ""
            click.echo(f"error: cannot use{name}: {error.strerror}", err=True)
            sys.exit(1 if error.errno in _DISK_ERRORS else EXIT_USAGE)


@click.group(cls=_Group)
def main() -> None:
    """An embedded AWS for one machine: S3, SageMaker and what they need, on loopback.

    Exit codes: 0 success; 1 failure; 2 wrong command line or settings; 3 the state folder cannot be used, or
    another user owns it or can write to it.
    """


@main.command()
@_state_dir
@click.option("--settings", type=click.File("rb"), help="JSON file with settings; - reads standard input.")
@click.option("--env", "as_env", is_flag=True, help="Print what `env --json` prints instead of the status.")
@_as_json
def up(state_dir: Path, settings: Any, as_env: bool, as_json: bool) -> None:
    """Start it, or apply the settings if it is running."""
    report = lifecycle.up(state_dir, None if settings is None else _read(settings.read()))
    if as_env:
        click.echo(json.dumps(lifecycle.environment(state_dir), indent=1))
    else:
        _print_status(report, as_json)


@main.command()
@_state_dir
def down(state_dir: Path) -> None:
    """Stop it with all its model servers; its data stays on disk."""
    click.echo("stopped" if lifecycle.down(state_dir) else "not running")


@main.command()
@_state_dir
@_as_json
def status(state_dir: Path, as_json: bool) -> None:
    """Show whether it runs, its address, and what it serves."""
    _print_status(lifecycle.status(state_dir), as_json)


@main.command()
@_state_dir
@_as_json
def env(state_dir: Path, as_json: bool) -> None:
    """Print the variables that make any AWS client use it."""
    variables = lifecycle.environment(state_dir)
    if as_json:
        click.echo(json.dumps(variables, indent=1))
    else:
        for name, value in variables.items():
            click.echo(f"export {name}={shlex.quote(value)}")


@main.command()
@_state_dir
def logs(state_dir: Path) -> None:
    """Print the server's own log."""
    path = lifecycle.log_path(state_dir)
    if not path.exists():
        raise LocalAwsError(f"there is no log in {state_dir}: the embedded AWS was never started there")
    with path.open(errors="replace") as file:
        for line in file:
            click.echo(line, nl=False)


def _read(text: bytes) -> Settings:
    try:
        return parse_settings(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"the settings are not JSON: {error}") from error


def _print_status(report: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(report, indent=1))
        return
    if not report["running"]:
        click.echo(f"not running ({report['state_dir']})")
        return
    click.echo(f"running: {report['endpoint_url']}, process {report['pid']}, {report['state_dir']}")
    for name, amount in report["host"].items():
        click.echo(f"{name.replace('_', ' ').removesuffix(' bytes')}: {_amounts(name, amount)}")
    for item in report["instances"]:
        where = f"{item['instance_type']} in {item['region']}"
        click.echo(f"instances: {item['used']} of {item['quota']} {where}")
    for endpoint in report["endpoints"]:
        click.echo(f"endpoint {endpoint['name']}: {endpoint['status']}")
        for process in endpoint["processes"]:
            component = process["inference_component"] or "model"
            click.echo(
                f"  {component} on {process['instance_id']}: {process['status']}, process {process['pid']}"
            )


def _amounts(name: str, amount: dict[str, int]) -> str:
    """Used and total amount, with the unit."""
    if name.endswith("_bytes"):
        used, total = (f"{amount[part] / (1 << 30):.1f}" for part in ("used", "total"))
        return f"{used} of {total} GiB used"
    return f"{amount['used']} of {amount['total']} used"
