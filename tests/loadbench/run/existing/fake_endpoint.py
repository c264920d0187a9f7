"""Somebody's endpoint in memory: Describe calls, logs and scaling activities, one level below the code under
test: boto3's clients.
"""
# ruff: noqa: N803 -- the arguments are the service's own names

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError

from loadbench.run.observe.lines import LogLine

ENDPOINT = "theirs"
IMAGE = "vllm:1"


def moment(epoch_s: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(epoch_s, datetime.UTC)


@dataclass
class Component:
    """One inference component; `script` has (status, current copies, modified) for each Describe."""

    created_s: float
    script: list[tuple[str, int, float]]
    endpoint: str = ENDPOINT
    specification: dict[str, Any] = field(default_factory=lambda: {"ModelName": "the-model"})


@dataclass
class FakeEndpoint:
    """It serves `model`, or `components`; `deleted` names a model or a configuration that is gone."""

    components: dict[str, Component] = field(default_factory=dict)
    model: str | None = None
    created_s: float = 0.0
    lines: dict[str, list[LogLine]] = field(default_factory=dict)
    activities: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    deleted: Sequence[str] = ()
    on_describe: Callable[[], None] = lambda: None

    def client(self, _: str, **__: Any) -> Any:
        return self

    def get_paginator(self, operation: str) -> Any:
        return SimpleNamespace(paginate=lambda **request: [getattr(self, operation)(**request)])

    def describe_endpoint(self, EndpointName: str) -> dict[str, Any]:
        if EndpointName != ENDPOINT:
            raise _refused("ValidationException")
        return {
            "EndpointStatus": "InService",
            "EndpointConfigName": "the-config",
            "CreationTime": moment(self.created_s),
            "LastModifiedTime": moment(self.created_s + 60),
            "ProductionVariants": [
                {"VariantName": "AllTraffic", "DeployedImages": [{"SpecifiedImage": IMAGE}]}
            ],
        }

    def describe_endpoint_config(self, EndpointConfigName: str) -> dict[str, Any]:
        if EndpointConfigName in self.deleted:
            raise _refused("ValidationException")
        model = {"ModelName": self.model} if self.model else {}
        return {
            "ProductionVariants": [{"VariantName": "AllTraffic", "InstanceType": "ml.g5.2xlarge", **model}]
        }

    def describe_model(self, ModelName: str) -> dict[str, Any]:
        if ModelName in self.deleted:
            raise _refused("ValidationException")
        return {"PrimaryContainer": {"Image": IMAGE, "Environment": {"SM_VLLM_MODEL": "org/name"}}}

    def list_inference_components(self, EndpointNameEquals: str) -> dict[str, Any]:
        own = [name for name, item in self.components.items() if item.endpoint == EndpointNameEquals]
        return {"InferenceComponents": [{"InferenceComponentName": name} for name in own]}

    def describe_inference_component(self, InferenceComponentName: str) -> dict[str, Any]:
        self.on_describe()
        if InferenceComponentName not in self.components:
            raise _refused("ValidationException")
        component = self.components[InferenceComponentName]
        script = component.script
        status, copies, modified_s = script.pop(0) if len(script) > 1 else script[0]
        return {
            "EndpointName": component.endpoint,
            "InferenceComponentStatus": status,
            "CreationTime": moment(component.created_s),
            "LastModifiedTime": moment(modified_s),
            "Specification": component.specification,
            "RuntimeConfig": {"DesiredCopyCount": copies, "CurrentCopyCount": copies},
        }

    def describe_scaling_activities(self, ResourceId: str, **_: Any) -> dict[str, Any]:
        return {"ScalingActivities": self.activities.get(ResourceId, [])}

    def list_metrics(self, **_: Any) -> dict[str, Any]:
        return {"Metrics": []}

    def filter_log_events(self, logGroupName: str, startTime: int) -> dict[str, Any]:
        lines = [line for line in self._group(logGroupName) if line.timestamp_s * 1000 >= startTime]
        return {"events": [{"logStreamName": line.stream, **_event(line)} for line in lines]}

    def describe_log_streams(self, logGroupName: str) -> dict[str, Any]:
        streams = dict.fromkeys(line.stream for line in self._group(logGroupName))
        return {"logStreams": [{"logStreamName": stream} for stream in streams]}

    def get_log_events(
        self, logGroupName: str, logStreamName: str, nextToken: str = "0", **_: Any
    ) -> dict[str, Any]:
        own = [line for line in self._group(logGroupName) if line.stream == logStreamName]
        return {
            "events": [_event(line) for line in own[int(nextToken) :]],
            "nextForwardToken": str(len(own)),
        }

    def _group(self, name: str) -> list[LogLine]:
        if name not in self.lines:
            raise _refused("ResourceNotFoundException")
        return self.lines[name]


def activity(start_s: float, end_s: float, count: int, cause: str, noun: str = "copy") -> dict[str, Any]:
    return {
        "StartTime": moment(start_s),
        "EndTime": moment(end_s),
        "Cause": cause,
        "Description": f"Setting desired {noun} count to {count}.",
        "StatusCode": "Successful",
    }


def _event(line: LogLine) -> dict[str, Any]:
    return {"timestamp": round(1000 * line.timestamp_s), "message": line.message}


def _refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "Could not find it."}}, "Describe")
