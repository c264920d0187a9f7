"""Requests against the service model: what passes, what is refused, and that nothing else can happen."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from botocore.model import ListShape, MapShape, Shape, StructureShape
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localaws.errors import AwsError
from localaws.protocol.service_models import operation_model, service_model
from localaws.services.sagemaker.api import OPERATIONS
from localaws.services.sagemaker.validation import (
    checked_input,
    compiled,
    shaped,
)

from .conftest import IMAGE, INSTANCE_TYPE, ROLE

CONFIG: dict[str, Any] = {
    "EndpointConfigName": "config",
    "ProductionVariants": [
        {"VariantName": "v", "ModelName": "m", "InstanceType": INSTANCE_TYPE, "InitialInstanceCount": 1}
    ],
}


def check(operation: str, document: Any) -> dict[str, Any]:
    model = operation_model("sagemaker", operation)
    assert model is not None
    return checked_input(model, document)


def test_a_good_request_passes_as_it_is() -> None:
    assert check("CreateEndpointConfig", CONFIG) == CONFIG


def test_members_that_the_model_does_not_know_are_ignored_at_every_depth() -> None:
    request = copy.deepcopy(CONFIG)
    request["Unknown"] = 1
    request["ProductionVariants"][0]["Unknown"] = 2

    assert check("CreateEndpointConfig", request) == CONFIG


@pytest.mark.parametrize(
    ("member", "value", "says"),
    [
        ("EndpointName", "-x", "regular expression"),
        ("EndpointName", "x" * 64, "length less than or equal to 63"),
        ("EndpointName", None, "must not be null"),
    ],
)
def test_names_are_held_to_pattern_and_length(member: str, value: Any, says: str) -> None:
    with pytest.raises(AwsError, match=says) as error:
        check("CreateEndpoint", {"EndpointName": "e", "EndpointConfigName": "c", member: value})

    assert error.value.code == "ValidationException"


def test_tags_may_hold_letters_of_any_language_and_no_control_characters() -> None:
    def model(value: str) -> dict[str, Any]:
        tags = [{"Key": "name", "Value": value}]
        container = {"Image": IMAGE}
        return {"ModelName": "m", "ExecutionRoleArn": ROLE, "PrimaryContainer": container, "Tags": tags}

    check("CreateModel", model("größe 東京 = 1/2"))
    for bad in ("a\x00b", "a;b"):
        with pytest.raises(AwsError, match="regular expression"):
            check("CreateModel", model(bad))


@pytest.mark.parametrize("document", [{"EndpointName": 3}, {"EndpointName": []}, {"EndpointName": {}}])
def test_a_wrong_type_is_a_serialization_error(document: Any) -> None:
    with pytest.raises(AwsError) as error:
        check("DescribeEndpoint", document)

    assert error.value.code == "SerializationException"


def test_times_are_read_as_numbers_and_as_text() -> None:
    for moment in (1735689600, "2025-01-01T00:00:00Z"):
        assert check("ListModels", {"CreationTimeAfter": moment}) == {"CreationTimeAfter": 1735689600.0}


def all_patterns(shape: Shape, seen: set[str]) -> set[str]:
    if shape.name in seen:
        return set()
    seen.add(shape.name)
    found = {shape.metadata["pattern"]} if "pattern" in shape.metadata else set()
    children: list[Shape] = []
    if isinstance(shape, StructureShape):
        children = list(shape.members.values())
    elif isinstance(shape, ListShape):
        children = [shape.member]
    elif isinstance(shape, MapShape):
        children = [shape.key, shape.value]
    return found.union(*(all_patterns(child, seen) for child in children))


def test_every_pattern_of_the_operations_served_can_be_compiled() -> None:
    seen: set[str] = set()
    shapes = [service_model("sagemaker").operation_model(name).input_shape for name in OPERATIONS]
    patterns = set().union(*(all_patterns(shape, seen) for shape in shapes if shape is not None))

    assert len(patterns) > 20
    for pattern in patterns:
        compiled(pattern)


def test_an_answer_holds_only_what_its_shape_has() -> None:
    model = operation_model("sagemaker", "DescribeEndpoint")
    assert model is not None and model.output_shape is not None
    record = {"EndpointName": "e", "_secret": 1, "FailureReason": None, "ProductionVariants": [{"_x": 1}]}

    assert shaped(model.output_shape, record) == {"EndpointName": "e", "ProductionVariants": [{}]}


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


def requests(shape: Shape, depth: int = 0) -> st.SearchStrategy[Any]:
    """Requests that are mostly of the right structure, with wrong values anywhere."""
    if depth > 4:
        return JSON_VALUES
    if isinstance(shape, StructureShape):
        members = {name: requests(member, depth + 1) for name, member in shape.members.items()}
        return st.fixed_dictionaries({}, optional=members) | JSON_VALUES
    if isinstance(shape, ListShape):
        return st.lists(requests(shape.member, depth + 1), max_size=2) | JSON_VALUES
    enum = shape.metadata.get("enum")
    return (st.sampled_from(enum) | JSON_VALUES) if enum else JSON_VALUES


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_request_is_checked_or_refused(operation: str, data: st.DataObject) -> None:
    model = operation_model("sagemaker", operation)
    assert model is not None and model.input_shape is not None
    document = data.draw(requests(model.input_shape))

    try:
        checked = checked_input(model, document)
    except AwsError as error:
        assert error.code in ("ValidationException", "SerializationException")
        assert error.status == 400
        return
    # What has passed passes again: the check is a fixed point.
    assert checked_input(model, checked) == checked
