"""Operations on models, endpoint configurations and tags, which have no transitions."""

from __future__ import annotations

from typing import Any

from ...errors import AwsError
from ...state.store import Document
from .containers import check_image
from .context import Context
from .listing import listed, page
from .records import ARN_MEMBER, Kind, merged_tags
from .roles import check_role, not_assumable

Request = dict[str, Any]


def create_model(context: Context, request: Request) -> Document:
    """CreateModel."""
    given = [name for name in ("PrimaryContainer", "Containers") if request.get(name)]
    if len(given) != 1:
        raise AwsError("ValidationException", "Specify either PrimaryContainer or Containers, and not both.")
    for container in request.get("Containers") or [request["PrimaryContainer"]]:
        if "Image" not in container:
            raise AwsError("ValidationException", "A container needs an Image.")
        check_image(container["Image"])
        if container.get("Mode", "SingleModel") != "SingleModel":
            text = "This AWS runs containers of one model each (Mode SingleModel)."
            raise AwsError("ValidationException", text)
        if "ModelDataUrl" in container and "ModelDataSource" in container:
            raise AwsError(
                "ValidationException", "Specify either ModelDataUrl or ModelDataSource, and not both."
            )
    check_role(request.get("ExecutionRoleArn"), context.platform.emulator.account_id)
    _strike(context, request)
    defaults = {"EnableNetworkIsolation": False}
    return context.records.create("model", request, {**defaults, **_described(request)})


def describe_model(context: Context, request: Request) -> Document:
    """DescribeModel. The default mode of a container is SingleModel, as on AWS."""
    record = context.records.get("model", request["ModelName"])
    for container in [record.get("PrimaryContainer"), *record.get("Containers", [])]:
        if container is not None:
            container.setdefault("Mode", "SingleModel")
    return record


def list_models(context: Context, request: Request) -> Document:
    """ListModels."""
    found, token = listed("model", request, context.records.all("model"))
    return {"Models": found, "NextToken": token}


def delete_model(context: Context, request: Request) -> Document:
    """DeleteModel. Endpoints that use the model are not affected."""
    context.records.get("model", request["ModelName"])
    context.records.remove("model", request["ModelName"])
    return {}


def create_endpoint_config(context: Context, request: Request) -> Document:
    """CreateEndpointConfig; without ModelName it is for inference components.

    Source: docs/facts/sagemaker.md#inference-components.
    """
    shadows = request.get("ShadowProductionVariants", [])
    variants = request["ProductionVariants"]
    names = [variant["VariantName"] for variant in (*variants, *shadows)]
    if len(set(names)) != len(names):
        raise AwsError("ValidationException", "Duplicate variant names in ProductionVariants.")
    check_role(request.get("ExecutionRoleArn"), context.platform.emulator.account_id)
    for variant in (*variants, *shadows):
        _check_variant(variant)
        if "ModelName" in variant:
            context.records.get("model", variant["ModelName"])
        elif "ExecutionRoleArn" not in request:
            raise AwsError(
                "ValidationException",
                "ExecutionRoleArn is required in the endpoint configuration when a variant has no ModelName.",
            )
    with_model = {"ModelName" in variant for variant in variants}
    if len(with_model) > 1:
        raise AwsError("ValidationException", "Either every production variant has a ModelName, or none has.")
    _check_shadows(request, with_model == {True})
    return context.records.create("endpoint-config", request, _described(request))


def _check_variant(variant: Document) -> None:
    """Raise ValidationException for settings that are not supported here or not allowed by AWS."""
    name = variant["VariantName"]
    if "InstanceType" not in variant:
        raise AwsError("ValidationException", f"Variant {name} names no InstanceType.")
    if variant.get("RoutingConfig", {}).get("RoutingStrategy") == "PREFIX_AWARE":
        text = f"Variant {name}: this AWS does not route by prefixes (RoutingStrategy PREFIX_AWARE)."
        raise AwsError("ValidationException", text)
    scaling = variant.get("ManagedInstanceScaling", {})
    if scaling.get("MinInstanceCount", 0) > scaling.get("MaxInstanceCount", 10**9):
        raise AwsError("ValidationException", f"Variant {name}: MinInstanceCount is over MaxInstanceCount.")
    if scaling and "ModelName" in variant:
        text = f"Variant {name}: ManagedInstanceScaling is for endpoints of inference components."
        raise AwsError("ValidationException", text)


