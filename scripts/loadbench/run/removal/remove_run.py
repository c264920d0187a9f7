"""Removes a run: used by failed runs, series, scale-outs, the next run and `destroy`.

First with Terraform if possible, then with the services' API for everything that is left. A local problem
(state, log, lock, record, Terraform itself) never prevents the use of the API. The run counts as removed when
the account shows that nothing of it exists; only then are its state and its note deleted.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from loadbench.errors import LeftoverError, LoadbenchError, StateLockedError
from loadbench.run.deployment import STATE_FILE, terraform_for
from loadbench.run.removal.deployed_runs import DeployedRun, forget_run
from loadbench.run.removal.remove_resources import list_project, remove
from loadbench.run.removal.resources import Resource
from loadbench.run.run_context import RunContext
from loadbench.run.terraform import remote_state
from loadbench.run.terraform.process import stop_earlier

_LOG = logging.getLogger(__name__)


@contextmanager
def interruption_leaves_something() -> Iterator[None]:
    """An interrupted removal leaves resources behind: raises LeftoverError instead of KeyboardInterrupt."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise LeftoverError(
            "the removal was interrupted: resources may remain and cost money",
            remedy="Run `make destroy` again; `make leftovers` lists what remains.",
        ) from error


@interruption_leaves_something()
def remove_run(context: RunContext, run: DeployedRun) -> float:
    """Remove the resources of a run, update its record, and return the time of removal.

    `context` must be for the run's account and region; its project may be another one. Raises LeftoverError
    with names and prices of resources that remain or could not be checked, also if it is interrupted.
    """
    return remove_deployed(context, run)


@interruption_leaves_something()
def remove_runs(context: RunContext, runs: Sequence[DeployedRun]) -> dict[str, float]:
    """Remove several runs, each independent of the others, and return the time of each removal.

    Raises one LeftoverError for all that could not be removed.
    """
    removed_s: dict[str, float] = {}
    errors: list[LeftoverError] = []
    for run in runs:
        try:
            with context.ui.step(f"{run.path}: removing the endpoint"):
                removed_s[run.run_id] = remove_deployed(context, run)
        except LeftoverError as error:
            errors.append(error)
    if errors:
        raise together(errors)
    return removed_s


def remove_deployed(context: RunContext, run: DeployedRun) -> float:
    """As `remove_run`, but an interruption is not converted: it also ends the removal of other runs."""
    failed = _by_terraform(context, run)
    remaining = _by_api(context, run)
    if remaining:
        raise leftover_error(context, remaining, because=failed)
    removed_s = context.clock()
    _remove_remote_state(context, run)
    try:
        forget_run(context.workspace, run.run_id, removed_s)
    except OSError as error:
        context.ui.warn(f"{run.run_id} is removed, but its record could not be updated: {error}")
    return removed_s


def together(errors: Sequence[LeftoverError]) -> LeftoverError:
    """Several errors as one, with all names."""
    if len(errors) == 1:
        return errors[0]
    texts = [f"{error.message}\n{error.details}".rstrip() for error in errors]
    remedies = dict.fromkeys(error.remedy for error in errors if error.remedy)
    return LeftoverError(
        "resources that cost money may remain:", details="\n".join(texts), remedy=" ".join(remedies)
    )


def leftover_error(context: RunContext, remaining: Sequence[Resource], because: str = "") -> LeftoverError:
    """Remaining resources: names, prices, problems, and on AWS a link to each."""
    on_aws = context.config.target == "aws"
    by_hand = "; remove what is left in the console" if on_aws else ""
    lines = [f"  {item.describe(on_aws=on_aws)}" for item in remaining]
    return LeftoverError(
        f"{len(remaining)} resource(s) of this project still exist:",
        details="\n".join([*lines, *([because] if because else [])]),
        remedy=f"Run `make destroy` again in a minute{by_hand}.",
    )


def _by_terraform(context: RunContext, run: DeployedRun) -> str:
    """Destroy with Terraform if there is a state; returns why that failed, '' if it did not.

    Raises LeftoverError only if another checkout is using the run, which may be creating resources right now.
    """
    run_dir = context.workspace.run_dir(run.run_id)
    if not run_dir.is_dir():
        return ""  # the state no longer exists
    try:
        stop_earlier(run_dir, context.ui.detail)
        variables = run_dir / f"{run.path}.tfvars.json"
        if not variables.exists() or not (remote_state.place_of(run_dir) or (run_dir / STATE_FILE).exists()):
            return ""
        terraform = terraform_for(context, run.run_id)
        terraform.init(context.ui.progress)
        terraform.destroy(variables, lambda event: context.ui.detail(event.short_message))
    except StateLockedError as error:
        if run.adopted:
            raise LeftoverError(
                f"run {run.run_id} still exists: {error.message}",
                details="\n".join(f"  {kind} {name}" for kind, name in run.names.items()),
                remedy=error.remedy,
            ) from error
        # Only a Terraform in this folder creates resources of this run, and none is running any more.
        return f"Terraform's state is locked: {error.message}"
    except Exception as error:  # noqa: BLE001 -- whatever failed, even by a bug, the API can still remove
        _LOG.warning("Terraform could not remove run %s", run.run_id, exc_info=error)
        why = f"Terraform could not remove everything: {error}"
        context.ui.detail(why)
        return why
    return ""


def _by_api(context: RunContext, run: DeployedRun) -> list[Resource]:
    """Remove all listed resources of the run with the services' API; returns those that remain.

    Resources that cannot be listed are removed and checked by their planned names.
    """
    session = context.account.session
    listing = list_project(session, run.project)
    if listing.is_connection_lost:
        raise LeftoverError(
            f"run {run.run_id} may still exist: {next(iter(listing.problems.values()))}",
            details="\n".join(f"  {kind} {name}" for kind, name in run.names.items()),
            remedy=f"When {run.place} responds again: {run.command}",
        )
    wanted = [item for item in listing.resources if item.run_id == run.run_id]
    wanted += [item for item in run.resources() if item.kind in listing.problems]
    if not wanted and run.target == "aws" and run.account_id is None:
        here = context.account.account_id
        raise LeftoverError(
            f"run {run.run_id} is not in account {here}, and its account is not known any more:",
            details="\n".join(f"  {kind} {name}" for kind, name in run.names.items()),
            remedy=f"Check your other accounts. If it is gone: loadbench destroy --forget {run.run_id}",
        )
    return remove(session, wanted, context.ui.detail) if wanted else []


def _remove_remote_state(context: RunContext, run: DeployedRun) -> None:
    try:
        if place := remote_state.place_of(context.workspace.run_dir(run.run_id)):
            remote_state.remove(context, place)
    except (OSError, ValueError, TypeError, LoadbenchError) as error:
        context.ui.warn(f"{run.run_id} is removed, but its state in S3 still exists: {error}")
