"""A component without load loses its last copy, and a policy on failed requests brings one back.

In one process: the service, its records and its loop are real, and a copy needs no container.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from localaws.emulator import Emulator, open_emulator
from localaws.errors import AwsError
from localaws.machines.instance import Place
from localaws.machines.model_copy import ModelCopy
from localaws.protocol.call import Call
from localaws.services import cloudwatch_alarms, sagemaker_runtime
from localaws.services.autoscaling import api
from localaws.services.autoscaling.resources import Scaled, current_count, status
from localaws.services.autoscaling.scaler import Scaler
from localaws.services.s3.index import Index
from localaws.services.sagemaker import components
from localaws.services.sagemaker.api import platform_of
from localaws.services.sagemaker.context import Context
from localaws.services.sagemaker.fleet import Fleet

REGION, ENDPOINT, COMPONENT = "us-east-1", "the-endpoint", "the-component"
IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/djl-inference:0.32.0-lmi14.0.0-cu126"
SCALED = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": f"inference-component/{COMPONENT}",
    "ScalableDimension": "sagemaker:inference-component:DesiredCopyCount",
}
PERIOD_S = 0.02
PATIENCE_S = 10.0


@pytest.fixture(autouse=True)
def copies_without_containers(monkeypatch: pytest.MonkeyPatch) -> None:
    async def start(copy: ModelCopy, requested_s: float) -> None:
        copy.status = "InService"

    monkeypatch.setattr(ModelCopy, "start", start)


def call_of(emulator: Emulator) -> Call:
    headers = {"X-Amzn-SageMaker-Inference-Component": COMPONENT}
    request = make_mocked_request("POST", f"/endpoints/{ENDPOINT}/invocations", headers=headers)
    return Call(emulator, "sagemaker", REGION, "a-key", request, b"{}")


@asynccontextmanager
async def component_in_service(folder: Path, **variant: Any) -> AsyncIterator[Call]:
    """One component with one copy on one machine, and the loop that scales it."""
    emulator = open_emulator(folder / "state", "http://127.0.0.1:1")
    Index(emulator.database, emulator.state_dir / "objects")  # the size of a model is read from its tables
    platform = platform_of(emulator)
    context = Context(platform, platform.records(REGION))
    place = Place(REGION, ENDPOINT, "AllTraffic", "ml.g5.2xlarge")
    variants = [
        {
            "VariantName": place.variant,
            "InstanceType": place.instance_type,
            "InitialInstanceCount": 1,
            **variant,
        }
    ]
    context.records.create(
        "endpoint", {"EndpointName": ENDPOINT}, {"EndpointStatus": "InService", "_variants": variants}
    )
    fleet = Fleet(emulator, place, None, platform.http, lambda copy, reason: None)
    await fleet.start(1, time.time())
    platform.fleets[REGION, ENDPOINT] = {"AllTraffic": fleet}
    components.create_component(
        context,
        {
            "InferenceComponentName": COMPONENT,
            "EndpointName": ENDPOINT,
            "Specification": {
                "Container": {"Image": IMAGE},
                "ComputeResourceRequirements": {"MinMemoryRequiredInMb": 1024},
            },
            "RuntimeConfig": {"CopyCount": 1},
        },
    )
    await until(lambda: settled(emulator, 1))
    scaler = Scaler(emulator, PERIOD_S)
    scaler.start()
    try:
        yield call_of(emulator)
    finally:
        await scaler.close()
        await platform.close()
        emulator.database.close()


async def until(true: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline_s
        await asyncio.sleep(PERIOD_S)


def settled(emulator: Emulator, copies: int) -> bool:
    resource = Scaled(component=COMPONENT)
    serving = len(platform_of(emulator).components.get((REGION, COMPONENT), []))
    return (
        status(emulator, REGION, resource) == "InService"
        and current_count(emulator, REGION, resource) == serving == copies
    )


def activities(call: Call) -> list[tuple[str, str]]:
    """Description and status of each activity, the oldest first."""
    found = api.describe_activities(call, {"ServiceNamespace": "sagemaker"})["ScalingActivities"]
    return [(item["Description"], item["StatusCode"]) for item in reversed(found)]


def track_load(call: Call, least: int) -> None:
    api.register_target(call, {**SCALED, "MinCapacity": least, "MaxCapacity": 1})
    metric = "SageMakerInferenceComponentInvocationsPerCopy"
    api.put_policy(
        call,
        {
            **SCALED,
            "PolicyName": "load",
            "PolicyType": "TargetTrackingScaling",
            "TargetTrackingScalingPolicyConfiguration": {
                "TargetValue": 10.0,
                "ScaleInCooldown": 0,
                "PredefinedMetricSpecification": {"PredefinedMetricType": metric},
            },
        },
    )


def bring_back(call: Call) -> None:
    """The step policy and the alarm that SageMaker's guide has for a component without copies."""
    arn = api.put_policy(
        call,
        {
            **SCALED,
            "PolicyName": "from-zero",
            "PolicyType": "StepScaling",
            "StepScalingPolicyConfiguration": {
                "AdjustmentType": "ChangeInCapacity",
                "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
                "Cooldown": 0,
            },
        },
    )["PolicyARN"]
    cloudwatch_alarms.put_metric_alarm(
        call,
        {
            "AlarmName": "nobody-serves",
            "Namespace": "AWS/SageMaker",
            "MetricName": "NoCapacityInvocationFailures",
            "Dimensions": [{"Name": "InferenceComponentName", "Value": COMPONENT}],
            "Statistic": "Maximum",
            "Period": 30,
            "EvaluationPeriods": 1,
            "Threshold": 1,
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
            "TreatMissingData": "missing",
            "AlarmActions": [arn],
        },
    )


