"""The lifecycle of an endpoint: create, update, scale, fail, delete, and restore after a restart.

Each function here is a transition that runs in the background; `endpoints.py` checks requests and starts
them.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from ...machines.instance import DeploymentError, Place
from ...machines.model_copy import ModelCopy
from ...state.store import Document
from .containers import deployed_image, variant_spec
from .deployment_policy import parse_policy
from .fleet import Fleet, together
from .platform import Platform
from .records import Records, now
from .roles import check_roles_at_deployment
from .traffic import blue_green_update, rolling_update

_log = logging.getLogger(__name__)

Fleets = dict[str, Fleet]


async def create(platform: Platform, region: str, name: str) -> None:
    """Creating -> InService or Failed."""
    records = platform.records(region)
    record = records.get("endpoint", name)
    try:
        _check_roles(record)
        platform.fleets[region, name] = await start_fleets(platform, region, record, record["CreationTime"])
    except DeploymentError as error:
        mark_failed(records, name, str(error))
        return
    except Exception as error:  # noqa: BLE001 - after any error, the endpoint must not remain Creating
        _log.exception("endpoint %s could not be created", name)
        mark_failed(records, name, f"InternalFailure: {error!r}")
        return
    _serve(platform.fleets[region, name])
    _in_service(platform, records, name)


async def update(platform: Platform, region: str, name: str) -> None:
    """Updating -> InService, on the new configuration or, after RollingBack, on the old one with a reason."""
    records = platform.records(region)
    record = records.get("endpoint", name)
    pending: Document = record["_pending"]
    total = sum(variant["InitialInstanceCount"] for variant in pending["_variants"])
    policy = parse_policy(pending.get("LastDeploymentConfig"), total)
    change = rolling_update if policy.batch is not None else blue_green_update
    try:
        _check_roles(pending)
        async with asyncio.timeout(policy.timeout_s):
            fresh = await change(platform, records, {**record, **pending}, policy, start_fleets)
    except TimeoutError:
        reason = f"The update took longer than MaximumExecutionTimeoutInSeconds ({policy.timeout_s} s)."
        _rolled_back(platform, records, name, reason)
        return
    except DeploymentError as error:
        _rolled_back(platform, records, name, str(error))
        return
    old = platform.fleets.pop((region, name), {})
    platform.fleets[region, name] = fresh
    _serve(fresh)
    try:
        await asyncio.sleep(policy.termination_wait_s)
    finally:
        await together(*(fleet.stop() for fleet in old.values()))
    record = records.get("endpoint", name)
    records.save("endpoint", {**record, **pending}, touch=False)
    _in_service(platform, records, name)


async def scale(platform: Platform, region: str, name: str) -> None:
    """Updating -> InService with other instance counts and weights; changes that fail are rolled back."""
    records = platform.records(region)
    record = records.get("endpoint", name)
    wanted: list[Document] = record["_pending"]["_variants"]
    requested_s = record["PendingDeploymentSummary"]["StartTime"]
    fleets = platform.fleets[region, name]
    grown: list[tuple[Fleet, list[Any]]] = []
    try:
        for variant in wanted:
            fleet = fleets[variant["VariantName"]]
            before = list(fleet.instances)
            missing = variant["InitialInstanceCount"] - len(before)
            if missing > 0:
                await fleet.start(missing, requested_s)
                grown.append((fleet, [item for item in fleet.instances if item not in before]))
    except DeploymentError as error:
        # Inferred from configuration updates: the endpoint continues unchanged, with a FailureReason.
        for fleet, added in grown:
            await fleet.shrink_by(added)
        _rolled_back(platform, records, name, str(error))
        return
    for variant in wanted:
        fleet = fleets[variant["VariantName"]]
        fleet.weight = variant["InitialVariantWeight"]
        surplus = len(fleet.instances) - variant["InitialInstanceCount"]
        if surplus > 0:
            # Instances without copies are removed first, then the newest.
            newest_first = list(reversed(fleet.instances))
            newest_first.sort(key=lambda item: len(fleet.copies_on(item)))
            await fleet.retire(newest_first[:surplus])
    record = records.get("endpoint", name)
    records.save("endpoint", {**record, **record["_pending"]}, touch=False)
    _in_service(platform, records, name)


async def delete(platform: Platform, region: str, name: str) -> None:
    """Deleting -> removed."""
    await stop_fleets(platform, region, name)
    platform.records(region).remove("endpoint", name)


async def fail(platform: Platform, region: str, name: str, reason: str) -> None:
    """Any status -> Failed, because a copy ended. As on AWS, it can only be deleted then."""
    await platform.interrupt(region, "endpoint", name)
    mark_failed(platform.records(region), name, reason)
    await stop_fleets(platform, region, name)


async def restore(platform: Platform, region: str, name: str) -> None:
    """SystemUpdating -> InService after a restart of the server, or Failed."""
    records = platform.records(region)
    record = records.get("endpoint", name)
    try:
        platform.fleets[region, name] = await start_fleets(
            platform, region, record, record["LastModifiedTime"]
        )
    except DeploymentError as error:
        mark_failed(records, name, f"The endpoint did not come back after a restart: {error}")
        return
    _serve(platform.fleets[region, name])
    _in_service(platform, records, name)


async def stop_fleets(platform: Platform, region: str, name: str) -> None:
    """Stop all tasks and copies of an endpoint."""
    fleets = platform.fleets.pop((region, name), {})
    await together(*(fleet.stop() for fleet in fleets.values()))


async def start_fleets(platform: Platform, region: str, record: Document, requested_s: float) -> Fleets:
    """Start the fleets of all variants. Raises DeploymentError if one fails; none is left then."""
    name = record["EndpointName"]
    fleets = empty_fleets(platform, region, record)
    platform.arriving[region, name] = fleets
    try:
        await together(
            *(
                fleets[variant["VariantName"]].start(variant["InitialInstanceCount"], requested_s)
                for variant in all_variants(record)
            )
        )
    except BaseException:
        await together(*(fleet.stop() for fleet in fleets.values()))
        raise
    finally:
        del platform.arriving[region, name]
    return fleets


def empty_fleets(platform: Platform, region: str, record: Document) -> Fleets:
    """A fleet without instances for every variant, including shadow variants."""
    name = record["EndpointName"]

    def died(_: ModelCopy, reason: str) -> None:
        platform.begin(region, "endpoint-failure", name, fail(platform, region, name, reason))

    fleets: Fleets = {}
    for variant in all_variants(record):
        place = Place(region, name, variant["VariantName"], variant["InstanceType"])
        model_name = variant.get("ModelName")
        spec = variant_spec(variant, record["_models"][model_name]) if model_name else None
        fleet = Fleet(platform.emulator, place, spec, platform.http, died)
        fleet.weight = variant["InitialVariantWeight"]
        routing = variant.get("RoutingConfig", {}).get("RoutingStrategy")
        fleet.routes_at_random = routing == "RANDOM"
        fleet.is_shadow = variant in record.get("_shadows", [])
        fleets[place.variant] = fleet
    return fleets


def all_variants(record: Document) -> list[Document]:
    """Production variants, then shadow variants."""
    return [*record["_variants"], *record.get("_shadows", [])]


def _check_roles(record: Document) -> None:
    models = [model.get("ExecutionRoleArn") for model in record["_models"].values()]
    check_roles_at_deployment([*models, record["_role"]])


def _serve(fleets: Fleets) -> None:
    for fleet in fleets.values():
        fleet.enter_service()


def _in_service(platform: Platform, records: Records, name: str) -> None:
    record = records.get("endpoint", name)
    for member in ("_pending", "PendingDeploymentSummary"):
        record.pop(member, None)
    record["EndpointStatus"] = "InService"
    record["ProductionVariants"] = variant_summaries(record, record["_variants"])
    record["ShadowProductionVariants"] = variant_summaries(record, record.get("_shadows", [])) or None
    record["DataCaptureConfig"] = capture_summary(record.get("_capture"))
    records.save("endpoint", record)


def _rolled_back(platform: Platform, records: Records, name: str, reason: str) -> None:
    """Keep the old configuration in service and record the reason."""
    record = records.get("endpoint", name)
    record["FailureReason"] = reason
    records.save("endpoint", record)
    _in_service(platform, records, name)


def mark_failed(records: Records, name: str, reason: str) -> None:
    """Set the status to Failed with this reason."""
    record = records.get("endpoint", name)
    for member in ("_pending", "PendingDeploymentSummary"):
        record.pop(member, None)
    record |= {"EndpointStatus": "Failed", "FailureReason": reason[:1024]}
    records.save("endpoint", record)


def capture_summary(config: Document | None) -> Document | None:
    """`DataCaptureConfig` of DescribeEndpoint."""
    if config is None:
        return None
    return {
        "EnableCapture": config.get("EnableCapture", False),
        "CaptureStatus": "Started" if config.get("EnableCapture") else "Stopped",
        "CurrentSamplingPercentage": config["InitialSamplingPercentage"],
        "DestinationS3Uri": config["DestinationS3Uri"],
        "KmsKeyId": "",
    }


def variant_summaries(record: Document, variants: list[Document]) -> list[Document]:
    """`ProductionVariants` of DescribeEndpoint for variants that serve."""
    return [
        {
            "VariantName": variant["VariantName"],
            "DeployedImages": deployed_images(record, variant),
            "CurrentWeight": variant["InitialVariantWeight"],
            "DesiredWeight": variant["InitialVariantWeight"],
            "CurrentInstanceCount": variant["InitialInstanceCount"],
            "DesiredInstanceCount": variant["InitialInstanceCount"],
            "ManagedInstanceScaling": variant.get("ManagedInstanceScaling"),
            "RoutingConfig": variant.get("RoutingConfig"),
        }
        for variant in variants
    ]


def pending_summary(config_name: str, variants: list[Document], status: str) -> Document:
    """`PendingDeploymentSummary` of DescribeEndpoint, starting now."""
    started_s = now()
    return {
        "EndpointConfigName": config_name,
        "StartTime": started_s,
        "ProductionVariants": [
            {
                "VariantName": variant["VariantName"],
                "CurrentWeight": 0.0,
                "DesiredWeight": variant["InitialVariantWeight"],
                "CurrentInstanceCount": 0,
                "DesiredInstanceCount": variant["InitialInstanceCount"],
                "InstanceType": variant["InstanceType"],
                "VariantStatus": [{"Status": status, "StartTime": started_s}],
            }
            for variant in variants
        ],
    }


def deployed_images(record: Document, variant: Document) -> list[Document] | None:
    """The images of a variant's model; None if it has no model."""
    model = record["_models"].get(variant.get("ModelName"))
    if model is None:
        return None
    containers = model.get("Containers") or [model.get("PrimaryContainer") or {}]
    return [deployed_image(item["Image"], record["CreationTime"]) for item in containers if "Image" in item]
