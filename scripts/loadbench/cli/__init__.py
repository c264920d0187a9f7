"""The command line: parses, calls, prints; no logic. A command lives in the file that its group names."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import click

from loadbench.cli import checks, local, removal, reports, runs
from loadbench.errors import InterruptedRunError, LoadbenchError

_COMMANDS = (
    runs.run,
    runs.compare,
    runs.invoke,
    runs.optimize,
    removal.destroy,
    removal.leftovers,
    checks.doctor,
    checks.render,
    checks.setup,
    checks.terraform_test,
    reports.report,
    local.local,
)


class Commands(click.Group):
    """A group that suggests the command that was meant."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """As click does, with a near miss named."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            if near:
                raise click.UsageError(f"{error.message} Did you mean {near[0]!r}?", ctx) from error
            raise


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="loadbench")
def cli() -> None:
    """How fast does a model come up on Amazon SageMaker, and what does loading it the fast way gain?"""


for _command in _COMMANDS:
    cli.add_command(_command)


def _terminate(*_: object) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Entry point: one message and an exit code for every error, no traceback for a user's mistake."""
    for name in ("SIGTERM", "SIGHUP"):  # a closed terminal ends like Ctrl-C: cleaned up
        signal.signal(getattr(signal, name), _terminate)
    try:
        cli(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        sys.exit(InterruptedRunError.exit_code)
    except BrokenPipeError:
        # The reader (head, less) went away: nothing to tell it; keep Python from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except LoadbenchError as error:
        click.echo(f"Error: {error.message}", err=True)
        if error.details:
            click.echo(error.details.rstrip(), err=True)
        if error.remedy:
            click.echo(f"→ {error.remedy}", err=True)
        sys.exit(error.exit_code)