def _check_shadows(request: Request, with_models: bool) -> None:
    """Check that there is one production variant per shadow variant, and that both have a model."""
    shadows = request.get("ShadowProductionVariants", [])
    if not shadows:
        return
    if len(shadows) > 1 or len(request["ProductionVariants"]) > 1 or not with_models:
        raise AwsError(
            "ValidationException",
            "A shadow test has one production variant and one shadow variant, each with a ModelName.",
        )
    if "AsyncInferenceConfig" in request:
        raise AwsError("ValidationException", "Asynchronous endpoints have no shadow variants.")


def describe_endpoint_config(context: Context, request: Request) -> Document:
    """DescribeEndpointConfig."""
    return context.records.get("endpoint-config", request["EndpointConfigName"])


def list_endpoint_configs(context: Context, request: Request) -> Document:
    """ListEndpointConfigs."""
    found, token = listed("endpoint-config", request, context.records.all("endpoint-config"))
    return {"EndpointConfigs": found, "NextToken": token}


def delete_endpoint_config(context: Context, request: Request) -> Document:
    """DeleteEndpointConfig. Rejected while an endpoint is being created or updated with it."""
    name = request["EndpointConfigName"]
    record = context.records.get("endpoint-config", name)
    for endpoint in context.records.all("endpoint"):
        if endpoint.get("PendingDeploymentSummary", {}).get("EndpointConfigName") == name:
            raise AwsError(
                "ValidationException",
                f'Cannot delete endpoint configuration "{record["EndpointConfigArn"]}": endpoint '
                f"{endpoint['EndpointName']} is being created or updated with it.",
            )
    context.records.remove("endpoint-config", name)
    return {}


def list_tags(context: Context, request: Request) -> Document:
    """ListTags."""
    arn = _existing(context, request["ResourceArn"])
    tags = [{"Key": key, "Value": value} for key, value in sorted(context.records.tags(arn).items())]
    found, token = page(request, tags, lambda tag: (tag["Key"],), size=50)
    return {"Tags": found, "NextToken": token}


def add_tags(context: Context, request: Request) -> Document:
    """AddTags."""
    arn = _existing(context, request["ResourceArn"])
    tags = merged_tags(context.records.tags(arn), request["Tags"])
    context.records.put_tags(arn, tags)
    return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}


def delete_tags(context: Context, request: Request) -> Document:
    """DeleteTags; missing keys are ignored."""
    arn = _existing(context, request["ResourceArn"])
    gone = set(request["TagKeys"])
    kept = {key: value for key, value in context.records.tags(arn).items() if key not in gone}
    context.records.put_tags(arn, kept)
    return {}


def _strike(context: Context, request: Request) -> None:
    """Reject the model with SageMaker's message if a fault is injected."""
    faults, name = context.platform.emulator.faults, request["ModelName"]
    if faults.take("image_not_found", model=name):
        containers = request.get("Containers") or [request["PrimaryContainer"]]
        raise AwsError("ValidationException", f"Requested image {containers[0].get('Image')} not found.")
    if faults.take("role_not_assumable", model=name):
        raise not_assumable(request["ExecutionRoleArn"])


def _described(request: Request) -> Document:
    return {name: value for name, value in request.items() if name != "Tags"}


def _existing(context: Context, arn: str) -> str:
    """The stored form of the ARN. Raises AWS's error if no resource of this region has it."""
    kind, _, name = arn.rpartition(":")[2].partition("/")
    if kind in ARN_MEMBER:
        known: Kind = kind
        if context.records.arn(known, name) == arn and context.records.find(known, name) is not None:
            return arn
    raise AwsError("ValidationException", f"Could not find resource {arn}.")
