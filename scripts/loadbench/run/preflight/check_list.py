"""The list of checks, and running them in parallel within a few seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, TimeoutError
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from loadbench.config import Config
from loadbench.errors import PreflightError
from loadbench.load_paths import LoadPath
from loadbench.progress import OnProgress, Progress, ignore_progress
from loadbench.run.preflight import account, container, disk, weights
from loadbench.run.preflight.background_threads import started
from loadbench.run.preflight.check_result import Check, CheckContext
from loadbench.run.run_context import hugging_face_token
from loadbench.run.terraform import remote_state
from loadbench.run.terraform.install import find_terraform, locked_version
from loadbench.workspace import Workspace

_DEADLINE_S = 5.0


@dataclass(frozen=True)
class _Entry:
    """One check and its targets: the embedded AWS has neither quotas nor registries."""

    name: str
    find: Callable[[CheckContext], Iterator[Check]]
    targets: tuple[str, ...] = ("local", "aws")
    by_method: bool = True
    """Its result may differ between loading methods."""
    needs_account: bool = False


def _terraform(context: CheckContext) -> Iterator[Check]:
    """Terraform is installed and new enough; reports the locked version of the provider."""
    try:
        binary = find_terraform()
    except PreflightError as error:
        yield Check("terraform", "failure", error.message, error.remedy)
        return
    oldest = ".".join(map(str, remote_state.MINIMUM_VERSION))
    if context.config.state.bucket and not binary.is_at_least(*remote_state.MINIMUM_VERSION):
        yield Check(
            "terraform",
            "failure",
            f"state.bucket needs {binary.product} {oldest} or newer, and {binary.path} is {binary.version}",
            f"Install a newer {binary.product}, or leave state.bucket empty.",
        )
        return
    provider = locked_version(Workspace.here().terraform_root) or "not locked"
    yield Check("terraform", "ok", f"{binary.path.name} {binary.version}, provider hashicorp/aws {provider}")


_ENTRIES = (
    _Entry("disk", disk.writable, by_method=False),
    _Entry("credentials", account.credentials, by_method=False, needs_account=True),
    _Entry("terraform", _terraform, by_method=False),
    _Entry("image", container.image),
    _Entry("machine image", container.machine_image),
    _Entry("quotes", container.quoted_options),
    _Entry("accelerators", container.accelerators),
    _Entry("model", weights.source),
    _Entry("memory", weights.memory),
    _Entry("machine memory", weights.machine_memory, ("local",)),
    _Entry("token", weights.token),
    _Entry("bucket", weights.bucket, by_method=False, needs_account=True),
    _Entry("running", account.running, by_method=False, needs_account=True),
    _Entry("instance type", account.offering, ("aws",), needs_account=True),
    _Entry("quota", account.quota, ("aws",), needs_account=True),
    _Entry("role", account.role, ("aws",), needs_account=True),
    _Entry("image tag", container.image_exists, ("aws",), needs_account=True),
)


def run_checks(
    config: Config,
    load_paths: Sequence[LoadPath],
    session: Any,
    on_progress: OnProgress = ignore_progress,
) -> list[Check]:
    """Run every check for the target, in parallel; a check that times out is a warning."""
    context = CheckContext(config, load_paths, session, hugging_face_token())
    entries = [entry for entry in _ENTRIES if config.target in entry.targets]
    deadline_s = time.monotonic() + _DEADLINE_S
    futures = [started(partial(_findings, entry, context), f"check {entry.name}") for entry in entries]
    found: list[Check] = []
    for number, (entry, future) in enumerate(zip(entries, futures, strict=True)):
        on_progress(Progress("checks before anything is created", number, len(entries), "checks"))
        found += _result(entry, future, deadline_s)
    return found


def check_methods(
    config: Config,
    load_paths: Sequence[LoadPath],
    session: Any | None,
    on_progress: OnProgress = ignore_progress,
) -> list[Check]:
    """Every check for every loading method; each finding has the methods that it applies to.

    Without a session, checks that need an account are omitted: the caller reports why there is none.
    """
    whole = CheckContext(config, load_paths, session, hugging_face_token())
    entries = [
        entry
        for entry in _ENTRIES
        if config.target in entry.targets and (session is not None or not entry.needs_account)
    ]
    asked = [
        (entry, replace(whole, paths=paths))
        for entry in entries
        for paths in ([[path] for path in load_paths] if entry.by_method else [load_paths])
    ]
    deadline_s = time.monotonic() + _DEADLINE_S
    futures = [started(partial(_findings, entry, context), f"check {entry.name}") for entry, context in asked]
    found: dict[tuple[str, str, str], Check] = {}
    for number, ((entry, context), future) in enumerate(zip(asked, futures, strict=True)):
        on_progress(Progress("checks", number, len(asked), "checks"))
        for check in _result(entry, future, deadline_s):
            message = check.message
            if len(context.paths) == 1:  # no need to name the method
                message = message.removeprefix(f"{context.paths[0]}: ")
            key = check.name, check.status, message
            known = found.get(key)
            methods = [*(known.methods if known else ()), *context.paths]
            found[key] = replace(check, message=message, methods=tuple(dict.fromkeys(methods)))
    return list(found.values())


def _findings(entry: _Entry, context: CheckContext) -> list[Check]:
    try:
        return list(entry.find(context))
    except (ClientError, BotoCoreError) as error:
        return [Check(entry.name, "warning", f"could not be checked: {error}")]


def _result(entry: _Entry, future: Future[list[Check]], deadline_s: float) -> list[Check]:
    try:
        return future.result(max(0.0, deadline_s - time.monotonic()))
    except TimeoutError:
        return [Check(entry.name, "warning", f"no answer within {_DEADLINE_S:.0f} s")]
