"""Lists the resources with this project's tags and names, and removes them in order, with or without
state.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from loadbench.errors import RunError
from loadbench.results.costs import find_price
from loadbench.run.polling import REMINDER_INTERVAL_S, STATE_CHANGE_TIMEOUT_S
from loadbench.run.removal.resources import (
    RESOURCE_KINDS,
    PriceLookup,
    ProjectResources,
    Resource,
    ResourceKind,
    is_connection_lost,
    is_refused,
)

__all__ = ["Listing", "Resource", "find_resources", "list_project", "remove"]

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0
_ASK_AGAIN = 3
# How long SageMaker may refuse to remove an endpoint after its component is gone
# (docs/facts/aws-evidence.md#endpoint-removal).
_COMPONENT_LETS_GO_WITHIN_S = 360.0
_IN_PROGRESS = {"Creating", "Updating", "SystemUpdating", "RollingBack"}
_ON_ITS_WAY = {"Deleting", "STOPPING"}
# Kinds whose removal takes time: the next kind has to wait.
_SLOW: tuple[ResourceKind, ...] = ("optimization job", "inference component", "endpoint")
# An endpoint needs these as long as it exists; without its configuration its price is unknown.
_HELD_BY_ENDPOINT: tuple[ResourceKind, ...] = ("endpoint configuration", "model", "role")

OnMessage = Callable[[str], None]


@dataclasses.dataclass
class Listing:
    """The existing resources, in the order of removal, and why a kind could not be listed."""

    resources: list[Resource] = dataclasses.field(default_factory=list)
    problems: dict[ResourceKind, str] = dataclasses.field(default_factory=dict)
    is_connection_lost: bool = False


def list_project(session: Any, project: str, price: PriceLookup | None = None) -> Listing:
    """Everything of a project in the session's account and region, as far as it can be listed.

    Found by tag and by name, in every status, from all pages: endpoints, inference components,
    configurations, models, running optimization jobs and roles. `price` gives the USD per hour of an instance
    type; the default is the built-in table. A kind that cannot be listed does not stop the others.
    """
    account, listing = ProjectResources(session), Listing()
    for kind in RESOURCE_KINDS:
        try:
            listing.resources += account.find(kind, project, price or _table_price)
        except (ClientError, BotoCoreError) as error:
            listing.problems[kind] = str(error)
            if is_connection_lost(error):
                listing.is_connection_lost = True
                break  # the other kinds would fail in the same way
    return listing


def find_resources(session: Any, project: str, price: PriceLookup | None = None) -> list[Resource]:
    """As `list_project`, but raises RunError if a kind cannot be listed, because a partial list
    proves nothing.
    """
    listing = list_project(session, project, price)
    if listing.problems:
        why = "; ".join(dict.fromkeys(listing.problems.values()))
        raise RunError(
            f"cannot list what exists of project {project}: {why}",
            remedy="Something may still cost money: check credentials and network, then run `make destroy`.",
        )
    return listing.resources


def _table_price(instance_type: str) -> float | None:
    price = find_price(instance_type)
    return price.usd_per_hour if price else None


def remove(
    session: Any,
    resources: Iterable[Resource],
    on_message: OnMessage,
    *,
    timeout_s: float = STATE_CHANGE_TIMEOUT_S,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Resource]:
    """Remove resources and wait until they are gone; returns those that remain, each with its problem.

    Order: jobs are stopped, then component, endpoint, configuration, model, role. Resources
    that are still being created are waited for, at most `timeout_s` seconds in total, because SageMaker
    refuses to remove them before. An error of one resource does not stop the removal of the others.
    """
    remover = _Remover(ProjectResources(session, sleep=sleep), on_message, clock, sleep, clock() + timeout_s)
    wanted = remover.with_held_components(list(resources))
    for kind in RESOURCE_KINDS:
        remover.remove_all(kind, [item for item in wanted if item.kind == kind])
    return [item for wish in wanted if (item := remover.still_there(wish)) is not None]


@dataclasses.dataclass
class _Remover:
    """One removal: its problems by resource, and its deadline."""

    account: ProjectResources
    on_message: OnMessage
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    deadline_s: float
    problems: dict[tuple[ResourceKind, str], str] = dataclasses.field(default_factory=dict)
    runs_with_component: set[str | None] = dataclasses.field(
        default_factory=set
    )  # whose component could not be removed
    blocked_runs: set[str | None] = dataclasses.field(default_factory=set)

    def with_held_components(self, resources: list[Resource]) -> list[Resource]:
        """Add components with other names on our endpoints: SageMaker does not delete an endpoint
        with components.
        """
        known = {item.name for item in resources if item.kind == "inference component"}
        found: list[Resource] = []
        for endpoint in (item for item in resources if item.kind == "endpoint"):
            self._guarded(endpoint, partial(self._add_components, endpoint, known, found))
        return resources + found

    def _add_components(self, endpoint: Resource, known: set[str], found: list[Resource]) -> None:
        found += [
            dataclasses.replace(endpoint, kind="inference component", name=name, arn=arn, usd_per_hour=None)
            for name, arn in self.account.components_of(endpoint.name)
            if name not in known
        ]

    def remove_all(self, kind: ResourceKind, items: Sequence[Resource]) -> None:
        """Request the removal of all resources of one kind, then wait for all of them."""
        asked: list[Resource] = []
        for item in items:
            if kind in _HELD_BY_ENDPOINT and item.run_id in self.blocked_runs:
                self._note(item, "its endpoint still exists")
                continue
            self.on_message(f"{'stopping' if kind == 'optimization job' else 'removing'} {kind} {item.name}")
            if self._guarded(item, partial(self._ask, item)):
                asked.append(item)
        for item in asked if kind in _SLOW else ():
            self._guarded(item, partial(self._wait_until_gone, item))
        if kind == "inference component":
            self.runs_with_component = {item.run_id for item in items if (kind, item.name) in self.problems}
        if kind == "endpoint":
            self.blocked_runs = {item.run_id for item in items if (kind, item.name) in self.problems}

    def still_there(self, item: Resource) -> Resource | None:
        """The current state of the resource; None if it is gone. If that cannot be read, it counts as
        existing.
        """
        problem = self.problems.get((item.kind, item.name), "its removal was accepted but has not finished")
        try:
            status = self.account.status(item.kind, item.name)
        except (ClientError, BotoCoreError) as error:
            return dataclasses.replace(item, status="unknown", problem=str(error))
        return None if status is None else dataclasses.replace(item, status=status, problem=problem)

    def _guarded(self, item: Resource, action: Callable[[], None]) -> bool:
        """Whether the action succeeded; an error is recorded with its resource, and the others continue."""
        try:
            action()
        except (ClientError, BotoCoreError, TimeoutError) as error:
            self._note(item, str(error))
            return False
        return True

    def _note(self, item: Resource, problem: str) -> None:
        self.problems[(item.kind, item.name)] = problem
        self.on_message(f"{item.kind} {item.name} still exists: {problem}")

    def _ask(self, item: Resource) -> None:
        """Request the removal until the service accepts it: it refuses resources that are in progress
        or in use.
        """
        pauses = _Pauses(self, item)
        refused_since_s: float | None = None
        while True:
            try:
                return self.account.remove(item.kind, item.name)
            except ClientError as error:
                if not is_refused(error):
                    raise
                status = self.account.status(item.kind, item.name)
                if status is None or status in _ON_ITS_WAY:
                    return None
                if status in _IN_PROGRESS:
                    refused_since_s = None
                    pauses.wait(f"is {status} and can be removed once that has ended", error)
                    continue
                if refused_since_s is None:
                    refused_since_s = self.clock()  # it may have changed since the request: try once more
                elif self.clock() - refused_since_s >= self._refusal_timeout_s(item):
                    raise
                else:
                    pauses.wait(f"is {status} and its removal is refused: {error}", error)

    def _refusal_timeout_s(self, item: Resource) -> float:
        """How long refusals are tolerated although nothing is in progress."""
        if item.kind != "endpoint" or item.run_id in self.runs_with_component:
            return 0.0
        return _COMPONENT_LETS_GO_WITHIN_S

    def _wait_until_gone(self, item: Resource) -> None:
        pauses = _Pauses(self, item)
        asked_again = 0
        while (status := self.account.status(item.kind, item.name)) is not None:
            if status not in _ON_ITS_WAY and asked_again < _ASK_AGAIN:
                # The removal failed, or a creation completed after it.
                asked_again += 1
                self._ask(item)
            pauses.wait(f"is {status}", None)


class _Pauses:
    """Growing pauses with occasional messages, until the deadline."""

    def __init__(self, remover: _Remover, item: Resource) -> None:
        self._remover, self._item = remover, item
        self._pause_s = _FIRST_PAUSE_S
        self._started_s = remover.clock()
        self._said_s = float("-inf")

    def wait(self, what: str, cause: Exception | None) -> None:
        """Pause. Raises TimeoutError at the deadline."""
        now_s = self._remover.clock()
        waited_s = now_s - self._started_s
        if now_s >= self._remover.deadline_s:
            raise TimeoutError(f"it {what}; waited {waited_s:.0f} s") from cause
        if now_s - self._said_s >= REMINDER_INTERVAL_S:
            self._said_s = now_s
            self._remover.on_message(f"{self._item.kind} {self._item.name} {what} ({waited_s:.0f} s)")
        self._remover.sleep(self._pause_s)
        self._pause_s = min(self._pause_s * 2, _LONGEST_PAUSE_S)
