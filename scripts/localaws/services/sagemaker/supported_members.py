"""The supported members of SageMaker operations; all others are rejected with an error that names them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.model import OperationModel

from ...errors import AwsError
from .. import supported_members

_LISTED = ("SortBy", "SortOrder", "NextToken", "MaxResults", "NameContains")
_CREATED = ("CreationTimeBefore", "CreationTimeAfter")
_MODIFIED = ("LastModifiedTimeBefore", "LastModifiedTimeAfter")


def _inside(parents: tuple[str, ...], names: tuple[str, ...]) -> tuple[str, ...]:
    return (*parents, *(f"{parent}.{name}" for parent in parents for name in names))


_S3_SOURCE = ("S3Uri", "S3DataType", "CompressionType", "ModelAccessConfig.*")
_CONTAINER = (
    *("ContainerHostname", "Image", "Mode", "ModelDataUrl", "Environment"),
    *_inside(("ModelDataSource",), ("S3DataSource", *(f"S3DataSource.{name}" for name in _S3_SOURCE))),
)
_VARIANT = (
    *("VariantName", "ModelName", "InitialInstanceCount", "InstanceType", "InitialVariantWeight"),
    *("ModelDataDownloadTimeoutInSeconds", "ContainerStartupHealthCheckTimeoutInSeconds"),
    *("RoutingConfig", "RoutingConfig.RoutingStrategy", "InferenceAmiVersion"),
    *_inside(("ManagedInstanceScaling",), ("Status", "MinInstanceCount", "MaxInstanceCount")),
)
_CAPTURE = ("EnableCapture", "InitialSamplingPercentage", "DestinationS3Uri", "CaptureOptions.*")
_SPECIFICATION = _inside(
    ("Specification",),
    (
        *("ModelName", "StartupParameters.*", "Container", "Container.Image", "Container.ArtifactUrl"),
        *("Container.Environment", "ComputeResourceRequirements"),
        *(
            f"ComputeResourceRequirements.{name}"
            for name in (
                *("NumberOfCpuCoresRequired", "NumberOfAcceleratorDevicesRequired"),
                *("MinMemoryRequiredInMb", "MaxMemoryRequiredInMb"),
            )
        ),
    ),
)

HONOURED: dict[str, tuple[str, ...]] = {
    "CreateModel": (
        *("ModelName", "ExecutionRoleArn", "Tags.*"),
        *_inside(("PrimaryContainer", "Containers"), _CONTAINER),
    ),
    "DescribeModel": ("ModelName",),
    "ListModels": (*_LISTED, *_CREATED),
    "DeleteModel": ("ModelName",),
    "CreateEndpointConfig": (
        *("EndpointConfigName", "ExecutionRoleArn", "Tags.*"),
        *_inside(("ProductionVariants", "ShadowProductionVariants"), _VARIANT),
        *_inside(("DataCaptureConfig",), (*_CAPTURE, "CaptureContentTypeHeader.*")),
        *_inside(
            ("AsyncInferenceConfig",),
            ("ClientConfig.*", *_inside(("OutputConfig",), ("S3OutputPath", "S3FailurePath"))),
        ),
    ),
    "DescribeEndpointConfig": ("EndpointConfigName",),
    "ListEndpointConfigs": (*_LISTED, *_CREATED),
    "DeleteEndpointConfig": ("EndpointConfigName",),
    "CreateEndpoint": ("EndpointName", "EndpointConfigName", "DeploymentConfig.*", "Tags.*"),
    "DescribeEndpoint": ("EndpointName",),
    "ListEndpoints": (*_LISTED, *_CREATED, *_MODIFIED, "StatusEquals"),
    "UpdateEndpoint": (
        *("EndpointName", "EndpointConfigName", "RetainAllVariantProperties"),
        *("ExcludeRetainedVariantProperties.*", "DeploymentConfig.*", "RetainDeploymentConfig"),
    ),
    "UpdateEndpointWeightsAndCapacities": (
        "EndpointName",
        *_inside(("DesiredWeightsAndCapacities",), ("VariantName", "DesiredWeight", "DesiredInstanceCount")),
    ),
    "DeleteEndpoint": ("EndpointName",),
    "CreateInferenceComponent": (
        *("InferenceComponentName", "EndpointName", "VariantName", "RuntimeConfig.*", "Tags.*"),
        *_SPECIFICATION,
    ),
    "DescribeInferenceComponent": ("InferenceComponentName",),
    "ListInferenceComponents": (
        *(*_LISTED, *_CREATED, *_MODIFIED, "StatusEquals", "EndpointNameEquals", "VariantNameEquals"),
    ),
    "UpdateInferenceComponent": (
        *("InferenceComponentName", "RuntimeConfig.*", "DeploymentConfig.*", *_SPECIFICATION),
    ),
    "UpdateInferenceComponentRuntimeConfig": ("InferenceComponentName", "DesiredRuntimeConfig.*"),
    "DeleteInferenceComponent": ("InferenceComponentName",),
    "CreateOptimizationJob": (
        *("OptimizationJobName", "RoleArn", "DeploymentInstanceType", "OptimizationEnvironment", "Tags.*"),
        *("ModelSource.*", "OptimizationConfigs", "OptimizationConfigs.ModelShardingConfig.*"),
        *("OutputConfig", "OutputConfig.S3OutputLocation"),
        *("StoppingCondition", "StoppingCondition.MaxRuntimeInSeconds"),
    ),
    "DescribeOptimizationJob": ("OptimizationJobName",),
    "ListOptimizationJobs": (*_LISTED, *_CREATED, *_MODIFIED, "StatusEquals", "OptimizationContains"),
    "StopOptimizationJob": ("OptimizationJobName",),
    "DeleteOptimizationJob": ("OptimizationJobName",),
    "ListTags": ("ResourceArn", "NextToken", "MaxResults"),
    "AddTags": ("ResourceArn", "Tags.*"),
    "DeleteTags": ("ResourceArn", "TagKeys"),
}

# Members of InvokeEndpoint and similar operations, which are sent as headers.
RUNTIME_HONOURED: dict[str, tuple[str, ...]] = {
    "InvokeEndpoint": (
        *("EndpointName", "Body", "ContentType", "Accept", "CustomAttributes", "TargetVariant"),
        *("InferenceId", "InferenceComponentName"),
    ),
    "InvokeEndpointWithResponseStream": (
        *("EndpointName", "Body", "ContentType", "Accept", "CustomAttributes", "TargetVariant"),
        *("InferenceId", "InferenceComponentName"),
    ),
    "InvokeEndpointAsync": (
        *("EndpointName", "ContentType", "Accept", "CustomAttributes", "InferenceId", "InputLocation"),
        *("RequestTTLSeconds", "InvocationTimeoutSeconds"),
    ),
}


def check_members(operation: OperationModel, document: Any) -> None:
    """Raise ValidationException for unsupported members of a request.

    A false or empty value is accepted.
    """
    shape = operation.input_shape
    if shape is None:
        return
    if refused := supported_members.refused_in(shape, _asked(document), HONOURED[operation.name]):
        raise AwsError(
            "ValidationException",
            f"The embedded AWS does not support {', '.join(refused[:10])} of {operation.name}: remove it, "
            "or deploy to a real account.",
        )


def check_headers(operation: OperationModel, headers: Mapping[str, str]) -> None:
    """Raise ValidationError for an unsupported header of InvokeEndpoint."""
    shape = operation.input_shape
    for name, member in shape.members.items() if shape else ():
        header = member.serialization.get("name", "")
        is_header = member.serialization.get("location") == "header"
        if is_header and header in headers and name not in RUNTIME_HONOURED[operation.name]:
            text = f"The embedded AWS does not support {name} of {operation.name}: remove it."
            raise AwsError("ValidationError", text, 400)


def _asked(value: Any) -> Any:
    """A document without empty and false values."""
    if isinstance(value, dict):
        kept = {name: _asked(item) for name, item in value.items()}
        return {name: item for name, item in kept.items() if item not in (None, False, {}, [])}
    return [_asked(item) for item in value] if isinstance(value, list) else value
