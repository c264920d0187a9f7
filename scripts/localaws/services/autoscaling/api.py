"""Application Auto Scaling's API: targets, policies, activities, tags."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

from aiohttp import web

from ...errors import AwsError
from ...protocol.call import Call
from ...protocol.responses import json_response
from ...protocol.service_models import operation_model
from ...state.store import Document
from ..sagemaker.validation import checked_input, shaped_output
from .resources import TARGET, parse_resource, resource_exists

POLICY = "scaling-policy"
ACTIVITY = "scaling-activity"
TAGS = "scaling-tags"
_MAX_LISTED = 50
_ROLE = "role/aws-service-role/sagemaker.application-autoscaling.amazonaws.com"


async def handle(call: Call) -> web.StreamResponse:
    """One call, JSON 1.1."""
    model, function = (
        operation_model("application-autoscaling", call.operation),
        OPERATIONS.get(call.operation),
    )
    if model is None or function is None:
        raise AwsError("UnknownOperationException", f"{call.operation} is not served by the embedded AWS.")
    return json_response(shaped_output(model, function(call, checked_input(model, call.json()))))


def target_key(request: Document) -> str:
    """The key of a target's record."""
    return f"{request['ResourceId']}|{request['ScalableDimension']}"


def register_target(call: Call, request: Document) -> Document:
    """RegisterScalableTarget: creates a target, or changes the given members."""
    _check_namespace(request)
    resource = parse_resource(request)
    if not resource_exists(call.emulator, call.region, resource):
        raise AwsError("ValidationException", f"No resource is called {request['ResourceId']}")
    key = target_key(request)
    known = call.emulator.store.get(call.region, TARGET, key)
    if known is None and not {"MinCapacity", "MaxCapacity"} <= request.keys():
        raise AwsError("ValidationException", "MinCapacity and MaxCapacity are required for a new target.")
    arn = _arn(call, f"scalable-target/{uuid.uuid4().hex[:19]}")
    target = known or {"CreationTime": time.time(), "ScalableTargetARN": arn}
    target |= {name: value for name, value in request.items() if name != "Tags"}
    if target["MinCapacity"] > target["MaxCapacity"]:
        raise AwsError("ValidationException", "Maximum capacity cannot be less than minimum capacity")
    if target["MinCapacity"] < 1 and resource.component is None:
        raise AwsError("ValidationException", "The minimum of an endpoint's variant is 1 instance.")
    target["RoleARN"] = (
        f"arn:aws:iam::{call.emulator.account_id}:{_ROLE}/AWSServiceRoleForApplicationAutoScaling"
    )
    call.emulator.store.put(call.region, TARGET, key, target)
    if request.get("Tags"):
        call.emulator.store.put(call.region, TAGS, target["ScalableTargetARN"], request["Tags"])
    return {"ScalableTargetARN": target["ScalableTargetARN"]}


def describe_targets(call: Call, request: Document) -> Document:
    """DescribeScalableTargets."""
    wanted = request.get("ResourceIds")
    found = [
        target for target in _all(call, TARGET, request) if wanted is None or target["ResourceId"] in wanted
    ]
    return _page(request, "ScalableTargets", found)


def deregister_target(call: Call, request: Document) -> Document:
    """DeregisterScalableTarget, with its policies."""
    key = target_key(request)
    if not call.emulator.store.delete(call.region, TARGET, key):
        raise AwsError("ObjectNotFoundException", f"No scalable target found for {request['ResourceId']}")
    for policy in _all(call, POLICY, request):
        if target_key(policy) == key:
            call.emulator.store.delete(call.region, POLICY, f"{key}|{policy['PolicyName']}")
    return {}


