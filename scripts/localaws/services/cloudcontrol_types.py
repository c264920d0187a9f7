"""The resource types of Cloud Control: their schemas, and their mapping to SageMaker's records.

Identifiers, read-only, write-only and create-only properties are those of the published CloudFormation
schemas of AWS::SageMaker::InferenceComponent and AWS::SageMaker::EndpointConfig; the properties come from
botocore's model.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from ..errors import AwsError
from ..protocol.service_models import operation_model
from ..state.store import Document
from .sagemaker import components, models
from .sagemaker.context import Context
from .sagemaker.records import ARN_MEMBER, NAME_MEMBER, Kind, merged_tags
from .sagemaker.supported_members import check_members
from .sagemaker.validation import checked_input, shaped

Properties = dict[str, Any]


@dataclass(frozen=True)
class ResourceType:
    """One type: its kind of records, and the operations of its handlers."""

    name: str
    kind: Kind
    create: str
    describe: str
    read_only: tuple[str, ...]
    write_only: tuple[str, ...]
    create_only: tuple[str, ...]
    create_with: Callable[[Context, dict[str, Any]], Document]
    delete_with: Callable[[Context, dict[str, Any]], Document]

    @property
    def identifier(self) -> str:
        """The property that identifies a resource."""
        return ARN_MEMBER[self.kind]


INFERENCE_COMPONENT = ResourceType(
    name="AWS::SageMaker::InferenceComponent",
    kind="inference-component",
    create="CreateInferenceComponent",
    describe="DescribeInferenceComponent",
    read_only=(
        "InferenceComponentArn",
        "Specification/Container/DeployedImage",
        "RuntimeConfig/DesiredCopyCount",
        "RuntimeConfig/CurrentCopyCount",
        "CreationTime",
        "LastModifiedTime",
        "FailureReason",
        "InferenceComponentStatus",
    ),
    write_only=("Specification/Container/Image", "RuntimeConfig/CopyCount"),
    create_only=(),
    create_with=components.create_component,
    delete_with=components.delete_component,
)
ENDPOINT_CONFIG = ResourceType(
    name="AWS::SageMaker::EndpointConfig",
    kind="endpoint-config",
    create="CreateEndpointConfig",
    describe="DescribeEndpointConfig",
    read_only=("EndpointConfigArn",),
    write_only=(),
    create_only=(
        "KmsKeyId",
        "AsyncInferenceConfig",
        "ExecutionRoleArn",
        "ShadowProductionVariants",
        "EnableNetworkIsolation",
        "ProductionVariants",
        "DataCaptureConfig",
        "ExplainerConfig",
        "MetricsConfig",
        "EndpointConfigName",
        "VpcConfig",
    ),
    create_with=models.create_endpoint_config,
    delete_with=models.delete_endpoint_config,
)
TYPES = {kind.name: kind for kind in (INFERENCE_COMPONENT, ENDPOINT_CONFIG)}


@functools.cache
def schema(resource_type: ResourceType) -> str:
    """The type's CloudFormation schema, as JSON."""
    created, described = _shape(resource_type.create), _shape(resource_type.describe, output=True)
    properties = _merged(_json_schema(described), _json_schema(created))["properties"]
    properties.pop("CreationTime" if resource_type is ENDPOINT_CONFIG else "", None)
    required = [name for name in created.required_members if name != NAME_MEMBER[resource_type.kind]]
    document = {
        "typeName": resource_type.name,
        "description": f"Resource Type definition for {resource_type.name}",
        "properties": properties,
        "additionalProperties": False,
        "required": required,
        "primaryIdentifier": [f"/properties/{resource_type.identifier}"],
        "readOnlyProperties": [f"/properties/{name}" for name in resource_type.read_only],
        "writeOnlyProperties": [f"/properties/{name}" for name in resource_type.write_only],
        "createOnlyProperties": [f"/properties/{name}" for name in resource_type.create_only],
        "tagging": {
            "taggable": True,
            "tagOnCreate": True,
            "tagUpdatable": True,
            "tagProperty": "/properties/Tags",
        },
        "handlers": {name: {"permissions": []} for name in ("create", "read", "update", "delete", "list")},
    }
    return json.dumps(document)


