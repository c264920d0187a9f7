"""The lifecycle of an inference component: places, starts, replaces, scales and stops its copies."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from ...machines.instance import DeploymentError
from ...machines.model_copy import ContainerSpec, ModelCopy
from ...state.store import Document
from . import managed_scaling
from .containers import component_spec
from .deployment_policy import Policy, parse_policy
from .fleet import Died, Fleet, capacity_on_host, together
from .platform import Key, Platform
from .records import Records
from .roles import check_roles_at_deployment
from .traffic import bake

_log = logging.getLogger(__name__)


async def create(platform: Platform, region: str, name: str) -> None:
    """Creating -> InService or Failed."""
    records = platform.records(region)
    record = records.get("inference-component", name)
    count = record["RuntimeConfig"]["DesiredCopyCount"]
    try:
        _check_role(record)
        await _add_copies(platform, region, record, count, record["CreationTime"])
    except DeploymentError as error:
        await _failed(platform, region, name, str(error))
        return
    except Exception as error:  # noqa: BLE001 - after any error, the component must not remain Creating
        _log.exception("inference component %s could not be created", name)
        await _failed(platform, region, name, f"InternalFailure: {error!r}")
        return
    _in_service(platform, records, name)


async def update(platform: Platform, region: str, name: str) -> None:
    """Updating -> InService with the new copies, or with the old ones and a reason."""
    records = platform.records(region)
    record = records.get("inference-component", name)
    count = record["RuntimeConfig"]["DesiredCopyCount"]
    requested_s = record["LastModifiedTime"]
    policy = parse_policy(record.get("_policy"), max(1, count))
    try:
        async with asyncio.timeout(policy.timeout_s):
            if record["_pending"]:
                _check_role(record["_pending"])
                await _replace(platform, region, {**record, **record["_pending"]}, count, requested_s, policy)
                record |= record["_pending"]
            else:
                await _recount(platform, region, record, count, requested_s)
    except (DeploymentError, TimeoutError) as error:
        late = f"The update took longer than MaximumExecutionTimeoutInSeconds ({policy.timeout_s} s)."
        record["FailureReason"] = (str(error) or late)[:1024]
        record["RuntimeConfig"]["DesiredCopyCount"] = record["_copies_before"]
        # A component that had no copies is in service without them, as before.
        if record["_copies_before"] and not platform.components.get((region, name)):
            await _failed(platform, region, name, str(error))
            return
    records.save("inference-component", record, touch=False)
    _in_service(platform, records, name)


async def delete(platform: Platform, region: str, name: str) -> None:
    """Deleting -> removed."""
    await stop_copies(platform, region, name)
    platform.records(region).remove("inference-component", name)


async def fail(platform: Platform, region: str, name: str, reason: str) -> None:
    """Any status -> Failed, because a copy ended."""
    await platform.interrupt(region, "inference-component", name)
    await _failed(platform, region, name, reason)


async def restore(platform: Platform, region: str, name: str) -> None:
    """Updating -> InService after a restart of the server, or Failed."""
    records = platform.records(region)
    record = records.get("inference-component", name)
    count = record["RuntimeConfig"]["DesiredCopyCount"]
    try:
        await _add_copies(platform, region, record, count, record["LastModifiedTime"])
    except DeploymentError as error:
        reason = f"The inference component did not come back after a restart: {error}"
        await _failed(platform, region, name, reason)
        return
    _in_service(platform, records, name)


def mark_restarted(records: Records, record: Document, *, endpoint_lives: bool) -> None:
    """The status of a component after a restart of the server, before anything runs again.

    A component that was in service is `Updating` until its copies are restored; an interrupted update is
    rolled back.
    """
    status = record["InferenceComponentStatus"]
    if status == "Deleting":
        records.remove("inference-component", record["InferenceComponentName"])
        return
    if status == "Failed":
        return
    if status == "Updating" and "_copies_before" in record:
        record["RuntimeConfig"]["DesiredCopyCount"] = record["_copies_before"]
        record["FailureReason"] = "The update was interrupted by a restart of the service; update again."
    for member in ("_pending", "_copies_before"):
        record.pop(member, None)
    record["RuntimeConfig"]["CurrentCopyCount"] = 0
    if status == "Creating" or not endpoint_lives:
        record["InferenceComponentStatus"] = "Failed"
        record["FailureReason"] = (
            "The inference component was being created when the service restarted; delete it and create it "
            "again."
        )
    else:
        record["InferenceComponentStatus"] = "Updating"
    records.save("inference-component", record)


async def stop_copies(platform: Platform, region: str, name: str) -> None:
    """Stop all tasks and copies of a component."""
    copies = platform.components.pop((region, name), [])
    await together(*(copy.stop() for copy in copies))
    await managed_scaling.shrink(platform, region, platform.records(region).find("inference-component", name))


async def _recount(platform: Platform, region: str, record: Document, count: int, requested_s: float) -> None:
    key = (region, record["InferenceComponentName"])
    present = platform.components.setdefault(key, [])
    if count >= len(present):
        await _add_copies(platform, region, record, count - len(present), requested_s)
        return
    surplus = present[count:]
    # Requests must not be routed to a copy that is about to stop.
    del present[count:]
    await together(*(copy.drain() for copy in surplus))
    await together(*(copy.stop() for copy in surplus))
    await managed_scaling.shrink(platform, region, record)


async def _replace(
    platform: Platform, region: str, record: Document, count: int, requested_s: float, policy: Policy
) -> None:
    """Replace old copies by copies of the new specification in batches, with a wait after each.

    If new copies do not fit in addition to the old ones, old ones are stopped first. After a failure the old
    specification is restored, and its stopped copies are started again.
    """
    key = (region, record["InferenceComponentName"])
    before = list(platform.components.get(key, []))
    old, fresh = list(before), 0
    size = policy.batch_size(count) if policy.batch is not None else 1
    try:
        while fresh < count:
            batch = min(size, count - fresh)
            try:
                await _add_copies(platform, region, record, batch, requested_s)
            except _NoRoomError:
                if not old:
                    raise
                await _retire(platform, key, old, batch)
                await _add_copies(platform, region, record, batch, requested_s)
            fresh += batch
            if policy.batch is not None:
                kept = len(before) - len(before) * fresh // count
                await _retire(platform, key, old, max(0, len(old) - kept))
                await bake(platform, region, policy, policy.wait_s)
    except (DeploymentError, asyncio.CancelledError):
        await _restore_old(platform, key, before)
        raise
    await _retire(platform, key, old, len(old))


async def _retire(platform: Platform, key: Key, old: list[ModelCopy], count: int) -> None:
    """Stop this number of old copies after they have finished their requests."""
    gone = old[:count]
    del old[: len(gone)]
    platform.components[key] = [copy for copy in platform.components[key] if copy not in gone]
    await together(*(copy.drain() for copy in gone))
    await together(*(copy.stop() for copy in gone))


async def _restore_old(platform: Platform, key: Key, before: list[ModelCopy]) -> None:
    """Roll back to copies of the old specification, as many as possible."""
    serving = platform.components.get(key, [])
    fresh = [copy for copy in serving if copy not in before]
    platform.components[key] = [copy for copy in serving if copy in before]
    await together(*(copy.stop() for copy in fresh))
    missing = len(before) - len(platform.components[key])
    record = platform.records(key[0]).find("inference-component", key[1])
    if missing > 0 and record is not None:
        with contextlib.suppress(DeploymentError):
            await _add_copies(platform, key[0], record, missing, record["LastModifiedTime"])


def _check_role(record: Document) -> None:
    check_roles_at_deployment([(record["_model"] or {}).get("ExecutionRoleArn")])


class _NoRoomError(DeploymentError):
    """No instance of the variant has room for another copy."""


async def _add_copies(
    platform: Platform, region: str, record: Document, count: int, requested_s: float
) -> None:
    """Start additional copies, all or none. Raises DeploymentError, also if one ends meanwhile."""
    name = record["InferenceComponentName"]
    fleet = platform.fleets.get((region, record["EndpointName"]), {}).get(record["VariantName"])
    if fleet is None:
        raise DeploymentError(f"Endpoint {record['EndpointName']} has no instances any more.")
    serving = platform.components.setdefault((region, name), [])
    death: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    added: list[ModelCopy] = []

    def died(copy: ModelCopy, reason: str) -> None:
        if copy in serving:
            work = fail(platform, region, name, reason)
            platform.begin(region, "inference-component-failure", name, work)
        elif not death.done():
            death.set_result(reason)

    spec = component_spec(record)
    await managed_scaling.grow(platform, region, record, fleet, spec, count)
    try:
        with capacity_on_host(platform.emulator, spec, count):
            for _ in range(count):
                added.append(_place(fleet, spec, died))
            await together(*(copy.start(requested_s) for copy in added), alarm=death)
    except BaseException:
        await asyncio.gather(*(copy.stop() for copy in added))
        raise
    serving += added


def _place(fleet: Fleet, spec: ContainerSpec, died: Died) -> ModelCopy:
    machine = fleet.room_for(spec)
    if machine is None:
        raise _NoRoomError(
            f"Insufficient resources on the instances of variant {fleet.place.variant} "
            f"({len(fleet.instances)} x {fleet.place.instance_type}) for a copy that needs "
            f"{spec.accelerators:g} accelerators, {spec.cpu_cores:g} vCPUs and {spec.memory_mib} MiB. "
            "Lower ComputeResourceRequirements or CopyCount, or add instances."
        )
    return fleet.new_copy(machine, spec, died)


def _in_service(platform: Platform, records: Records, name: str) -> None:
    record = records.get("inference-component", name)
    for member in ("_pending", "_copies_before"):
        record.pop(member, None)
    record["InferenceComponentStatus"] = "InService"
    record["RuntimeConfig"]["CurrentCopyCount"] = len(platform.components.get((records.region, name), []))
    records.save("inference-component", record)


async def _failed(platform: Platform, region: str, name: str, reason: str) -> None:
    records = platform.records(region)
    record = records.get("inference-component", name)
    for member in ("_pending", "_copies_before"):
        record.pop(member, None)
    record["RuntimeConfig"]["CurrentCopyCount"] = 0
    record |= {"InferenceComponentStatus": "Failed", "FailureReason": reason[:1024]}
    records.save("inference-component", record)
    await stop_copies(platform, region, name)