def put_policy(call: Call, request: Document) -> Document:
    """PutScalingPolicy: target tracking, or steps."""
    key = target_key(request)
    if call.emulator.store.get(call.region, TARGET, key) is None:
        raise AwsError(
            "ObjectNotFoundException", f"No scalable target registered for {request['ResourceId']}"
        )
    name = f"{key}|{request['PolicyName']}"
    known = call.emulator.store.get(call.region, POLICY, name) or {
        "CreationTime": time.time(),
        "PolicyARN": _arn(
            call,
            f"scalingPolicy:{uuid.uuid4()}:resource/sagemaker/{request['ResourceId']}"
            f":policyName/{request['PolicyName']}",
            service="autoscaling",
        ),
    }
    policy = known | request
    policy["PolicyType"] = policy.get("PolicyType", "StepScaling")
    if policy["PolicyType"] == "TargetTrackingScaling":
        alarms = [f"TargetTracking-{request['ResourceId']}-Alarm{kind}" for kind in ("High", "Low")]
        region, account = call.region, call.emulator.account_id
        policy["Alarms"] = [
            {"AlarmName": alarm, "AlarmARN": f"arn:aws:cloudwatch:{region}:{account}:alarm:{alarm}"}
            for alarm in alarms
        ]
    call.emulator.store.put(call.region, POLICY, name, policy)
    return {"PolicyARN": policy["PolicyARN"], "Alarms": policy.get("Alarms", [])}


def describe_policies(call: Call, request: Document) -> Document:
    """DescribeScalingPolicies."""
    names = request.get("PolicyNames")
    found = [
        policy
        for policy in _all(call, POLICY, request)
        if (names is None or policy["PolicyName"] in names)
        and request.get("ResourceId") in (None, policy["ResourceId"])
    ]
    return _page(request, "ScalingPolicies", found)


def delete_policy(call: Call, request: Document) -> Document:
    """DeleteScalingPolicy."""
    name = f"{target_key(request)}|{request['PolicyName']}"
    if not call.emulator.store.delete(call.region, POLICY, name):
        raise AwsError("ObjectNotFoundException", f"No scaling policy is called {request['PolicyName']}")
    return {}


def describe_activities(call: Call, request: Document) -> Document:
    """DescribeScalingActivities, newest first."""
    found = [
        activity
        for activity in _all(call, ACTIVITY, request)
        if request.get("ResourceId") in (None, activity["ResourceId"])
    ]
    return _page(request, "ScalingActivities", sorted(found, key=lambda item: -item["StartTime"]))


def list_tags(call: Call, request: Document) -> Document:
    """ListTagsForResource."""
    return {"Tags": call.emulator.store.get(call.region, TAGS, request["ResourceARN"]) or {}}


def tag(call: Call, request: Document) -> Document:
    """TagResource."""
    known = call.emulator.store.get(call.region, TAGS, request["ResourceARN"]) or {}
    call.emulator.store.put(call.region, TAGS, request["ResourceARN"], known | request["Tags"])
    return {}


def untag(call: Call, request: Document) -> Document:
    """UntagResource."""
    known = call.emulator.store.get(call.region, TAGS, request["ResourceARN"]) or {}
    kept = {key: value for key, value in known.items() if key not in request["TagKeys"]}
    call.emulator.store.put(call.region, TAGS, request["ResourceARN"], kept)
    return {}


def _check_namespace(request: Document) -> None:
    if request["ServiceNamespace"] != "sagemaker":
        raise AwsError(
            "ValidationException", f"The embedded AWS scales sagemaker, not {request['ServiceNamespace']}."
        )


def _all(call: Call, kind: str, request: Document) -> list[Document]:
    dimension = request.get("ScalableDimension")
    return [
        item
        for item in call.emulator.store.list(call.region, kind)
        if item["ServiceNamespace"] == request["ServiceNamespace"]
        and dimension in (None, item["ScalableDimension"])
    ]


def _page(request: Document, member: str, items: list[Document]) -> Document:
    """A page of a listing; the token is the position at which the next page starts."""
    first = int(request["NextToken"]) if str(request.get("NextToken", "")).isdigit() else 0
    last = first + request.get("MaxResults", _MAX_LISTED)
    return {member: items[first:last], "NextToken": str(last) if last < len(items) else None}


def _arn(call: Call, resource: str, service: str = "application-autoscaling") -> str:
    return f"arn:aws:{service}:{call.region}:{call.emulator.account_id}:{resource}"


OPERATIONS: dict[str, Callable[[Call, Document], dict[str, Any]]] = {
    "RegisterScalableTarget": register_target,
    "DescribeScalableTargets": describe_targets,
    "DeregisterScalableTarget": deregister_target,
    "PutScalingPolicy": put_policy,
    "DescribeScalingPolicies": describe_policies,
    "DeleteScalingPolicy": delete_policy,
    "DescribeScalingActivities": describe_activities,
    "ListTagsForResource": list_tags,
    "TagResource": tag,
    "UntagResource": untag,
}
