"""Operations on inference components."""

from __future__ import annotations

from typing import Any

from ...errors import AwsError
from ...machines.instance import DeploymentError
from ...state.store import Document
from . import component_lifecycle
from .containers import check_image, component_spec, deployed_image
from .context import Context
from .deployment_policy import check_policy
from .listing import listed
from .records import now

Request = dict[str, Any]


def create_component(context: Context, request: Request) -> Document:
    """CreateInferenceComponent."""
    endpoint = context.records.get("endpoint", request["EndpointName"])
    variant = _variant(endpoint, request)
    if endpoint["EndpointStatus"] != "InService":
        raise AwsError(
            "ValidationException",
            f'Cannot create an inference component on endpoint "{endpoint["EndpointArn"]}" '
            f"in status {endpoint['EndpointStatus']}.",
        )
    specification = _specification(request)
    copies = request.get("RuntimeConfig", {}).get("CopyCount")
    if copies is None:
        raise AwsError("ValidationException", "RuntimeConfig with a CopyCount is required.")
    record = context.records.create(
        "inference-component",
        request,
        {
            "EndpointName": endpoint["EndpointName"],
            "EndpointArn": endpoint["EndpointArn"],
            "VariantName": variant["VariantName"],
            "InferenceComponentStatus": "Creating",
            "RuntimeConfig": {"DesiredCopyCount": copies, "CurrentCopyCount": 0},
            **_deployable(context, request["InferenceComponentName"], specification),
        },
    )
    name = record["InferenceComponentName"]
    work = component_lifecycle.create(context.platform, context.region, name)
    context.platform.begin(context.region, "inference-component", name, work)
    return record


def describe_component(context: Context, request: Request) -> Document:
    """DescribeInferenceComponent."""
    return context.records.get("inference-component", request["InferenceComponentName"])


def list_components(context: Context, request: Request) -> Document:
    """ListInferenceComponents."""
    found, token = listed("inference-component", request, context.records.all("inference-component"))
    return {"InferenceComponents": found, "NextToken": token}


def update_component(context: Context, request: Request) -> Document:
    """UpdateInferenceComponent: changes the specification, the number of copies, or both."""
    record = _settled(context, request["InferenceComponentName"])
    pending: Document = {}
    if "Specification" in request or "Specifications" in request:
        pending = _deployable(context, record["InferenceComponentName"], _specification(request))
    copies = request.get("RuntimeConfig", {}).get("CopyCount", record["RuntimeConfig"]["DesiredCopyCount"])
    policy = request.get("DeploymentConfig")
    check_policy(context.platform.emulator, context.region, policy)
    if policy is not None:
        record["LastDeploymentConfig"] = policy
    record["_policy"] = policy
    return _begin_update(context, record, pending, copies)


def update_runtime_config(context: Context, request: Request) -> Document:
    """UpdateInferenceComponentRuntimeConfig: changes the number of copies."""
    record = _settled(context, request["InferenceComponentName"])
    return _begin_update(context, record, {}, request["DesiredRuntimeConfig"]["CopyCount"])


def delete_component(context: Context, request: Request) -> Document:
    """DeleteInferenceComponent. Rejected while a transition is in progress."""
    name = request["InferenceComponentName"]
    record = context.records.get("inference-component", name)
    if record["InferenceComponentStatus"] not in ("InService", "Failed"):
        raise _in_progress(record)
    record["InferenceComponentStatus"] = "Deleting"
    context.records.save("inference-component", record)
    work = component_lifecycle.delete(context.platform, context.region, name)
    context.platform.begin(context.region, "inference-component", name, work)
    return {}


def _begin_update(context: Context, record: Document, pending: Document, copies: int) -> Document:
    name = record["InferenceComponentName"]
    record.pop("FailureReason", None)
    record["InferenceComponentStatus"] = "Updating"
    record["_pending"] = pending
    record["_copies_before"] = record["RuntimeConfig"]["DesiredCopyCount"]
    record["RuntimeConfig"]["DesiredCopyCount"] = copies
    context.records.save("inference-component", record)
    work = component_lifecycle.update(context.platform, context.region, name)
    context.platform.begin(context.region, "inference-component", name, work)
    return record


def _variant(endpoint: Document, request: Request) -> Document:
    variants: dict[str, Document] = {item["VariantName"]: item for item in endpoint["_variants"]}
    name = request.get("VariantName") or next(iter(variants))
    if name not in variants:
        raise AwsError("ValidationException", f'Could not find variant "{name}" on the endpoint.')
    if "ModelName" in variants[name]:
        raise AwsError(
            "ValidationException",
            "Inference Components are not supported on an endpoint whose production variant has a ModelName.",
        )
    return variants[name]


def _specification(request: Request) -> Document:
    if "Specifications" in request:
        raise AwsError(
            "ValidationException", "The embedded AWS supports one Specification, not one per instance type."
        )
    specification: Document | None = request.get("Specification")
    if specification is None:
        raise AwsError("ValidationException", "Specification is required.")
    if "BaseInferenceComponentName" in specification:
        raise AwsError(
            "ValidationException", "This AWS has no adapter components (BaseInferenceComponentName)."
        )
    if "ModelName" not in specification and "Image" not in specification.get("Container", {}):
        raise AwsError(
            "ValidationException", "A Specification needs a ModelName, or a Container with an Image."
        )
    if "Image" in specification.get("Container", {}):
        check_image(specification["Container"]["Image"])
    if "ComputeResourceRequirements" not in specification:
        raise AwsError("ValidationException", "A Specification needs ComputeResourceRequirements.")
    return specification


def _deployable(context: Context, name: str, specification: Document) -> Document:
    """A record's members for a specification, with the current state of the model."""
    model_name = specification.get("ModelName")
    model = context.records.get("model", model_name) if model_name else None
    members: Document = {"_specification": specification, "_model": model}
    try:
        component_spec({"InferenceComponentName": name, **members})
    except DeploymentError as error:
        raise AwsError("ValidationException", str(error)) from error
    summary = dict(specification)
    if "Container" in specification:
        own = dict(specification["Container"])
        if "Image" in own:
            own["DeployedImage"] = deployed_image(own["Image"], now())
        summary["Container"] = own
    return {**members, "Specification": summary}


def _settled(context: Context, name: str) -> Document:
    record = context.records.get("inference-component", name)
    if record["InferenceComponentStatus"] not in ("InService", "Failed"):
        raise _in_progress(record)
    return record


def _in_progress(record: Document) -> AwsError:
    arn, status = record["InferenceComponentArn"], record["InferenceComponentStatus"]
    return AwsError(
        "ValidationException", f'Cannot update in-progress inference component "{arn}" ({status}).'
    )
