"""SageMaker's API: the function of each operation, long polling of Describe calls, and restarts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aiohttp import web

from ...emulator import Emulator
from ...errors import AwsError
from ...machines.instance import remove_leftovers
from ...protocol.call import Call
from ...protocol.responses import json_response
from ...protocol.service_models import operation_model
from ...state.store import Document
from . import async_inference, component_lifecycle, components, endpoint_lifecycle, endpoints, jobs, models
from .context import Context, Operation
from .long_poll import hold, remember_status
from .platform import Platform
from .quotas import instances_in_use
from .records import NAME_MEMBER, Kind, Records
from .supported_members import check_members
from .validation import checked_input, shaped_output

OPERATIONS: dict[str, Operation] = {
    "CreateModel": models.create_model,
    "DescribeModel": models.describe_model,
    "ListModels": models.list_models,
    "DeleteModel": models.delete_model,
    "CreateEndpointConfig": models.create_endpoint_config,
    "DescribeEndpointConfig": models.describe_endpoint_config,
    "ListEndpointConfigs": models.list_endpoint_configs,
    "DeleteEndpointConfig": models.delete_endpoint_config,
    "CreateEndpoint": endpoints.create_endpoint,
    "DescribeEndpoint": endpoints.describe_endpoint,
    "ListEndpoints": endpoints.list_endpoints,
    "UpdateEndpoint": endpoints.update_endpoint,
    "UpdateEndpointWeightsAndCapacities": endpoints.update_weights_and_capacities,
    "DeleteEndpoint": endpoints.delete_endpoint,
    "CreateInferenceComponent": components.create_component,
    "DescribeInferenceComponent": components.describe_component,
    "ListInferenceComponents": components.list_components,
    "UpdateInferenceComponent": components.update_component,
    "UpdateInferenceComponentRuntimeConfig": components.update_runtime_config,
    "DeleteInferenceComponent": components.delete_component,
    "CreateOptimizationJob": jobs.create_job,
    "DescribeOptimizationJob": jobs.describe_job,
    "ListOptimizationJobs": jobs.list_jobs,
    "StopOptimizationJob": jobs.stop_job,
    "DeleteOptimizationJob": jobs.delete_job,
    "ListTags": models.list_tags,
    "AddTags": models.add_tags,
    "DeleteTags": models.delete_tags,
}

# Describe calls that support long polling, and the member with the status.
_HELD: dict[str, tuple[Kind, str]] = {
    "DescribeEndpoint": ("endpoint", "EndpointStatus"),
    "DescribeInferenceComponent": ("inference-component", "InferenceComponentStatus"),
    "DescribeOptimizationJob": ("optimization-job", "OptimizationJobStatus"),
}

_platforms: dict[Path, Platform] = {}


def platform_of(emulator: Emulator) -> Platform:
    """The platform of an emulator, created on first use."""
    return _platforms.setdefault(emulator.state_dir, Platform(emulator))


async def handle(call: Call) -> web.StreamResponse:
    """One SageMaker call, JSON 1.1."""
    model = operation_model("sagemaker", call.operation)
    function = OPERATIONS.get(call.operation)
    if model is None or function is None:
        known = "is not supported by the embedded AWS" if model else "is not known"
        raise AwsError("UnknownOperationException", f"The operation {call.operation or '(none)'} {known}.")
    request = checked_input(model, call.json())
    check_members(model, call.json())
    context = Context(platform_of(call.emulator), platform_of(call.emulator).records(call.region))
    document = function(context, request)
    if call.operation in _HELD:
        kind, member = _HELD[call.operation]
        if await hold(call, context.platform.changes, kind, document[NAME_MEMBER[kind]], document[member]):
            document = function(context, request)
            remember_status(call, kind, document[NAME_MEMBER[kind]], document[member])
    return json_response(shaped_output(model, document))


async def start(emulator: Emulator) -> None:
    """Restore resources that were in service; unfinished ones fail with a reason."""
    remove_leftovers(emulator)
    platform = platform_of(emulator)
    for region in emulator.store.regions():
        records = platform.records(region)
        jobs.end_interrupted(records)
        async_inference.resume(platform, region)
        for record in records.all("endpoint"):
            _resume_endpoint(platform, records, record)


async def stop(emulator: Emulator) -> None:
    """Stop every process; the records are kept, so that `start` can restore the resources."""
    platform = _platforms.pop(emulator.state_dir, None)
    if platform is not None:
        await platform.close()


def endpoint_report(emulator: Emulator) -> list[dict[str, Any]]:
    """The endpoints with their processes, for `localaws status --json`."""
    platform = platform_of(emulator)
    report = []
    for region in emulator.store.regions():
        for record in platform.records(region).all("endpoint"):
            name = record["EndpointName"]
            processes = [
                {
                    "pid": copy.child.pid,
                    "port": copy.port,
                    "instance_id": copy.instance.id,
                    "inference_component": copy.spec.inference_component,
                    "log_path": str(copy.log_path),
                    "status": copy.status,
                    "requests": copy.served,
                }
                for copy in platform.copies(region, name)
                if copy.child is not None
            ]
            report.append(
                {"name": name, "region": region, "status": record["EndpointStatus"], "processes": processes}
            )
    return report


def instance_report(emulator: Emulator) -> list[dict[str, Any]]:
    """Used instances and quota by type and region, for `localaws status`."""
    return [
        {"region": region, "instance_type": kind, "used": used, "quota": emulator.settings.quota(kind)}
        for region in emulator.store.regions()
        for kind, used in sorted(instances_in_use(emulator, region).items())
    ]


def _resume_endpoint(platform: Platform, records: Records, record: Document) -> None:
    region, name, status = records.region, record["EndpointName"], record["EndpointStatus"]
    attached = [item for item in records.all("inference-component") if item["EndpointName"] == name]
    if status == "Deleting":
        records.remove("endpoint", name)
        return
    if status == "Creating":
        reason = "The endpoint was being created when the service restarted; delete it and create it again."
        endpoint_lifecycle.mark_failed(records, name, reason)
    elif status != "Failed":
        if status in ("Updating", "RollingBack"):
            record["FailureReason"] = "The update was interrupted by a restart of the service; update again."
        for member in ("_pending", "PendingDeploymentSummary"):
            record.pop(member, None)
        record["EndpointStatus"] = "SystemUpdating"
        records.save("endpoint", record)
        platform.begin(region, "endpoint", name, _resume(platform, region, name))
    for component in attached:
        component_lifecycle.mark_restarted(
            records, component, endpoint_lives=status not in ("Creating", "Failed")
        )


async def _resume(platform: Platform, region: str, name: str) -> None:
    """Restore the endpoint before its components, which need its instances."""
    await endpoint_lifecycle.restore(platform, region, name)
    for component in platform.records(region).all("inference-component"):
        if component["EndpointName"] == name and component["InferenceComponentStatus"] == "Updating":
            component_name = component["InferenceComponentName"]
            work = component_lifecycle.restore(platform, region, component_name)
            platform.begin(region, "inference-component", component_name, work)
