"""`destroy` and `leftovers`: remove by Terraform state, then through the AWS API, and report what is left."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from loadbench.errors import InterruptedRunError, UsageError
from loadbench.load_paths import LOAD_PATHS
from loadbench.run import deployment
from loadbench.run.active_runs import active_runs
from loadbench.run.record_writer import close_record
from loadbench.run.removal.remove import Resource, find_resources, remove
from loadbench.run.removal.stored_weights import remove_half_made, remove_stored, stored_weights
from loadbench.run.run_context import RunContext
from loadbench.run.terraform import remote_state

_AGE_UNITS_S = {"m": 60, "h": 3600, "d": 86400}
Confirm = Callable[[str], bool]


@dataclass
class Removal:
    """What was found, what was removed, what is kept on purpose."""

    removed: list[str] = field(default_factory=list)
    listed: list[Resource] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    on_aws: bool = False

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
            lines.append("Nothing of this project is left that costs money by the hour.")
        return "\n".join(lines)


@deployment.interruption_told()
def destroy_everything(context: RunContext, *, include_shards: bool, confirm: Confirm) -> Removal:
    """Remove every run of this checkout and whatever else carries the project's tags. Verified by the API.

    Works with state, without it, twice, and while something is still creating.
    Raises LeftoverError (exit 3) with names and prices when something is still there.
    """
    summary = Removal(on_aws=context.config.target == "aws")
    session, project = context.account.session, context.config.project
    with context.ui.step("listing resources"):
        existing = find_resources(session, project)
    if existing and not confirm(_question(existing)):
        raise InterruptedRunError("nothing was removed", remedy="Answer yes, or pass --yes.")
    for run_id in remote_state.adopt(context):
        context.ui.note(f"{run_id} was made elsewhere; its state is in s3://{context.config.state.bucket}")
    for load_path in LOAD_PATHS:
        with context.path_lock(load_path):
            for run_id in active_runs(context, load_path):
                with context.ui.step(f"removing run {run_id}"):
                    deployment.destroy_run(context, load_path, run_id)
                close_record(context.workspace.results_dir, run_id, context.clock())
    with context.ui.step("verifying that nothing is left"):
        remaining = find_resources(session, project)
        if remaining:
            remaining = remove(session, remaining, context.ui.detail)
    if remaining:
        raise deployment.leftover_error(context, remaining)
    summary.removed = [f"{item.kind} {item.name}" for item in existing]
    with context.ui.step("looking for incomplete uploads and shards"):
        summary.removed += remove_half_made(session, context.config, context.account.account_id)
    for stored in stored_weights(session, context.config, context.account.account_id):
        if include_shards and stored.kind == "shards":
            remove_stored(session, stored)
            summary.removed.append(f"shards {stored.uri}")
        else:
            summary.kept.append(stored.describe())
    return summary


def find_leftovers(context: RunContext, older_than: str, do_remove: bool, *, confirm: Confirm) -> Removal:
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
    with deployment.interruption_told():
        remaining = remove(context.account.session, found, context.ui.detail)
    if remaining:
        raise deployment.leftover_error(context, remaining)
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
