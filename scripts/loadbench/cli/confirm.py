"""Questions before something that costs money is created, or before something is removed."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from loadbench.errors import UsageError

if TYPE_CHECKING:
    from loadbench.load_paths import LoadPath
    from loadbench.run.preflight import CostEstimate
    from loadbench.run.run_context import RunContext


def confirm_cost(
    context: RunContext, load_paths: list[LoadPath], pairs: int, yes: bool, max_usd: float | None
) -> None:
    """On AWS, print what will be created and its total cost, and ask for confirmation once.

    Raises UsageError if the estimate is above `max_usd`.
    """
    if context.config.target == "local":
        return
    estimate = cost_of_run(context, load_paths, pairs)
    if max_usd is not None:
        estimate.require_within(max_usd)
    if yes:
        return
    click.echo(estimate.text, err=True)
    confirm("Continue?", abort=True)


def confirm(question: str, *, abort: bool = False) -> bool:
    """Ask on the terminal. Raises UsageError if nobody can answer: `nohup`, a background job, a scheduler."""
    if _is_unattended():
        raise _no_answer(question)
    try:
        return click.confirm(question, abort=abort, err=True)
    except click.Abort as error:
        if sys.stdin.isatty():
            raise
        raise _no_answer(question) from error  # the input ended without an answer


def _is_unattended() -> bool:
    try:
        if sys.stdin.isatty():  # in the background, reading would suspend this process forever
            return os.tcgetpgrp(sys.stdin.fileno()) != os.getpgrp()
        return os.path.samestat(os.fstat(sys.stdin.fileno()), Path(os.devnull).stat())
    except (OSError, ValueError):
        return False  # not a real file: a test's input, for example


def _no_answer(question: str) -> UsageError:
    return UsageError(
        f"there is no terminal to confirm on: {question.splitlines()[-1]}",
        remedy="Pass --yes (make: ARGS=--yes), or run it in the foreground of a terminal.",
    )


def cost_of_run(context: RunContext, load_paths: list[LoadPath], pairs: int) -> CostEstimate:
    """What a run of these methods creates and costs; on AWS with AWS's current price."""
    from loadbench.run.preflight import estimate_cost
    from loadbench.run.price_lookup import look_up_price

    if context.config.target == "local":
        return estimate_cost(context.config, load_paths, pairs)
    session, region = context.account.session, context.config.region
    return estimate_cost(context.config, load_paths, pairs, lambda name: look_up_price(session, name, region))


def asking(context: RunContext, yes: bool) -> Any:
    """Confirms removals: asks on AWS, and answers yes on the embedded target or with --yes."""
    if context.config.target == "local" or yes:
        return lambda _: True
    return confirm
