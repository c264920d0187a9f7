"""ManagedInstanceScaling: adds instances for copies, and removes instances without copies.

On AWS idle instances are kept for some minutes; here they are removed immediately.
"""

from __future__ import annotations

from ...errors import AwsError
from ...machines.instance import DeploymentError
from ...machines.model_copy import ContainerSpec
from ...state.store import Document
from .fleet import Fleet
from .platform import Platform
from .quotas import check_quota
from .records import now


async def grow(
    platform: Platform, region: str, component: Document, fleet: Fleet, spec: ContainerSpec, count: int
) -> None:
    """Add instances until the additional copies fit or the variant's maximum is reached."""
    scaling = _scaling(platform, region, component)
    if scaling is None:
        return
    while fleet.places_for(spec) < count and len(fleet.instances) < scaling.get("MaxInstanceCount", 1):
        wanted = {"InstanceType": fleet.place.instance_type, "InitialInstanceCount": 1}
        try:
            check_quota(platform.emulator, region, component["EndpointName"], [wanted])
        except AwsError as error:
            raise DeploymentError(error.message) from error
        await fleet.start(1, now())
        _record(platform, region, component, fleet)


async def shrink(platform: Platform, region: str, component: Document | None) -> None:
    """Remove instances without copies, down to the variant's minimum."""
    scaling = _scaling(platform, region, component) if component else None
    if component is None or scaling is None:
        return
    fleet = platform.fleets.get((region, component["EndpointName"]), {}).get(component["VariantName"])
    if fleet is None:
        return
    idle = [instance for instance in fleet.instances if not fleet.copies_on(instance)]
    surplus = len(fleet.instances) - scaling.get("MinInstanceCount", 1)
    if idle and surplus > 0:
        await fleet.shrink_by(idle[:surplus])
        _record(platform, region, component, fleet)


def _scaling(platform: Platform, region: str, component: Document) -> Document | None:
    """The scaling settings of a component's variant, None if disabled."""
    endpoint = platform.records(region).find("endpoint", component["EndpointName"])
    for variant in endpoint["_variants"] if endpoint else ():
        if variant["VariantName"] == component["VariantName"]:
            scaling: Document = variant.get("ManagedInstanceScaling") or {}
            return scaling if scaling.get("Status") == "ENABLED" else None
    return None


def _record(platform: Platform, region: str, component: Document, fleet: Fleet) -> None:
    """Record the number of instances for DescribeEndpoint and restarts."""
    records = platform.records(region)
    record = records.get("endpoint", component["EndpointName"])
    count = len(fleet.instances)
    for variant in record["_variants"]:
        if variant["VariantName"] == fleet.place.variant:
            variant["InitialInstanceCount"] = count
    for shown in record.get("ProductionVariants", []):
        if shown["VariantName"] == fleet.place.variant:
            shown |= {"CurrentInstanceCount": count, "DesiredInstanceCount": count}
    records.save("endpoint", record, touch=False)
