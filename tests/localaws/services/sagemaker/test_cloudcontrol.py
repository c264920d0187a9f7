"""Cloud Control and DescribeType: requests, progress, refusals, patches."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from localaws.protocol import json_patch

from .conftest import INSTANCE_TYPE, ROLE, Deployer

CONFIG = "AWS::SageMaker::EndpointConfig"
COMPONENT = "AWS::SageMaker::InferenceComponent"


def config_state(name: str, **changes: Any) -> str:
    variant = {"VariantName": "AllTraffic", "InstanceType": INSTANCE_TYPE, "InitialInstanceCount": 1}
    state = {"EndpointConfigName": name, "ExecutionRoleArn": ROLE, "ProductionVariants": [variant]}
    return json.dumps({**state, **changes})


def create(deploy: Deployer, type_name: str, state: str, **arguments: Any) -> dict[str, Any]:
    control = deploy.aws.client("cloudcontrol")
    started = control.create_resource(TypeName=type_name, DesiredState=state, **arguments)
    event: dict[str, Any] = started["ProgressEvent"]
    return event


def ended(deploy: Deployer, event: dict[str, Any]) -> dict[str, Any]:
    control = deploy.aws.client("cloudcontrol")
    found = event

    def over() -> bool:
        nonlocal found
        found = control.get_resource_request_status(RequestToken=event["RequestToken"])["ProgressEvent"]
        return found["OperationStatus"] in ("SUCCESS", "FAILED")

    deploy.until(over)
    return found


def test_a_configuration_is_created_read_tagged_and_deleted(deploy: Deployer) -> None:
    control = deploy.aws.client("cloudcontrol")
    name = deploy.name()

    event = create(deploy, CONFIG, config_state(name, Tags=[{"Key": "a", "Value": "1"}]))
    assert event["OperationStatus"] == "SUCCESS"
    arn = event["Identifier"]
    assert arn == deploy.sagemaker.describe_endpoint_config(EndpointConfigName=name)["EndpointConfigArn"]
    described = control.get_resource(TypeName=CONFIG, Identifier=arn)["ResourceDescription"]
    properties = json.loads(described["Properties"])
    assert properties["EndpointConfigArn"] == arn
    assert properties["Tags"] == [{"Key": "a", "Value": "1"}]
    pages = control.get_paginator("list_resources").paginate(TypeName=CONFIG)
    assert arn in [item["Identifier"] for page in pages for item in page["ResourceDescriptions"]]

    patch = json.dumps([{"op": "replace", "path": "/Tags/0/Value", "value": "2"}])
    updated = control.update_resource(TypeName=CONFIG, Identifier=arn, PatchDocument=patch)["ProgressEvent"]
    assert updated["OperationStatus"] == "SUCCESS"
    assert deploy.sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "a", "Value": "2"}]

    control.delete_resource(TypeName=CONFIG, Identifier=arn)
    with pytest.raises(control.exceptions.ResourceNotFoundException):
        control.get_resource(TypeName=CONFIG, Identifier=arn)


def test_what_cannot_change_is_refused_by_the_handler(deploy: Deployer) -> None:
    control = deploy.aws.client("cloudcontrol")
    arn = create(deploy, CONFIG, config_state(deploy.name()))["Identifier"]
    patch = json.dumps([{"op": "replace", "path": "/ProductionVariants/0/InitialInstanceCount", "value": 2}])

    event = control.update_resource(TypeName=CONFIG, Identifier=arn, PatchDocument=patch)["ProgressEvent"]

    assert (event["OperationStatus"], event["ErrorCode"]) == ("FAILED", "NotUpdatable")
    assert "ProductionVariants" in event["StatusMessage"]


def test_a_client_token_makes_a_request_once(deploy: Deployer) -> None:
    state = config_state(deploy.name())

    first = create(deploy, CONFIG, state, ClientToken="once")
    again = create(deploy, CONFIG, state, ClientToken="once")
    other = create(deploy, CONFIG, state)

    assert again["RequestToken"] == first["RequestToken"]
    assert (other["OperationStatus"], other["ErrorCode"]) == ("FAILED", "AlreadyExists")


def test_a_request_that_the_service_refuses_ends_failed_with_its_words(deploy: Deployer) -> None:
    event = create(deploy, COMPONENT, json.dumps({"EndpointName": "absent", "Specification": {}}))
    assert (event["OperationStatus"], event["ErrorCode"]) == ("FAILED", "InvalidRequest")
    assert "inferenceComponentName" in event["StatusMessage"]


def test_a_component_is_created_recounted_and_deleted(deploy: Deployer) -> None:
    control = deploy.aws.client("cloudcontrol")
    endpoint = deploy.endpoint(deploy.config(None))
    deploy.endpoint_settled(endpoint)
    name = deploy.name()
    needs = {"MinMemoryRequiredInMb": 1024}
    state = {
        "InferenceComponentName": name,
        "EndpointName": endpoint,
        "VariantName": "AllTraffic",
        "Specification": {"ModelName": deploy.model(), "ComputeResourceRequirements": needs},
        "RuntimeConfig": {"CopyCount": 1},
    }

    started = create(deploy, COMPONENT, json.dumps(state))
    assert started["OperationStatus"] == "IN_PROGRESS"
    arn = started["Identifier"]
    assert ended(deploy, started)["OperationStatus"] == "SUCCESS"
    read = json.loads(
        control.get_resource(TypeName=COMPONENT, Identifier=arn)["ResourceDescription"]["Properties"]
    )
    assert read["InferenceComponentStatus"] == "InService"
    assert read["RuntimeConfig"] == {"DesiredCopyCount": 1, "CurrentCopyCount": 1}

    patch = json.dumps([{"op": "replace", "path": "/RuntimeConfig/CopyCount", "value": 2}])
    updating = control.update_resource(TypeName=COMPONENT, Identifier=arn, PatchDocument=patch)
    assert ended(deploy, updating["ProgressEvent"])["OperationStatus"] == "SUCCESS"
    assert len(deploy.processes(endpoint)) == 2

    deleting = control.delete_resource(TypeName=COMPONENT, Identifier=arn)["ProgressEvent"]
    assert ended(deploy, deleting)["OperationStatus"] == "SUCCESS"
    assert deploy.processes(endpoint) == []


def test_a_component_that_fails_carries_its_reason_into_the_request(deploy: Deployer) -> None:
    endpoint = deploy.endpoint(deploy.config(None))
    deploy.endpoint_settled(endpoint)
    state = {
        "InferenceComponentName": deploy.name(),
        "EndpointName": endpoint,
        "Specification": {
            "ModelName": deploy.model("nothing/"),
            "ComputeResourceRequirements": {"MinMemoryRequiredInMb": 1024},
        },
        "RuntimeConfig": {"CopyCount": 1},
    }

    event = ended(deploy, create(deploy, COMPONENT, json.dumps(state)))

    assert (event["OperationStatus"], event["ErrorCode"]) == ("FAILED", "NotStabilized")
    assert "did not pass the ping health check" in event["StatusMessage"]


@pytest.mark.parametrize("type_name", [CONFIG, COMPONENT])
def test_describe_type_gives_the_schema_that_clients_plan_with(deploy: Deployer, type_name: str) -> None:
    described = deploy.aws.client("cloudformation").describe_type(Type="RESOURCE", TypeName=type_name)

    schema = json.loads(described["Schema"])
    identifier = schema["primaryIdentifier"][0].rpartition("/")[2]
    assert identifier.endswith("Arn")
    assert f"/properties/{identifier}" in schema["readOnlyProperties"]
    assert identifier in schema["properties"]
    assert schema["properties"]["Tags"]["type"] == "array"


def test_unknown_types_and_tokens_are_refused(deploy: Deployer) -> None:
    control = deploy.aws.client("cloudcontrol")

    with pytest.raises(control.exceptions.TypeNotFoundException):
        control.list_resources(TypeName="AWS::SageMaker::Model")
    with pytest.raises(control.exceptions.RequestTokenNotFoundException):
        control.get_resource_request_status(RequestToken="absent")
    with pytest.raises(ClientError, match="does not support"):
        deploy.aws.client("cloudformation").describe_type(Type="RESOURCE", TypeName="AWS::S3::Bucket")


PATCHED = [
    ([{"op": "add", "path": "/b", "value": 1}], {"a": [1, 2], "b": 1}),
    ([{"op": "add", "path": "/a/0", "value": 0}], {"a": [0, 1, 2]}),
    ([{"op": "add", "path": "/a/-", "value": 3}], {"a": [1, 2, 3]}),
    ([{"op": "remove", "path": "/a/1"}], {"a": [1]}),
    ([{"op": "replace", "path": "/a", "value": {"~/": 1}}, {"op": "remove", "path": "/a/~0~1"}], {"a": {}}),
    ([{"op": "test", "path": "/a/0", "value": 1}], {"a": [1, 2]}),
    ([{"op": "replace", "path": "", "value": 5}], 5),
]


@pytest.mark.parametrize(("patch", "expected"), PATCHED)
def test_patches_do_what_the_rfc_says(patch: Any, expected: Any) -> None:
    before = {"a": [1, 2]}

    assert json_patch.apply(patch, before) == expected
    assert before == {"a": [1, 2]}


JSON_VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
STEPS = st.fixed_dictionaries(
    {
        "op": st.sampled_from(["add", "remove", "replace", "test", "move", 3]),
        "path": st.text("/ab01-~", max_size=6),
    },
    optional={"value": JSON_VALUES},
)


def test_a_path_starts_with_a_slash() -> None:
    with pytest.raises(json_patch.PatchError, match="must start with"):
        json_patch.apply([{"op": "add", "path": "a", "value": 1}], {})


@given(patch=st.lists(STEPS | JSON_VALUES, max_size=4) | JSON_VALUES, document=JSON_VALUES)
def test_any_patch_is_applied_or_refused(patch: Any, document: Any) -> None:
    try:
        json_patch.apply(patch, document)
    except json_patch.PatchError:
        return