def failures(emulator: Emulator) -> list[float]:
    dimensions = {"InferenceComponentName": COMPONENT}
    points = emulator.metrics.datapoints(
        REGION, "AWS/SageMaker", "NoCapacityInvocationFailures", dimensions, 0.0, time.time() + 1
    )
    return [point.value for point in points]


def test_the_last_copy_goes_without_load_and_a_failed_request_brings_one_back(tmp_path: Path) -> None:
    async def story() -> None:
        async with component_in_service(tmp_path) as call:
            track_load(call, least=0)
            await until(lambda: settled(call.emulator, 0))
            assert failures(call.emulator) == []
            bring_back(call)
            with pytest.raises(AwsError, match="no capacity to process this request"):
                await sagemaker_runtime.handle(call)
            assert failures(call.emulator) == [1.0]
            # Without load target tracking takes the copy away again; what happened is in the activities.
            await until(lambda: len(activities(call)) >= 2 and activities(call)[1][1] != "InProgress")
            assert activities(call)[:2] == [
                ("Setting desired copy count to 0.", "Successful"),
                ("Setting desired copy count to 1.", "Successful"),
            ]
            causes = [
                item["Cause"]
                for item in call.emulator.store.list(REGION, api.ACTIVITY)
                if item["_wanted"] == 1
            ]
            assert causes[0] == "monitor alarm nobody-serves in state ALARM triggered policy from-zero"

    asyncio.run(story())


def test_a_component_without_requests_stays_at_zero(tmp_path: Path) -> None:
    async def story() -> None:
        async with component_in_service(tmp_path) as call:
            track_load(call, least=0)
            await until(lambda: settled(call.emulator, 0))
            bring_back(call)
            alarm = cloudwatch_alarms.state_of(call.emulator, REGION, "nobody-serves")
            assert alarm == "INSUFFICIENT_DATA"
            ends_s = time.monotonic() + 20 * PERIOD_S
            await until(lambda: time.monotonic() > ends_s)
            assert activities(call) == [("Setting desired copy count to 0.", "Successful")]

    asyncio.run(story())


def test_a_minimum_of_one_keeps_the_last_copy(tmp_path: Path) -> None:
    async def story() -> None:
        async with component_in_service(tmp_path) as call:
            track_load(call, least=1)
            ends_s = time.monotonic() + 40 * PERIOD_S
            await until(lambda: time.monotonic() > ends_s)
            assert settled(call.emulator, 1)
            assert activities(call) == []

    asyncio.run(story())


def test_the_machines_of_a_component_at_zero_go_and_come_back_with_it(tmp_path: Path) -> None:
    async def story() -> None:
        managed = {"Status": "ENABLED", "MinInstanceCount": 0, "MaxInstanceCount": 1}
        async with component_in_service(tmp_path, ManagedInstanceScaling=managed) as call:
            fleet = platform_of(call.emulator).fleets[REGION, ENDPOINT]["AllTraffic"]
            track_load(call, least=0)
            await until(lambda: settled(call.emulator, 0))
            await until(lambda: fleet.instances == [])
            bring_back(call)
            api.delete_policy(call, {**SCALED, "PolicyName": "load"})
            with pytest.raises(AwsError, match="no capacity"):
                await sagemaker_runtime.handle(call)
            await until(lambda: settled(call.emulator, 1))
            assert len(fleet.instances) == 1

    asyncio.run(story())


def test_a_copy_that_finds_no_room_leaves_the_component_at_zero_and_in_service(tmp_path: Path) -> None:
    async def story() -> None:
        async with component_in_service(tmp_path) as call:
            fleet = platform_of(call.emulator).fleets[REGION, ENDPOINT]["AllTraffic"]
            track_load(call, least=0)
            await until(lambda: settled(call.emulator, 0))
            instances, fleet.instances = fleet.instances, []
            bring_back(call)
            api.delete_policy(call, {**SCALED, "PolicyName": "load"})
            with pytest.raises(AwsError, match="no capacity"):
                await sagemaker_runtime.handle(call)
            await until(lambda: ("Setting desired copy count to 1.", "Failed") in activities(call))
            resource = Scaled(component=COMPONENT)
            assert status(call.emulator, REGION, resource) in ("InService", "Updating")
            # The alarm still asks: as soon as there is room, the copy comes.
            fleet.instances = instances
            await until(lambda: settled(call.emulator, 1))

    asyncio.run(story())


def test_an_activity_fails_with_the_reason_of_a_component_that_failed(tmp_path: Path) -> None:
    async def story() -> None:
        async with component_in_service(tmp_path) as call:
            records = platform_of(call.emulator).records(REGION)
            component = records.get("inference-component", COMPONENT)
            # The count is the wanted one, and nothing serves.
            component |= {"InferenceComponentStatus": "Failed", "FailureReason": "the copy died"}
            records.save("inference-component", component)
            begun = {
                **SCALED,
                "ActivityId": "an-id",
                "Description": "Setting desired copy count to 1.",
                "Cause": "an alarm",
                "StartTime": time.time(),
                "StatusCode": "InProgress",
                "_wanted": 1,
            }
            call.emulator.store.put(REGION, api.ACTIVITY, "an-id", begun)
            await until(lambda: activities(call)[0][1] != "InProgress")
            (ended,) = call.emulator.store.list(REGION, api.ACTIVITY)
            assert (ended["StatusCode"], ended["StatusMessage"]) == ("Failed", "the copy died")

    asyncio.run(story())
