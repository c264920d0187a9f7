"""Operations on endpoints: check the status, and start transitions."""

from __future__ import annotations

from typing import Any

from ...errors import AwsError
from ...state.store import Document
from . import endpoint_lifecycle
from .context import Context
from .deployment_policy import check_policy
from .listing import listed
from .quotas import check_quota

Request = dict[str, Any]


def create_endpoint(context: Context, request: Request) -> Document:
    """CreateEndpoint."""
    config = context.records.get("endpoint-config", request["EndpointConfigName"])
    check_policy(context.platform.emulator, context.region, request.get("DeploymentConfig"))
    snapshot = _snapshot(context, config)
    fleet = (*snapshot["_variants"], *snapshot["_shadows"])
    check_quota(context.platform.emulator, context.region, request["EndpointName"], fleet)
    record = context.records.create(
        "endpoint",
        request,
        {
            "EndpointConfigName": request["EndpointConfigName"],
            "EndpointStatus": "Creating",
            "PendingDeploymentSummary": endpoint_lifecycle.pending_summary(
                config["EndpointConfigName"], snapshot["_variants"], "Creating"
            ),
            "LastDeploymentConfig": request.get("DeploymentConfig"),
            **snapshot,
        },
    )
    name = record["EndpointName"]
    work = endpoint_lifecycle.create(context.platform, context.region, name)
    context.platform.begin(context.region, "endpoint", name, work)
    return record


def describe_endpoint(context: Context, request: Request) -> Document:
    """DescribeEndpoint."""
    return context.records.get("endpoint", request["EndpointName"])


def list_endpoints(context: Context, request: Request) -> Document:
    """ListEndpoints."""
    found, token = listed("endpoint", request, context.records.all("endpoint"))
    return {"Endpoints": found, "NextToken": token}


def update_endpoint(context: Context, request: Request) -> Document:
    """UpdateEndpoint."""
    record = _settled(context, request["EndpointName"])
    config = context.records.get("endpoint-config", request["EndpointConfigName"])
    if _components(context, record["EndpointName"]):
        raise AwsError(
            "ValidationException",
            "Cannot update the configuration of an endpoint that has inference components; "
            "delete them first (this AWS does not move components between fleets).",
        )
    snapshot = _snapshot(context, config)
    if request.get("RetainAllVariantProperties"):
        excluded = {
            item["VariantPropertyType"] for item in request.get("ExcludeRetainedVariantProperties", [])
        }
        _retain(record["_variants"], snapshot["_variants"], excluded)
        if "DataCaptureConfig" not in excluded:
            snapshot["_capture"] = record.get("_capture")
    fleet = (*snapshot["_variants"], *snapshot["_shadows"])
    check_quota(context.platform.emulator, context.region, record["EndpointName"], fleet)
    pending = {"EndpointConfigName": request["EndpointConfigName"], **snapshot}
    policy = request.get("DeploymentConfig")
    if policy is None and request.get("RetainDeploymentConfig"):
        policy = record.get("LastDeploymentConfig")
    check_policy(context.platform.emulator, context.region, policy)
    pending["LastDeploymentConfig"] = policy
    _begin_update(context, record, pending, endpoint_lifecycle.update)
    return record


def update_weights_and_capacities(context: Context, request: Request) -> Document:
    """UpdateEndpointWeightsAndCapacities."""
    record = _settled(context, request["EndpointName"])
    variants: list[Document] = [dict(variant) for variant in record["_variants"]]
    known = {variant["VariantName"]: variant for variant in variants}
    grown: list[Document] = []
    asked = [wanted["VariantName"] for wanted in request["DesiredWeightsAndCapacities"]]
    if len(set(asked)) != len(asked):
        raise AwsError(
            "ValidationException", "The variant names in DesiredWeightsAndCapacities are not unique."
        )
    for wanted in request["DesiredWeightsAndCapacities"]:
        variant = known.get(wanted["VariantName"])
        if variant is None:
            raise AwsError(
                "ValidationException",
                f'The variant name(s) "{wanted["VariantName"]}" is/are not present within '
                f'endpoint configuration "{record["EndpointConfigName"]}".',
            )
        variant["InitialVariantWeight"] = wanted.get("DesiredWeight", variant["InitialVariantWeight"])
        count = wanted.get("DesiredInstanceCount", variant["InitialInstanceCount"])
        if count > variant["InitialInstanceCount"]:
            grown.append(variant | {"InitialInstanceCount": count - variant["InitialInstanceCount"]})
        variant["InitialInstanceCount"] = count
        _check_components_fit(context, record["EndpointName"], variant)
    check_quota(context.platform.emulator, context.region, record["EndpointName"], grown)
    # Desired values are visible immediately, current values when the copies are in service.
    record["ProductionVariants"] = [
        shown
        | {
            "DesiredWeight": variant["InitialVariantWeight"],
            "DesiredInstanceCount": variant["InitialInstanceCount"],
        }
        for shown, variant in zip(record["ProductionVariants"], variants, strict=True)
    ]
    _begin_update(context, record, {"_variants": variants}, endpoint_lifecycle.scale)
    return record


