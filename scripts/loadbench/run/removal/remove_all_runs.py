"""Removes the resources of all runs of a folder, each in its account, region, project or embedded AWS.

Places that cannot be reached are reported with the command that reaches them, and count as left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from loadbench.config import Config
from loadbench.errors import InterruptedRunError, LeftoverError, LoadbenchError, PreflightError
from loadbench.load_paths import LOAD_PATHS
from loadbench.run.removal.deployed_runs import (
    DeployedRun,
    forget_run,
    is_here,
    is_in,
    note_deployed,
    runs_with_state,
)
from loadbench.run.removal.remove_resources import Listing, list_project, remove
from loadbench.run.removal.remove_run import leftover_error, remove_deployed, together
from loadbench.run.removal.resources import Resource
from loadbench.run.run_context import RunContext, lock_path
from loadbench.run.terraform import remote_state
from loadbench.target import localaws
from loadbench.ui import Ui
from loadbench.workspace import Workspace

Confirm = Callable[[RunContext, str], bool]
Open = Callable[[Config], RunContext]


@dataclass
class FolderRemoval:
    """The removal of a folder's runs, place by place; a failure in one does not stop the others.

    A place is a configuration with a target, region and embedded AWS.
    """

    open_context: Open
    config: Config
    workspace: Workspace
    ui: Ui
    confirm: Confirm
    runs: list[DeployedRun]
    clock: Callable[[], float]
    removed: list[str] = field(default_factory=list)
    _left: list[LeftoverError] = field(default_factory=list)
    _unreachable: list[LoadbenchError] = field(default_factory=list)
    _done: set[str] = field(default_factory=set)  # ids of runs that are removed, or named in `_left`
    _failed: set[str] = field(default_factory=set)
    _reached: list[str] = field(default_factory=list)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder's load paths meanwhile. Raises UsageError if a run is in progress."""
        with ExitStack() as locks:
            for load_path in LOAD_PATHS:
                try:
                    locks.enter_context(lock_path(self.workspace, load_path))
                except PreflightError as error:
                    self.ui.warn(f"{error.message}; continuing without the lock")
            yield

    def places(self, *, by_records_only: bool) -> list[Config]:
        """The configuration, then a variant of it for every other place with runs of the folder.

        Places on another target are skipped, unless there is no configuration that names a target.
        """
        places = [] if by_records_only else [self.config]
        for run in self.runs:
            if run.target != self.config.target and not by_records_only:
                continue
            if not any(is_in(place, self.workspace.home, run) for place in places):
                state_dir = run.state_dir or self.config.local.state_dir
                local = self.config.local.model_copy(update={"state_dir": state_dir})
                where = {"target": run.target, "region": run.region, "project": run.project, "local": local}
                places.append(self.config.model_copy(update=where))
        return places

    def remove_in(self, place: Config, *, whole_project: bool) -> RunContext | None:
        """Remove the runs in one place, and with `whole_project` everything else with the project's tags.

        Returns the context of that place, None if it cannot be reached.
        """
        if place.target == "local" and not whole_project and not self._has_embedded_aws(place):
            self._forget_lost(place)
            return None
        try:
            context = self.open_context(place)
        except LoadbenchError as error:
            self._unreachable.append(error)
            return None
        self._reached.append(_name_of(context))
        if whole_project:
            self._adopt(context)
        here = [run for run in self.runs if is_here(context, run)]
        with self.ui.step("listing resources"):
            found = _listed(context, here, whole_project=whole_project)
        names = [f"{item.kind} {item.name}" for item in found]
        if (names or here) and not self.confirm(context, _question(names, here)):
            raise InterruptedRunError("nothing was removed", remedy="Answer yes, or pass --yes.")
        for run in here:
            self._remove(context, run)
        if whole_project:
            self._remove_rest(context)
        else:
            self._stop_unused(context)
        self.removed += names
        return context

    @property
    def has_left(self) -> bool:
        """Whether something remains, or cannot be listed."""
        return bool(self._left or self._unreachable)

    def elsewhere(self) -> list[str]:
        """Report runs in places that were not reached: those that cost money count as left, the
        others are returned.
        """
        kept = []
        for run in (run for run in self.runs if run.run_id not in self._done):
            if run.target == "local" and self.config.target == "aws":
                kept.append(f"run {run.run_id} in {run.place}, which costs nothing: {run.command}")
            else:
                self._left.append(self._unseen(run))
        return kept

    def raise_what_is_left(self) -> None:
        """Raise LeftoverError for everything that remains, otherwise the error of a place that cannot
        be reached.
        """
        if self._left:
            raise together(self._left)
        if self._unreachable:
            raise self._unreachable[0]

    def _remove(self, context: RunContext, run: DeployedRun) -> None:
        self._done.add(run.run_id)
        try:
            with self.ui.step(f"removing run {run.run_id}"):
                remove_deployed(context, run)
        except LeftoverError as error:
            self._left.append(error)
            self._failed.add(run.run_id)

    def _remove_rest(self, context: RunContext) -> None:
        """Everything that the account lists with the project's tags."""
        with self.ui.step("verifying that nothing is left that costs money by the hour"):
            listing = list_project(context.account.session, context.config.project)
            # Resources of this folder's runs that could not be removed are already reported.
            remaining = [item for item in listing.resources if item.run_id not in self._failed]
            if remaining:
                remaining = remove(context.account.session, remaining, self.ui.detail)
        if remaining:
            self._left.append(leftover_error(context, remaining))
        if listing.problems:
            self._left.append(_not_listed(listing))

    def _adopt(self, context: RunContext) -> None:
        """Runs of other checkouts with their state in the configured bucket."""
        try:
            adopted = remote_state.adopt(context)
            for run in runs_with_state(self.workspace, context.config):
                if run.run_id in adopted:
                    known = {"account_id": context.account.account_id, "adopted": True}
                    self.runs.append(run.model_copy(update=known))
                    note_deployed(self.workspace, self.runs[-1])
                    bucket = context.config.state.bucket
                    self.ui.note(
                        f"{run.run_id} was created by another checkout; its state is in s3://{bucket}"
                    )
        except (LoadbenchError, OSError) as error:
            self.ui.warn(f"states of other checkouts are not used: {error}")

    def _forget_lost(self, place: Config) -> None:
        for run in self.runs:
            if is_in(place, self.workspace.home, run):
                self._done.add(run.run_id)
                self.ui.note(
                    f"{run.run_id}: the embedded AWS in {place.local.state_dir} no longer exists, and"
                    f" nothing it had"
                )
                forget_run(self.workspace, run.run_id, self.clock())

    def _has_embedded_aws(self, place: Config) -> bool:
        return (self.workspace.home / place.local.state_dir).is_dir()

    def _stop_unused(self, context: RunContext) -> None:
        """Stop an embedded AWS that is not the configured one: it was started for this and would run
        forever.
        """
        place, home = context.config.local.state_dir, self.workspace.home
        if (
            context.config.target == "local"
            and (home / place).resolve() != (home / self.config.local.state_dir).resolve()
        ):
            localaws(["down"], context.config, home)

    def _unseen(self, run: DeployedRun) -> LeftoverError:
        reasons = [f"This command reached {name}." for name in self._reached]
        reasons += [f"{error.message}" for error in self._unreachable]
        credentials = f"With credentials of account {run.account_id}: " if run.target == "aws" else ""
        return LeftoverError(
            f"run {run.run_id} was not removed and may cost money; it is in {run.place}:",
            details="\n".join([*(f"  {kind} {name}" for kind, name in run.names.items()), *reasons]),
            remedy=f"{credentials}{run.command} (or --forget {run.run_id}, if you know that its"
            f" resources are gone).",
        )


