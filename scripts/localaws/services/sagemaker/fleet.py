"""The instances of one production variant, and the routing of requests to their copies."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

import aiohttp

from ...emulator import Emulator
from ...host_guard import CapacityError, Need, copy_need
from ...instance_types import machine_type
from ...machines.instance import DeploymentError, Instance, Place
from ...machines.model_copy import ContainerSpec, ModelCopy
from ...machines.model_data import FAST_LOADER_FOLDER
from .records import now

# More copies than fit on one instance in practice.
_MOST_COPIES = 1000

Died = Callable[[ModelCopy, str], None]


class Fleet:
    """The instances of a variant. `on_death` is called when a copy of a fleet in service ends."""

    def __init__(
        self,
        emulator: Emulator,
        place: Place,
        spec: ContainerSpec | None,
        http: aiohttp.ClientSession,
        on_death: Died,
    ) -> None:
        self.place = place
        # None on an endpoint for inference components, which have their own.
        self.spec = spec
        self.instances: list[Instance] = []
        self.weight = 1.0
        # A shadow variant gets copies of requests; its responses are discarded.
        self.is_shadow = False
        self.routes_at_random = False
        self._emulator = emulator
        self._http = http
        self._on_death = on_death
        self._in_service = False
        self._copies: list[ModelCopy] = []
        self._death: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def copies(self) -> list[ModelCopy]:
        """All copies on the fleet's instances."""
        return [copy for instance in self.instances for copy in self.copies_on(instance)]

    def copies_on(self, instance: Instance) -> list[ModelCopy]:
        """The copies that run or start on an instance."""
        return [copy for copy in self._copies if copy.instance is instance and not copy.is_released]

    async def start(self, count: int, requested_s: float) -> None:
        """Add this number of instances, each with the variant's model if it has one.

        Raises DeploymentError after releasing the new instances, also if a copy ends before all are
        in service.
        """
        added = [Instance(self._emulator, self.place) for _ in range(count)]
        self.instances += added
        try:
            starts = [self._start_one(instance, requested_s) for instance in added]
            with capacity_on_host(self._emulator, self.spec, count):
                await together(*starts, alarm=None if self._in_service else self._death)
        except BaseException:
            await self.shrink_by(added)
            raise

    def death(self) -> str | None:
        """The reason why a copy ended before the fleet was in service, or None."""
        return self._death.result() if self._death.done() else None

    def enter_service(self) -> None:
        """After this call, the end of a copy fails the endpoint instead of the deployment."""
        self._in_service = True

    async def shrink_by(self, gone: list[Instance]) -> None:
        """Stop the copies on these instances and release the instances."""
        await asyncio.gather(*(copy.stop() for instance in gone for copy in self.copies_on(instance)))
        for instance in gone:
            instance.release()
        self.instances = [instance for instance in self.instances if instance not in gone]

    async def retire(self, gone: list[Instance]) -> None:
        """Release these instances after their copies have finished their requests."""
        await together(*(copy.drain() for instance in gone for copy in self.copies_on(instance)))
        await self.shrink_by(gone)

    async def stop(self) -> None:
        """Release all instances."""
        await self.shrink_by(list(self.instances))

    def new_copy(self, instance: Instance, spec: ContainerSpec, on_death: Died) -> ModelCopy:
        """A copy on this instance, not started yet; its resources are reserved immediately."""
        copy = ModelCopy(instance, spec, self._http, on_death)
        self._copies = [known for known in self._copies if not known.is_released]
        self._copies.append(copy)
        return copy

    def room_for(self, spec: ContainerSpec) -> Instance | None:
        """The instance with the fewest copies that has room for one more, or None."""
        fitting = [instance for instance in self.instances if self._fits(instance, spec)]
        return min(fitting, key=lambda instance: len(self.copies_on(instance)), default=None)

    def places_for(self, spec: ContainerSpec) -> int:
        """The number of additional copies for which the instances have room."""
        found = 0
        for instance in self.instances:
            others: list[ContainerSpec] = []
            while len(others) < _MOST_COPIES and self._fits(instance, spec, others):
                others.append(spec)
            found += len(others)
        return found

    def _fits(self, instance: Instance, spec: ContainerSpec, others: Sequence[ContainerSpec] = ()) -> bool:
        machine = machine_type(instance.place.instance_type)
        specs = [*(copy.spec for copy in self.copies_on(instance)), *others, spec]
        return (
            sum(item.accelerators for item in specs) <= machine.gpus
            and sum(item.cpu_cores for item in specs) <= machine.vcpus
            and sum(item.memory_mib for item in specs) * (1 << 20) <= machine.memory_bytes
        )

    async def _start_one(self, instance: Instance, requested_s: float) -> None:
        await instance.provision(requested_s)
        if self.spec is not None:
            await self.new_copy(instance, self.spec, self._died).start(now())

    def _died(self, copy: ModelCopy, reason: str) -> None:
        if self._in_service:
            self._on_death(copy, reason)
        elif not self._death.done():
            self._death.set_result(reason)


def least_busy(copies: list[ModelCopy]) -> ModelCopy | None:
    """The copy in service with the fewest requests; ties are resolved by the fewest requests served."""
    serving = [copy for copy in copies if copy.status == "InService"]
    return min(serving, key=lambda copy: (copy.outstanding, copy.served), default=None)


def random_copy(copies: list[ModelCopy]) -> ModelCopy | None:
    """A random copy in service (RoutingStrategy RANDOM)."""
    serving = [copy for copy in copies if copy.status == "InService"]
    return random.choice(serving) if serving else None  # noqa: S311 (spreading load needs no secrecy)


async def together(*work: Coroutine[Any, Any, None], alarm: asyncio.Future[str] | None = None) -> None:
    """Run all concurrently; the first DeploymentError, or an alarm as one, cancels the others."""

    async def listen(future: asyncio.Future[str]) -> None:
        raise DeploymentError(await asyncio.shield(future))

    try:
        async with asyncio.TaskGroup() as group:
            listener = group.create_task(listen(alarm)) if alarm is not None else None
            await asyncio.gather(*(group.create_task(item) for item in work))
            if listener is not None:
                listener.cancel()
    except* DeploymentError as errors:
        raise first_of(errors) from errors


def first_of(errors: BaseExceptionGroup[DeploymentError]) -> DeploymentError:
    """The first error of a group, at any depth."""
    first = errors.exceptions[0]
    return first_of(first) if isinstance(first, BaseExceptionGroup) else first


@contextlib.contextmanager
def capacity_on_host(emulator: Emulator, spec: ContainerSpec | None, count: int) -> Iterator[None]:
    """Reserve resources of this computer for copies that start inside. Raises DeploymentError."""
    need = Need() if spec is None else _need(emulator, spec)
    try:
        with emulator.host.starting(need.times(count)):
            yield
    except CapacityError as error:
        raise DeploymentError(
            "Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity error. "
            f"Please retry using a different ML instance type or after some time. ({error}.)"
        ) from error


def _need(emulator: Emulator, spec: ContainerSpec) -> Need:
    """The resources needed by a copy, from the size of its model data in S3; unknown for other sources."""
    bucket, _, prefix = (spec.model_data or "").removeprefix("s3://").partition("/")
    rows = emulator.database.query(
        "SELECT coalesce(sum(size_bytes), 0), coalesce(sum(key LIKE ?3), 0) FROM s3_objects"
        " WHERE bucket = ?1 AND substr(key, 1, length(?2)) = ?2",
        (bucket, prefix, f"%{FAST_LOADER_FOLDER}%"),
    )
    size_bytes, shards = rows[0]
    return copy_need(size_bytes, on_disk=not shards)
