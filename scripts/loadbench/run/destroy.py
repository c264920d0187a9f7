"""`destroy` and `leftovers`: remove what runs made, then what else is listed, and say what is left."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from botocore.exceptions import BotoCoreError, ClientError

from loadbench.config import Config
from loadbench.errors import LeftoverError, LoadbenchError, UsageError
from loadbench.run.removal.deployed_runs import forget_run, known_runs
from loadbench.run.removal.folder import Confirm, FolderRemoval, Open
from loadbench.run.removal.kept import Kept, find_kept
from loadbench.run.removal.remove import find_resources
from loadbench.run.removal.remove import remove as remove_resources
from loadbench.run.removal.remove_run import interruption_leaves_something, leftover_error
from loadbench.run.removal.resources import Resource
from loadbench.run.removal.stored_weights import remove_half_made
from loadbench.run.run_context import RunContext
from loadbench.target import aws_environment_kept, localaws
from loadbench.ui import Ui
from loadbench.workspace import Workspace

What = Literal["runs", "shards", "all"]
_AGE_UNITS_S = {"m": 60, "h": 3600, "d": 86400}


@dataclass
class Removal:
    """What was found, what was removed, what is kept on purpose."""

    removed: list[str] = field(default_factory=list)
    listed: list[Resource] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    ending: str = "Nothing of this project is left that costs money by the hour."
    on_aws: bool = False

    def add(self, removed_and_kept: tuple[list[str], list[str]]) -> None:
        """What one part of the removal came to."""
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
    """Remove every run of this folder where it was made, and whatever else carries the project's tags.

    Works with state, without it, twice, and while something is still creating. With a `config_error`,
    `config` is a stand-in, and only what the folder's runs made is removed; it is raised if they made
    nothing. `remove` says whether shards, or all that is stored, go as well. `forget` names runs that the
    user knows to be gone. Raises LeftoverError (exit 3) with names and prices when something is still there,
    or cannot be reached from here.
    """
    for run_id in forget:
        forget_run(workspace, run_id, time.time())
    known = known_runs(workspace, config)
    for file in known.unreadable:
        ui.warn(f"{file} cannot be read, so it does not say whether its run was removed")
    if config_error is not None:
        if not known.runs:
            raise config_error
        ui.warn(f"{config_error.message}\nOnly what the runs of this folder made is removed.")
    folder = FolderRemoval(open_context, config, workspace, ui, confirm, known.runs, time.time)
    summary = Removal(on_aws=config.target == "aws")
    with folder.locked():
        for place in folder.places(by_records_only=config_error is not None):
            with aws_environment_kept():
                context = folder.remove_in(place, whole_project=place is config)
                # What is still there may need its weights, and its embedded AWS.
                if context is not None and place is config and not folder.has_left:
                    summary.add(_remove_stored(context, remove, confirm))
                    summary.add(_embedded_aws(context, stop=remove == "all"))
    summary.kept += folder.elsewhere()
    folder.raise_what_is_left()
    summary.removed = folder.removed + summary.removed
    if config_error is not None:
        summary.ending = (
            "Nothing that the runs of this folder made is left. What else there is was not listed."
        )
    return summary


def _remove_stored(context: RunContext, remove: What, confirm: Confirm) -> tuple[list[str], list[str]]:
    """What lies in S3 and CloudWatch: incomplete things go, the rest as asked. Returns removed and kept.

    LeftoverError where something that was to be removed is still there; what cannot be seen is a warning.
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
        context.ui.warn(f"what is stored in S3 and CloudWatch Logs could not be listed: {error}")
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
    if problems:
        raise _still_stored(problems)
    return removed, [item.explain() for item in found if item not in wanted]


def _still_stored(problems: Sequence[str]) -> LeftoverError:
    return LeftoverError(
        "something that is stored could not be removed:",
        details="\n".join(f"  {problem}" for problem in problems),
        remedy="Check the permissions (docs/iam-policy.json), then run `loadbench destroy --all` again.",
    )


def _embedded_aws(context: RunContext, *, stop: bool) -> tuple[list[str], list[str]]:
    """The embedded AWS's own process, which removing runs leaves running: what was removed, what is kept."""
    if context.config.target != "local":
        return [], []
    home, state_dir = context.workspace.home, context.config.local.state_dir
    pid = json.loads(localaws(["status", "--json"], context.config, home)).get("pid")
    if stop:
        localaws(["down"], context.config, home)
        return [f"the embedded AWS (process {pid}); what it stored is in {state_dir}"], []
    return [], [f"the embedded AWS (process {pid}), which costs nothing; loadbench local down stops it"]


def find_leftovers(
    context: RunContext, older_than: str, do_remove: bool, *, confirm: Callable[[str], bool]
) -> Removal:
    """What any run, checkout or colleague left under the project's tags; removes it only when asked to.

    Something past its expiry is due whatever its age. Raises LeftoverError when a removal fails.
    """
    age_s = parse_age(older_than)
    now_s = time.time()
    found = [
        item
        for item in find_resources(context.account.session, context.config.project)
        if item.is_expired(now_s) or item.created_s is None or now_s - item.created_s >= age_s
    ]
    if not do_remove or not found or not confirm(_question(found)):
        return Removal(listed=found, on_aws=context.config.target == "aws")
    with interruption_leaves_something():
        remaining = remove_resources(context.account.session, found, context.ui.detail)
    if remaining:
        raise leftover_error(context, remaining)
    return Removal(removed=[f"{item.kind} {item.name}" for item in found])


def parse_age(text: str) -> float:
    """`90m`, `4h` or `2d` in seconds; UsageError for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([mhd])", text.strip())
    if not match:
        raise UsageError(f"{text!r} is not an age", remedy="Write it as 90m, 4h or 2d.")
    return float(match[1]) * _AGE_UNITS_S[match[2]]


def _question(found: list[Resource]) -> str:
    names = "\n".join(f"  {item.kind} {item.name} ({item.status})" for item in found)
    return f"{names}\nRemove these?"