def delete_endpoint(context: Context, request: Request) -> Document:
    """DeleteEndpoint. Rejected while a component is attached, and while a transition is in progress."""
    name = request["EndpointName"]
    record = context.records.get("endpoint", name)
    if record["EndpointStatus"] not in ("InService", "Failed", "OutOfService", "UpdateRollbackFailed"):
        raise _in_progress(record)
    if _components(context, name):
        raise AwsError(
            "ValidationException",
            "Cannot delete endpoint with inference component associated. "
            "Please delete inference component and try it again.",
        )
    record["EndpointStatus"] = "Deleting"
    context.records.save("endpoint", record)
    work = endpoint_lifecycle.delete(context.platform, context.region, name)
    context.platform.begin(context.region, "endpoint", name, work)
    return {}


def _begin_update(context: Context, record: Document, pending: Document, transition: Any) -> None:
    name = record["EndpointName"]
    record.pop("FailureReason", None)
    record["EndpointStatus"] = "Updating"
    record["_pending"] = pending
    config_name: str = {**record, **pending}["EndpointConfigName"]
    summary = endpoint_lifecycle.pending_summary(config_name, pending["_variants"], "Updating")
    record["PendingDeploymentSummary"] = summary
    context.records.save("endpoint", record)
    work = transition(context.platform, context.region, name)
    context.platform.begin(context.region, "endpoint", name, work)


def _snapshot(context: Context, config: Document) -> Document:
    """A snapshot of variants and models, so that deleting them later does not affect the endpoint."""
    defaults = {"InitialVariantWeight": 1.0, "InitialInstanceCount": 1}
    variants = [{**defaults, **variant} for variant in config["ProductionVariants"]]
    shadows = [{**defaults, **variant} for variant in config.get("ShadowProductionVariants", [])]
    names = {variant["ModelName"] for variant in (*variants, *shadows) if "ModelName" in variant}
    return {
        "_variants": variants,
        "_shadows": shadows,
        "_models": {name: context.records.get("model", name) for name in names},
        "_role": config.get("ExecutionRoleArn"),
        "_capture": config.get("DataCaptureConfig"),
        "AsyncInferenceConfig": config.get("AsyncInferenceConfig"),
    }


def _retain(current: list[Document], wanted: list[Document], excluded: set[str]) -> None:
    """Copy instance count and weight to the variants with the same name."""
    members = {"DesiredInstanceCount": "InitialInstanceCount", "DesiredWeight": "InitialVariantWeight"}
    by_name = {variant["VariantName"]: variant for variant in current}
    for variant in wanted:
        present = by_name.get(variant["VariantName"])
        for kind, member in members.items():
            if present is not None and kind not in excluded:
                variant[member] = present[member]


def _check_components_fit(context: Context, endpoint: str, variant: Document) -> None:
    """Reject the release of instances with copies of components, because copies are not moved."""
    fleet = context.platform.fleets[context.region, endpoint][variant["VariantName"]]
    busy = sum(1 for instance in fleet.instances if fleet.copies_on(instance))
    if "ModelName" not in variant and variant["InitialInstanceCount"] < busy:
        raise AwsError(
            "ValidationException",
            f"{busy} instances of variant {variant['VariantName']} run copies of inference components; "
            "lower their copy counts first.",
        )


def _settled(context: Context, name: str) -> Document:
    record = context.records.get("endpoint", name)
    if record["EndpointStatus"] == "Failed":
        raise AwsError("ValidationException", f'Cannot update failed endpoint "{record["EndpointArn"]}".')
    if record["EndpointStatus"] != "InService":
        raise _in_progress(record)
    return record


def _in_progress(record: Document) -> AwsError:
    return AwsError("ValidationException", f'Cannot update in-progress endpoint "{record["EndpointArn"]}".')


def _components(context: Context, endpoint: str) -> list[Document]:
    return [item for item in context.records.all("inference-component") if item["EndpointName"] == endpoint]
