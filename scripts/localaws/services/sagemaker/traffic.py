"""Shifts an endpoint's requests to its new fleets: in one step, in several, or instance by instance."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from ...machines.instance import DeploymentError
from ...state.store import Document
from .deployment_policy import Policy, tripped
from .fleet import Fleet, together
from .platform import Platform, Shift
from .records import Records, now

Fleets = dict[str, Fleet]
Start = Callable[[Platform, str, Document, float], Awaitable[Fleets]]

_LOOK_S = 0.1


async def blue_green_update(
    platform: Platform, records: Records, record: Document, policy: Policy, start: Start
) -> Fleets:
    """Start all new fleets first, then shift the requests step by step; returns the new fleets.

    Raises DeploymentError after returning all requests to the old fleets.
    """
    key = (records.region, record["EndpointName"])
    fresh = await start(platform, records.region, record, record["PendingDeploymentSummary"]["StartTime"])
    async with _shifting(platform, records, key, fresh) as shift:
        for share in policy.steps:
            _show(records, key[1], share, "ActivatingTraffic")
            shift.share = share
            _show(records, key[1], share, "Baking")
            await bake(platform, records.region, policy, policy.wait_s, fresh)
    return fresh


async def rolling_update(
    platform: Platform, records: Records, record: Document, policy: Policy, start: Start
) -> Fleets:
    """Add a batch of new instances, remove the replaced ones, and repeat; returns the new fleets.

    Raises DeploymentError after restoring the instances of the old fleets.
    """
    key = (records.region, record["EndpointName"])
    requested_s = record["PendingDeploymentSummary"]["StartTime"]
    old = platform.fleets[key]
    before = {name: len(fleet.instances) for name, fleet in old.items()}
    wanted: dict[str, int] = {
        variant["VariantName"]: variant["InitialInstanceCount"]
        for variant in (*record["_variants"], *record.get("_shadows", []))
    }
    total = sum(wanted.values())
    size = policy.batch_size(max(wanted.values()))
    fresh = await start(
        platform,
        records.region,
        {**record, **{kind: _without_machines(record.get(kind, [])) for kind in ("_variants", "_shadows")}},
        requested_s,
    )
    try:
        async with _shifting(platform, records, key, fresh) as shift:
            while True:
                for name, fleet in fresh.items():
                    missing = min(size, wanted[name] - len(fleet.instances))
                    if missing > 0:
                        _show(records, key[1], shift.share, "Creating")
                        await fleet.start(missing, requested_s)
                done = sum(len(fleet.instances) for fleet in fresh.values())
                shift.share = done / total
                _show(records, key[1], shift.share, "Baking")
                for name, fleet in old.items():
                    surplus = len(fleet.instances) - max(0, round(before[name] * (1 - shift.share)))
                    if surplus > 0:
                        await fleet.retire(fleet.instances[:surplus])
                await bake(platform, records.region, policy, policy.wait_s, fresh)
                if done >= total:
                    break
    except BaseException:
        with contextlib.suppress(DeploymentError):
            await together(
                *(fleet.start(before[name] - len(fleet.instances), now()) for name, fleet in old.items())
            )
        raise
    return fresh


async def bake(
    platform: Platform, region: str, policy: Policy, wait_s: float, fleets: Fleets | None = None
) -> None:
    """Wait. Raises DeploymentError if an alarm is raised or a new copy ends meanwhile."""
    deadline_s = time.monotonic() + wait_s
    while True:
        if (alarm := tripped(platform.emulator, region, policy.alarms)) is not None:
            raise DeploymentError(f"The CloudWatch alarm {alarm} went off during the deployment.")
        for fleet in (fleets or {}).values():
            if (reason := fleet.death()) is not None:
                raise DeploymentError(reason)
        remaining_s = deadline_s - time.monotonic()
        if remaining_s <= 0:
            return
        await asyncio.sleep(min(_LOOK_S, remaining_s))


@contextlib.asynccontextmanager
async def _shifting(
    platform: Platform, records: Records, key: tuple[str, str], fresh: Fleets
) -> AsyncIterator[Shift]:
    """Route a share of the requests to the new fleets inside the context; after an error they are stopped."""
    shift = Shift(fresh)
    platform.shifts[key] = shift
    try:
        yield shift
    except BaseException:
        shift.share = 0.0
        record = records.find("endpoint", key[1])
        if record is not None and record["EndpointStatus"] == "Updating":
            record["EndpointStatus"] = "RollingBack"
            records.save("endpoint", record)
        await together(*(fleet.stop() for fleet in fresh.values()))
        raise
    finally:
        platform.shifts.pop(key, None)


def _show(records: Records, name: str, share: float, status: str) -> None:
    """Show the new variants' share and stage in DescribeEndpoint's PendingDeploymentSummary."""
    record = records.get("endpoint", name)
    summary = record.get("PendingDeploymentSummary")
    if summary is None:
        return
    for variant in summary["ProductionVariants"]:
        if status != "Creating":
            variant["CurrentInstanceCount"] = round(variant["DesiredInstanceCount"] * max(share, 0.0)) or 1
        variant["CurrentWeight"] = variant["DesiredWeight"] * share
        variant["VariantStatus"] = [{"Status": status, "StartTime": now()}]
    records.save("endpoint", record)


def _without_machines(variants: list[Document]) -> list[Document]:
    return [{**variant, "InitialInstanceCount": 0} for variant in variants]
