"""The in-memory state of an embedded AWS: its fleets, and the transitions of resources."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from ...emulator import Emulator
from ...machines.model_copy import ModelCopy
from .fleet import Fleet
from .records import Changes, Records

_log = logging.getLogger(__name__)

Key = tuple[str, str]
"""Region and name."""


@dataclass
class Shift:
    """The new fleets of an endpoint, and their share of its requests."""

    fleets: dict[str, Fleet]
    share: float = 0.0


@dataclass
class Platform:
    """All state in memory that is not in the records."""

    emulator: Emulator
    changes: Changes = field(default_factory=Changes)
    # The live variants of each endpoint, by variant name.
    fleets: dict[Key, dict[str, Fleet]] = field(default_factory=dict)
    # Variants that a deployment is starting; they are not in service yet.
    arriving: dict[Key, dict[str, Fleet]] = field(default_factory=dict)
    # Fleets of an update that already get a share of the requests, in addition to the old fleets.
    shifts: dict[Key, Shift] = field(default_factory=dict)
    # The copies of each inference component.
    components: dict[Key, list[ModelCopy]] = field(default_factory=dict)
    # The current transition of an endpoint, a component or a job.
    transitions: dict[tuple[str, str, str], asyncio.Task[None]] = field(default_factory=dict)
    # Background tasks without a record: mirrored requests, captured data.
    background: set[asyncio.Task[None]] = field(default_factory=set)
    _http: aiohttp.ClientSession | None = None

    def records(self, region: str) -> Records:
        """The records of a region."""
        return Records(self.emulator, region, self.changes)

    @property
    def http(self) -> aiohttp.ClientSession:
        """The HTTP client for containers on loopback."""
        if self._http is None:
            # No limit of connections: a container has its own queue.
            self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        return self._http

    def copies(self, region: str, endpoint: str) -> list[ModelCopy]:
        """All copies on an endpoint's instances, including those of a deployment in progress."""
        key = (region, endpoint)
        shift = self.shifts.get(key)
        variants = [self.fleets.get(key, {}), self.arriving.get(key, {}), shift.fleets if shift else {}]
        return [copy for fleets in variants for fleet in fleets.values() for copy in fleet.copies()]

    def begin(self, region: str, kind: str, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run the transition of one resource in the background."""
        key = (region, kind, name)
        task = asyncio.create_task(work, name=f"{kind} {name}")
        self.transitions[key] = task

        def ended(done: asyncio.Task[None]) -> None:
            if self.transitions.get(key) is done:
                del self.transitions[key]
            if not done.cancelled() and (error := done.exception()) is not None:
                _log.error("the transition of %s %s failed", kind, name, exc_info=error)

        task.add_done_callback(ended)
        return task

    def in_background(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a background task; a failure is logged."""
        task = asyncio.create_task(work)
        self.background.add(task)

        def ended(done: asyncio.Task[None]) -> None:
            self.background.discard(done)
            if not done.cancelled() and (error := done.exception()) is not None:
                _log.warning("%s", error, exc_info=error)

        task.add_done_callback(ended)

    async def interrupt(self, region: str, kind: str, name: str) -> None:
        """Cancel the transition of a resource, if any, and wait until it has cleaned up."""
        task = self.transitions.get((region, kind, name))
        if task is not None and task is not asyncio.current_task():
            task.cancel()
            await asyncio.wait([task])

    async def close(self) -> None:
        """Stop all transitions and processes; records are not changed."""
        tasks = [*self.transitions.values(), *self.background]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        fleets = [fleet for variants in self.fleets.values() for fleet in variants.values()]
        await asyncio.gather(*(fleet.stop() for fleet in fleets))
        self.fleets.clear()
        self.components.clear()
        if self._http is not None:
            await self._http.close()
