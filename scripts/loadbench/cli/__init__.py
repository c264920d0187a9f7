"""The command line: parses, calls, prints; no logic."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import click

from loadbench import call_log
from loadbench.cli import engine, existing, local, prepare, removal, reports, runs, scale, sweep, what_if
from loadbench.cli.completion import completion
from loadbench.cli.history import history
from loadbench.cli.init import init
from loadbench.cli.live_check import live_check
from loadbench.cli.options import verbosity_options
from loadbench.cli.predict import predict
from loadbench.cli.standard_streams import (
    end_like_ctrl_c,
    forget_results,
    no_more_signals,
    open_streams,
)
from loadbench.commands_in_messages import typed_here
from loadbench.errors import InterruptedRunError, LoadbenchError, UsageError, storage_error
from loadbench.foreign_text import shown

_COMMANDS = (
    runs.run,
    runs.compare,
    scale.scale_out,
    what_if.what_if,
    sweep.sweep,
    sweep.sweep_run,
    existing.observe,
    existing.import_starts,
    runs.invoke,
    runs.optimize,
    removal.destroy,
    removal.leftovers,
    prepare.doctor,
    live_check,
    prepare.render,
    init,
    prepare.setup,
    prepare.terraform_test,
    reports.report,
    reports.list_results,
    reports.show,
    predict,
    history,
    local.local,
    engine.engine,
    completion,
)
_LOG = logging.getLogger(__name__)


class Commands(click.Group):
    """A group that suggests a similar command for an unknown one."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """As in click, with a similar command in the error message."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            if near:
                raise click.UsageError(f"{error.message} Did you mean {near[0]!r}?", ctx) from error
            raise


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="loadbench")
@verbosity_options
def cli() -> None:
    """How long is a model's cold start on Amazon SageMaker, and what does another loading method gain?

    \b
    Without an account, on this machine:   loadbench compare
    On a real account:                     loadbench doctor --config my.yaml
                                           loadbench compare --config my.yaml
    Remove everything:                     loadbench destroy
    """


for _command in _COMMANDS:
    cli.add_command(_command)


def main() -> None:
    """Entry point: every error gives one message and an exit code, and no traceback on the terminal."""
    end_like_ctrl_c()
    open_streams()
    try:
        home = Path.cwd()
    except FileNotFoundError:
        click.echo("Error: the current folder does not exist any more\n→ cd into one that does.", err=True)
        sys.exit(UsageError.exit_code)
    log = call_log.begin(home, sys.argv[1:])
    try:
        try:
            cli(standalone_mode=False)
            sys.stdout.flush()
        finally:
            no_more_signals()
    except (click.exceptions.Abort, KeyboardInterrupt):  # click converts KeyboardInterrupt to Abort
        click.echo("interrupted", err=True)
        sys.exit(InterruptedRunError.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except BrokenPipeError:
        # The reader (head, less) has closed the pipe: print nothing, and keep Python from complaining at
        # exit.
        forget_results()
        sys.exit(1)
    except LoadbenchError as error:
        _show_error(error, log)
        sys.exit(error.exit_code)
    except OSError as error:
        known = storage_error(error)
        if known is None:
            _show_defect(error, log)
            sys.exit(1)
        _show_error(known, log)
        sys.exit(known.exit_code)
    except Exception as error:  # noqa: BLE001 -- our defect: the traceback goes to the log, the user gets a sentence
        _show_defect(error, log)
        sys.exit(1)


def _show_defect(error: Exception, log: call_log.CallLog) -> None:
    """Print a sentence and the path of the log with the traceback."""
    _LOG.critical("unexpected error", exc_info=error)
    what = shown(f"{type(error).__name__}: {error}".rstrip(": "))
    click.echo(f"Error: unexpected error ({what}). This is a bug in loadbench.", err=True)
    click.echo(f"→ Please open an issue and attach the log (secrets are removed): {log.path}", err=True)
    click.echo("→ To make sure that nothing is left that costs money: loadbench destroy", err=True)


def _show_error(error: LoadbenchError, log: call_log.CallLog) -> None:
    """Print message, details and remedy, and the path of the log if a run failed."""
    click.echo(shown(f"Error: {error.message}"), err=True)
    if error.details:
        click.echo(shown(error.details.rstrip()), err=True)
    if error.remedy:
        click.echo(f"→ {typed_here(shown(error.remedy), Path.cwd())}", err=True)
    if error.exit_code in (UsageError.exit_code, InterruptedRunError.exit_code):
        return  # the message is enough
    _LOG.error("%s\n%s\n%s", error.message, error.details, error.remedy, exc_info=error)
    if log.path:
        click.echo(f"Log: {log.path}", err=True)
