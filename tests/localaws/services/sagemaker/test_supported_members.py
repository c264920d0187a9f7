"""Every member of a served SageMaker operation is honoured or refused by name, at any depth."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError, ParamValidationError
from botocore.model import ListShape, MapShape, Shape, StructureShape

from localaws.errors import AwsError
from localaws.protocol.service_models import operation_model, service_model
from localaws.services import supported_members
from localaws.services.sagemaker.api import OPERATIONS
from localaws.services.sagemaker.supported_members import (
    HONOURED,
    RUNTIME_HONOURED,
    check_headers,
    check_members,
)

from ...conftest import EmbeddedAws
from .conftest import IMAGE, INSTANCE_TYPE, ROLE, Deployer

RUNTIME = service_model("sagemaker-runtime")


def sample(shape: Shape) -> Any:
    """A value that asks for something."""
    if isinstance(shape, StructureShape):
        name, member = next(iter(shape.members.items()))
        return {name: sample(member)}
    if isinstance(shape, ListShape):
        return [sample(shape.member)]
    if isinstance(shape, MapShape):
        return {"name": sample(shape.value)}
    return {"boolean": True, "integer": 1, "long": 1, "float": 1.0, "timestamp": 1}.get(shape.type_name, "x")


def nested(shape: Shape, path: list[str], value: Any) -> Any:
    """A document in which only the member at the path is set."""
    if isinstance(shape, ListShape):
        return [nested(shape.member, path, value)]
    if not path:
        return value
    assert isinstance(shape, StructureShape)
    return {path[0]: nested(shape.members[path[0]], path[1:], value)}


def at(shape: Shape, path: list[str]) -> Shape:
    if isinstance(shape, ListShape) and path:
        return at(shape.member, path)
    if not path:
        return shape
    assert isinstance(shape, StructureShape)
    return at(shape.members[path[0]], path[1:])


@pytest.mark.parametrize("name", sorted(HONOURED))
def test_each_refused_member_is_named_and_each_honoured_one_passes(name: str) -> None:
    model = operation_model("sagemaker", name)
    assert model is not None and model.input_shape is not None
    kept, refused = supported_members.split(model.input_shape, HONOURED[name])
    for member in refused:
        path = member.split(".")
        document = nested(model.input_shape, path, sample(at(model.input_shape, path)))
        with pytest.raises(AwsError, match=f"does not support {member}"):
            check_members(model, document)
    for member in kept:
        path = member.split(".")
        target = at(model.input_shape, path)
        if not isinstance(target, StructureShape | ListShape):
            check_members(model, nested(model.input_shape, path, sample(target)))


def test_the_list_names_members_of_the_model_only() -> None:
    assert HONOURED.keys() == OPERATIONS.keys()
    for service, table in (("sagemaker", HONOURED), ("sagemaker-runtime", RUNTIME_HONOURED)):
        for name, listed in table.items():
            model = operation_model(service, name)
            assert model is not None
            known = set(supported_members.member_names(model.input_shape))
            assert {item.removesuffix(".*") for item in listed} <= known, name


def test_a_member_that_the_model_does_not_know_is_refused() -> None:
    model = operation_model("sagemaker", "CreateEndpoint")
    assert model is not None
    with pytest.raises(AwsError, match="does not support BrandNew"):
        check_members(model, {"EndpointName": "x", "BrandNew": {"a": 1}})
    check_members(model, {"EndpointName": "x", "BrandNew": None})


@pytest.mark.parametrize("name", sorted(RUNTIME_HONOURED))
def test_each_header_of_an_invocation_is_honoured_or_refused(name: str) -> None:
    model = RUNTIME.operation_model(name)
    for member, shape in model.input_shape.members.items():
        if shape.serialization.get("location") != "header":
            continue
        headers = {shape.serialization["name"]: "x"}
        if member in RUNTIME_HONOURED[name]:
            check_headers(model, headers)
        else:
            with pytest.raises(AwsError, match=f"does not support {member}"):
                check_headers(model, headers)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}}, "VpcConfig"),
        ({"EnableNetworkIsolation": True}, "EnableNetworkIsolation"),
        ({"ExecutionRoleArn": "arn:aws:iam::111111111111:role/theirs"}, "Cross-account pass role"),
        ({"PrimaryContainer": {"Image": IMAGE, "Mode": "MultiModel"}}, "SingleModel"),
        ({"PrimaryContainer": {"Image": "nginx:latest"}}, "nginx:latest"),
    ],
)
def test_a_model_that_would_run_otherwise_than_described_is_refused(
    aws: EmbeddedAws, change: dict[str, Any], words: str
) -> None:
    client = aws.client("sagemaker")
    request = {"ModelName": "no", "ExecutionRoleArn": ROLE, "PrimaryContainer": {"Image": IMAGE}, **change}
    with pytest.raises(ClientError, match=words) as caught:
        client.create_model(**request)
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    assert client.list_models(NameContains="no")["Models"] == []


def variant(name: str = "v", **more: Any) -> dict[str, Any]:
    return {"VariantName": name, "InstanceType": INSTANCE_TYPE, "InitialInstanceCount": 1, **more}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ProductionVariants": [variant(RoutingConfig={"RoutingStrategy": "PREFIX_AWARE"})]}, "PREFIX"),
        ({"ProductionVariants": [variant(VolumeSizeInGB=50)]}, "VolumeSizeInGB"),
        ({"ShadowProductionVariants": [variant("shadow")]}, "shadow"),
        ({"KmsKeyId": "key"}, "KmsKeyId"),
    ],
)
def test_a_configuration_that_would_be_served_otherwise_is_refused(
    aws: EmbeddedAws, change: dict[str, Any], words: str
) -> None:
    request = {"EndpointConfigName": "no", "ExecutionRoleArn": ROLE, "ProductionVariants": [variant()]}
    with pytest.raises((ClientError, ParamValidationError), match=words):
        aws.client("sagemaker").create_endpoint_config(**{**request, **change})


def test_a_list_that_is_emptied_while_it_is_read_skips_nothing(aws: EmbeddedAws) -> None:
    client = aws.client("sagemaker")
    names = [f"paged-{number:02}" for number in range(25)]
    container = {"Image": IMAGE}
    for name in names:
        client.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=container)
    seen: list[str] = []
    more: dict[str, str] = {}
    while True:
        page = client.list_models(NameContains="paged-", MaxResults=7, **more)
        for item in page["Models"]:
            seen.append(item["ModelName"])
            client.delete_model(ModelName=item["ModelName"])
        if len(seen) == 7:
            client.create_model(ModelName="paged-new", ExecutionRoleArn=ROLE, PrimaryContainer=container)
        if "NextToken" not in page:
            break
        more = {"NextToken": page["NextToken"]}
    client.delete_model(ModelName="paged-new")
    assert sorted(seen) == names
    with pytest.raises(ClientError, match="Invalid NextToken"):
        client.list_models(NextToken="bm90IG91cnM=")


def test_a_thousand_instances_are_refused_at_once(deploy: Deployer) -> None:
    config = deploy.config(deploy.model(), instances=1000)
    with pytest.raises(ClientError) as caught:
        deploy.sagemaker.create_endpoint(EndpointName="thousand", EndpointConfigName=config)
    error = caught.value.response["Error"]
    assert error["Code"] == "ResourceLimitExceeded"
    assert f"'{INSTANCE_TYPE} for endpoint usage' is 4 Instances" in error["Message"]
    assert "request delta of 1000 Instances" in error["Message"]


def test_what_this_computer_cannot_bear_fails_before_anything_starts(deploy: Deployer) -> None:
    deploy.aws.apply(instance_quota=10_000)
    name = deploy.endpoint(deploy.config(deploy.model(), instances=1000))
    answer = deploy.endpoint_settled(name)
    assert answer["EndpointStatus"] == "Failed"
    assert "InsufficientInstanceCapacity" in answer["FailureReason"]
    assert "this computer" in answer["FailureReason"]
    assert deploy.processes(name) == []
