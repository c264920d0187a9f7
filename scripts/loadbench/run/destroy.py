"""`destroy` and `leftovers`: remove the resources of runs, then others that are listed, and report
the rest.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from botocore.exceptions import BotoCoreError, ClientError

from loadbench.config import Config
from loadbench.errors import LeftoverError, LoadbenchError
from loadbench.run.removal.deployed_runs import forget_run, known_runs
from loadbench.run.removal.kept_data import Kept, find_kept
from loadbench.run.removal.remove_all_runs import Confirm, FolderRemoval, Open
from loadbench.run.removal.remove_resources import find_resources
from loadbench.run.removal.remove_resources import remove as remove_resources
from loadbench.run.removal.remove_run import interruption_leaves_something, leftover_error
from loadbench.run.removal.resources import Resource
from loadbench.run.removal.stored_weights import remove_half_made
from loadbench.run.run_context import RunContext
from loadbench.target import aws_environment_kept, localaws
from loadbench.ui import Ui
from loadbench.workspace import Workspace

What = Literal["runs", "shards", "all"]


@dataclass
class Removal:
    """The resources that were found, removed, and kept on purpose."""

    removed: list[str] = field(default_factory=list)
    listed: list[Resource] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    ending: str = "Nothing of this project is left that costs money by the hour."
    on_aws: bool = False

    def add(self, removed_and_kept: tuple[list[str], list[str]]) -> None:
        """The result of one part of the removal."""
        removed, kept = removed_and_kept
        self.removed += removed
        self.kept += kept

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        listed = [item.as_json(on_aws=self.on_aws) for item in self.listed]
        return {"removed": self.removed, "listed": listed, "kept": self.kept}

    def as_text(self) -> str:
        """For people."""
        lines = [f"removed {name}" for name in self.removed]
        for item in self.listed:
            what, *link = item.describe(on_aws=self.on_aws).splitlines()
            lines += [f"{what}, expires {item.expires_at or 'unknown'}", *link]
        lines += [f"kept {text}" for text in self.kept]
        if not self.listed:
            lines.append(self.ending)
        return "\n".join(lines)


@interruption_leaves_something()
def destroy_everything(
    open_context: Open,
    config: Config,
    workspace: Workspace,
    ui: Ui,
    *,
    remove: What,
    confirm: Confirm,
    forget: Sequence[str] = (),
    config_error: LoadbenchError | None = None,
) -> Removal:
    """Remove every run of this folder from its account and region, and all else with the project's tags.

    Works with and without state, repeatedly, and while resources are being created. With a `config_error`,
    `config` has default values, and only resources of the folder's runs are removed; the error is raised if
    they have none. `remove` chooses whether shards, or everything stored, are removed as well. `forget` names
    runs whose resources the user knows are gone. Raises LeftoverError (exit 3) with names and prices if
    something remains or cannot be reached.
    """
    for run_id in forget:
        forget_run(workspace, run_id, time.time())
    known = known_runs(workspace, config)
    for file in known.unreadable:
        ui.warn(f"{file} cannot be read, so it is unknown whether its run was removed")
    if config_error is not None:
        if not known.runs:
            raise config_error
        ui.warn(f"{config_error.message}\nOnly the resources of this folder's runs are removed.")
    folder = FolderRemoval(open_context, config, workspace, ui, confirm, known.runs, time.time)
    summary = Removal(on_aws=config.target == "aws")
    with folder.locked():
        for place in folder.places(by_records_only=config_error is not None):
            with aws_environment_kept():
                context = folder.remove_in(place, whole_project=place is config)
                # Remaining resources may need their weights, and their embedded AWS.
                if context is not None and place is config and not folder.has_left:
                    summary.add(_remove_stored(context, remove, confirm))
                    summary.add(_embedded_aws(context, stop=remove == "all"))
    summary.kept += folder.elsewhere()
    folder.raise_what_is_left()
    summary.removed = folder.removed + summary.removed
    if config_error is not None:
        summary.ending = "Nothing is left of the runs of this folder. Other resources were not listed."
    return summary


def _remove_stored(context: RunContext, remove: What, confirm: Confirm) -> tuple[list[str], list[str]]:
    """Stored data in S3 and CloudWatch: removes incomplete data, and the rest on request. Returns removed and
    kept.

    Raises LeftoverError if something could not be removed; data that cannot be listed is a warning.
    """
    session, config, account_id = context.account.session, context.config, context.account.account_id
    removed: list[str] = []
    found: list[Kept] = []
    try:
        with context.ui.step("looking for incomplete uploads and shards"):
            removed += remove_half_made(session, config, account_id)
        found = find_kept(session, config, account_id)
    except (ClientError, BotoCoreError) as error:
        if remove == "all":
            raise _still_stored([str(error)]) from error
        context.ui.warn(f"could not list the data stored in S3 and CloudWatch Logs: {error}")
    wanted = [item for item in found if remove == "all" or item.kind == remove]
    for item in wanted:
        context.ui.note(f"to be removed: {item.describe()}")
    if remove == "all" and wanted and not confirm(context, "Remove these for good?"):
        wanted = []
    problems = []
    for item in wanted:
        try:
            with context.ui.step(f"removing {item.kind} {item.name}"):
                item.remove()
        except (ClientError, BotoCoreError) as error:
            problems.append(f"{item.describe()}: {error}")
        else:
            removed.append(f"{item.kind} {item.name}")
    if remove == "all" and wanted and not problems:
        with context.ui.step("verifying that nothing stored is left"):
            problems = _stored_after_all(context)
    if problems:
        raise _still_stored(problems)
    return removed, [item.explain() for item in found if item not in wanted]


def _stored_after_all(context: RunContext) -> list[str]:
    """What is still stored after everything was removed, or why that is unknown."""
    try:
        found = find_kept(context.account.session, context.config, context.account.account_id)
    except (ClientError, BotoCoreError) as error:
        return [str(error)]
    return [f"{item.describe()}: still there" for item in found]


def _still_stored(problems: Sequence[str]) -> LeftoverError:
    return LeftoverError(
        "could not remove stored data:",
        details="\n".join(f"  {problem}" for problem in problems),
        remedy="Check the permissions (docs/iam-policy.json), then run `loadbench destroy --all` again.",
    )


def _embedded_aws(context: RunContext, *, stop: bool) -> tuple[list[str], list[str]]:
    """The process of the embedded AWS, which removing runs keeps running: what was removed, what is kept."""
    if context.config.target != "local":
        return [], []
    home, state_dir = context.workspace.home, context.config.local.state_dir
    pid = json.loads(localaws(["status", "--json"], context.config, home)).get("pid")
    if stop:
        localaws(["down"], context.config, home)
        return [
            f"the process of the embedded AWS ({pid}); its files are in {state_dir}, which can be deleted"
        ], []
    return [], [f"the embedded AWS (process {pid}), which costs nothing; loadbench local down stops it"]


def find_leftovers(
    context: RunContext, older_than_s: float, do_remove: bool, *, confirm: Callable[[str], bool]
) -> Removal:
    """Resources of any run, checkout or colleague with the project's tags; removes them only on request.

    Expired resources are included whatever their age. Raises LeftoverError if a removal fails.
    """
    now_s = time.time()
    found = [
        item
        for item in find_resources(context.account.session, context.config.project)
        if item.is_expired(now_s) or item.created_s is None or now_s - item.created_s >= older_than_s
    ]
    if not do_remove or not found or not confirm(_question(found)):
        return Removal(listed=found, on_aws=context.config.target == "aws")
    with interruption_leaves_something():
        remaining = remove_resources(context.account.session, found, context.ui.detail)
    if remaining:
        raise leftover_error(context, remaining)
    return Removal(removed=[f"{item.kind} {item.name}" for item in found])


def _question(found: list[Resource]) -> str:
    names = "\n".join(f"  {item.kind} {item.name} ({item.status})" for item in found)
    return f"{names}\nRemove these?"
