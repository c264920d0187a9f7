"""The list of checks, and running them side by side within a few seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, TimeoutError
from dataclasses import dataclass
from functools import partial
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from loadbench.config import Config
from loadbench.errors import PreflightError
from loadbench.load_paths import LoadPath
from loadbench.progress import OnProgress, Progress, ignore_progress
from loadbench.run.preflight import account, container, weights
from loadbench.run.preflight.background import started
from loadbench.run.preflight.check import Check, CheckContext
from loadbench.run.run_context import hugging_face_token
from loadbench.run.terraform import remote_state
from loadbench.run.terraform.install import find_terraform, locked_version
from loadbench.workspace import Workspace

_DEADLINE_S = 5.0


@dataclass(frozen=True)
class _Entry:
    """One check and the targets where it makes sense: the embedded AWS has neither quotas nor registries."""

    name: str
    find: Callable[[CheckContext], Iterator[Check]]
    targets: tuple[str, ...] = ("local", "aws")


def _terraform(context: CheckContext) -> Iterator[Check]:
    """Terraform is there and new enough; which version of the provider every root has locked."""
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
    _Entry("credentials", account.credentials),
    _Entry("terraform", _terraform),
    _Entry("image", container.image),
    _Entry("accelerators", container.accelerators),
    _Entry("model", weights.source),
    _Entry("memory", weights.memory),
    _Entry("machine memory", weights.machine_memory, ("local",)),
    _Entry("token", weights.token),
    _Entry("bucket", weights.bucket),
    _Entry("standing", account.standing),
    _Entry("instance type", account.offering, ("aws",)),
    _Entry("quota", account.quota, ("aws",)),
    _Entry("role", account.role, ("aws",)),
    _Entry("image tag", container.image_exists, ("aws",)),
)


def run_checks(
    config: Config,
    load_paths: Sequence[LoadPath],
    session: Any,
    on_progress: OnProgress = ignore_progress,
) -> list[Check]:
    """Run every check that the target has, in parallel; what does not answer in time is a warning."""
    context = CheckContext(config, load_paths, session, hugging_face_token())
    entries = [entry for entry in _ENTRIES if config.target in entry.targets]
    deadline_s = time.monotonic() + _DEADLINE_S
    futures = [started(partial(_findings, entry, context), f"check {entry.name}") for entry in entries]
    found: list[Check] = []
    for number, (entry, future) in enumerate(zip(entries, futures, strict=True)):
        on_progress(Progress("checks before anything is created", number, len(entries), "checks"))
        found += _result(entry, future, deadline_s)
    return found


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