def _listed(context: RunContext, runs: Sequence[DeployedRun], *, whole_project: bool) -> list[Resource]:
    """Resources of the configured project, and of these runs, which may have another project."""
    ids = {run.run_id for run in runs}
    own = context.config.project if whole_project else None
    projects = dict.fromkeys([*([own] if own else []), *(run.project for run in runs)])
    return [
        item
        for project in projects
        for item in list_project(context.account.session, project).resources
        if project == own or item.run_id in ids
    ]


def _name_of(context: RunContext) -> str:
    config = context.config
    if config.target == "local":
        return f"the embedded AWS in {config.local.state_dir} ({config.region})"
    return f"account {context.account.account_id} on AWS ({config.region})"


def _not_listed(listing: Listing) -> LeftoverError:
    return LeftoverError(
        "resources of this project may remain, because not everything could be listed:",
        details="\n".join(f"  {kind}s: {why}" for kind, why in listing.problems.items()),
        remedy="Check the network and the permissions (docs/iam-policy.json), then run `make destroy`.",
    )


def _question(names: Sequence[str], runs: Sequence[DeployedRun]) -> str:
    lines = [f"  {name}" for name in names] or [f"  run {run.run_id} in {run.place}" for run in runs]
    return "\n".join([*lines, "Remove these?"])