def create(context: Context, resource_type: ResourceType, properties: Properties) -> Document:
    """Run the create handler. Raises AwsError like the service's operation."""
    model = operation_model("sagemaker", resource_type.create)
    assert model is not None  # the table above names operations of the service model
    request = checked_input(model, properties)
    check_members(model, properties)
    return resource_type.create_with(context, request)


def read(context: Context, resource_type: ResourceType, record: Document) -> Properties:
    """A resource's properties from the read handler."""
    properties: Properties = shaped(_shape(resource_type.describe, output=True), record)
    for name in ("CreationTime", "LastModifiedTime"):
        if name in properties:
            properties[name] = datetime.fromtimestamp(properties[name], UTC).isoformat()
    if resource_type is ENDPOINT_CONFIG:
        properties.pop("CreationTime", None)
    image = properties.get("Specification", {}).get("Container", {}).get("DeployedImage")
    if image is not None:
        image["ResolutionTime"] = datetime.fromtimestamp(image["ResolutionTime"], UTC).isoformat()
    tags = context.records.tags(record[resource_type.identifier])
    if tags:
        properties["Tags"] = [{"Key": key, "Value": value} for key, value in tags.items()]
    return properties


def writable(context: Context, resource_type: ResourceType, record: Document) -> Properties:
    """The properties that a patch applies to: those that a client may set, and the write-only ones."""
    properties = read(context, resource_type, record)
    for path in resource_type.read_only:
        *parents, last = path.split("/")
        target: Any = properties
        for parent in parents:
            target = target.get(parent, {})
        target.pop(last, None)
    if resource_type is INFERENCE_COMPONENT:
        properties["RuntimeConfig"] = {"CopyCount": record["RuntimeConfig"]["DesiredCopyCount"]}
        properties["Specification"] = record["_specification"]
    return properties


def update(context: Context, resource_type: ResourceType, record: Document, properties: Properties) -> None:
    """Run the update handler for changed properties. Raises AwsError, NotUpdatable for create-only ones."""
    before = writable(context, resource_type, record)
    changed = {name for name in before.keys() | properties.keys() if before.get(name) != properties.get(name)}
    if "Tags" in changed:
        tags = merged_tags({}, properties.get("Tags", []))
        context.records.put_tags(record[resource_type.identifier], tags)
    if resource_type is ENDPOINT_CONFIG and changed - {"Tags"}:
        raise AwsError(
            "NotUpdatable", f"These properties cannot change: {', '.join(sorted(changed - {'Tags'}))}."
        )
    if resource_type is INFERENCE_COMPONENT and changed & {"Specification", "RuntimeConfig"}:
        request = {
            name: properties[name]
            for name in ("InferenceComponentName", "RuntimeConfig", *(changed & {"Specification"}))
        }
        model = operation_model("sagemaker", "UpdateInferenceComponent")
        assert model is not None
        components.update_component(context, checked_input(model, request))


def find(context: Context, resource_type: ResourceType, identifier: str) -> Document | None:
    """The record with an identifier, or None."""
    name = identifier.rpartition("/")[2]
    record = context.records.find(resource_type.kind, name)
    return record if record is not None and record[resource_type.identifier] == identifier else None


def _shape(operation: str, *, output: bool = False) -> StructureShape:
    model = operation_model("sagemaker", operation)
    assert model is not None
    shape = model.output_shape if output else model.input_shape
    assert isinstance(shape, StructureShape)
    return shape


def _json_schema(shape: Shape) -> dict[str, Any]:
    if isinstance(shape, StructureShape):
        properties = {name: _json_schema(member) for name, member in shape.members.items()}
        return {"type": "object", "additionalProperties": False, "properties": properties}
    if isinstance(shape, ListShape):
        return {"type": "array", "items": _json_schema(shape.member)}
    if isinstance(shape, MapShape):
        return {"type": "object", "patternProperties": {".*": _json_schema(shape.value)}}
    names = {"float": "number", "double": "number", "long": "integer", "timestamp": "string"}
    return {"type": names.get(shape.type_name, shape.type_name)}


def _merged(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """The union of two schemas: objects have the properties of both."""
    if "properties" not in first or "properties" not in second:
        return second
    properties = dict(first["properties"])
    for name, value in second["properties"].items():
        properties[name] = _merged(properties[name], value) if name in properties else value
    return {**first, "properties": properties}
