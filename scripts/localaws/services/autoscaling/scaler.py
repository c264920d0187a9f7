"""The loop that measures load, evaluates policies and scales. One task in the server's process.

A period is ten seconds, like that of SageMaker's high-resolution metrics. AWS evaluates other metrics every
minute, so a scale-out starts earlier here.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import deque
from dataclasses import dataclass, field

from ...emulator import Emulator
from ...errors import AwsError
from ...machines.model_copy import ModelCopy
from ...state.store import Document
from ..cloudwatch_alarms import alarms_that_ask
from ..sagemaker.api import platform_of
from .api import ACTIVITY, POLICY, target_key
from .decisions import LOW_PERIODS, stepped, tracked
from .resources import TARGET, Scaled, current_count, failure, parse_resource, set_count, status

_log = logging.getLogger(__name__)

PERIOD_S = 10.0
_SAMPLE_S = 1.0
_COOLDOWN_S = 300.0
_CONCURRENCY = "Concurrent"


@dataclass
class Load:
    """Invocations of one resource's copies, by period."""

    invocations: deque[float] = field(default_factory=lambda: deque(maxlen=LOW_PERIODS))
    concurrency: deque[float] = field(default_factory=lambda: deque(maxlen=LOW_PERIODS))
    # By copy; None before the first sample, which is not counted: earlier requests belong to no period.
    served: dict[str, int] | None = None
    requests: int = 0
    outstanding: list[float] = field(default_factory=list)

    def sample(self, copies: list[ModelCopy]) -> None:
        """Count the requests since the last sample, and those in progress."""
        if self.served is not None:
            self.requests += sum(copy.served - self.served.get(copy.id, 0) for copy in copies)
        self.served = {copy.id: copy.served for copy in copies}
        if copies:
            self.outstanding.append(sum(copy.outstanding for copy in copies) / len(copies))

    def close_period(self, copies: int) -> None:
        """Metrics per copy: invocations per minute, mean concurrency."""
        self.invocations.append(self.requests * 60.0 / PERIOD_S / max(1, copies))
        self.concurrency.append(sum(self.outstanding) / len(self.outstanding) if self.outstanding else 0.0)
        self.requests, self.outstanding = 0, []


class Scaler:
    """Scales every registered target of one emulator."""

    def __init__(self, emulator: Emulator, period_s: float = PERIOD_S) -> None:
        self._emulator = emulator
        self._period_s = period_s
        self._loads: dict[tuple[str, str], Load] = {}
        self._last_s: dict[tuple[str, str], float] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="autoscaling")

    async def close(self) -> None:
        """Stop the loop; activities in progress are not changed."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        period_ends_s = time.monotonic() + self._period_s
        while True:
            await asyncio.sleep(min(_SAMPLE_S, self._period_s))
            ended = time.monotonic() >= period_ends_s
            period_ends_s += self._period_s if ended else 0.0
            for region in self._emulator.store.regions():
                # First, because the next change would hide that the last one was completed.
                self._finish_activities(region)
                for target in self._emulator.store.list(region, TARGET):
                    try:
                        self._look_at(region, target, period_ended=ended)
                    except AwsError as error:
                        _log.warning("%s was not scaled: %s", target["ResourceId"], error)

    def _look_at(self, region: str, target: Document, *, period_ended: bool) -> None:
        resource, key = parse_resource(target), target_key(target)
        load = self._loads.setdefault((region, key), Load())
        copies = self._copies(region, resource)
        load.sample(copies)
        if not period_ended:
            return
        load.close_period(len(copies))
        count = current_count(self._emulator, region, resource)
        if count is None or status(self._emulator, region, resource) != "InService":
            return
        for policy in self._emulator.store.list(region, POLICY):
            if target_key(policy) != key:
                continue
            wanted, alarm = self._wanted(region, policy, load, count)
            if wanted is None:
                continue
            wanted = min(max(wanted, target["MinCapacity"]), target["MaxCapacity"])
            if wanted != count and self._is_over(region, key, policy, out=wanted > count):
                self._scale(
                    region,
                    target,
                    resource,
                    wanted,
                    f"monitor alarm {alarm} in state ALARM triggered policy {policy['PolicyName']}",
                )
                return

    def _copies(self, region: str, resource: Scaled) -> list[ModelCopy]:
        platform = platform_of(self._emulator)
        if resource.component:
            return list(platform.components.get((region, resource.component), []))
        fleet = platform.fleets.get((region, resource.endpoint), {}).get(resource.variant)
        return list(fleet.copies()) if fleet else []

    def _wanted(self, region: str, policy: Document, load: Load, count: int) -> tuple[int | None, str]:
        """The count that one policy requests, and its alarm."""
        tracking = policy.get("TargetTrackingScalingPolicyConfiguration")
        if tracking:
            metric = tracking.get("PredefinedMetricSpecification", {}).get("PredefinedMetricType", "")
            values = list(load.concurrency if _CONCURRENCY in metric else load.invocations)
            wanted = tracked(
                values, count, tracking["TargetValue"], scale_in=not tracking.get("DisableScaleIn", False)
            )
            kind = 0 if wanted is not None and wanted > count else 1
            return wanted, policy["Alarms"][kind]["AlarmName"]
        for name, breach in alarms_that_ask(self._emulator, region, policy["PolicyARN"]):
            return stepped(count, breach, policy["StepScalingPolicyConfiguration"]), name
        return None, ""

    def _is_over(self, region: str, key: str, policy: Document, *, out: bool) -> bool:
        """Whether the cooldown since the last change has passed."""
        tracking = policy.get("TargetTrackingScalingPolicyConfiguration", {})
        steps = policy.get("StepScalingPolicyConfiguration", {})
        cooldown_s: float = tracking.get(
            "ScaleOutCooldown" if out else "ScaleInCooldown", steps.get("Cooldown", _COOLDOWN_S)
        )
        return time.monotonic() - self._last_s.get((region, key), float("-inf")) >= cooldown_s

    def _scale(self, region: str, target: Document, resource: Scaled, wanted: int, cause: str) -> None:
        activity: Document = {
            "ActivityId": str(uuid.uuid4()),
            "ServiceNamespace": target["ServiceNamespace"],
            "ResourceId": target["ResourceId"],
            "ScalableDimension": target["ScalableDimension"],
            "Description": f"Setting desired {resource.noun} to {wanted}.",
            "Cause": cause,
            "StartTime": time.time(),
            "StatusCode": "InProgress",
            "_wanted": wanted,
        }
        try:
            set_count(self._emulator, region, resource, wanted)
        except AwsError as error:
            activity |= {"StatusCode": "Failed", "StatusMessage": str(error), "EndTime": time.time()}
        self._last_s[(region, target_key(target))] = time.monotonic()
        self._loads.pop((region, target_key(target)), None)
        self._emulator.store.put(region, ACTIVITY, activity["ActivityId"], activity)
        _log.info("%s: %s %s", target["ResourceId"], activity["Description"], cause)

    def _finish_activities(self, region: str) -> None:
        for activity in self._emulator.store.list(region, ACTIVITY):
            if activity["StatusCode"] != "InProgress":
                continue
            resource = parse_resource(activity)
            state = status(self._emulator, region, resource)
            if state in ("Updating", "Creating", "SystemUpdating"):
                continue
            reason = failure(self._emulator, region, resource)
            count = current_count(self._emulator, region, resource)
            done = state == "InService" and count == activity["_wanted"]
            message = (
                f"Successfully set desired {resource.noun} to {activity['_wanted']}. "
                "Change successfully fulfilled by sagemaker."
                if done
                else reason or "The resource no longer exists."
            )
            activity |= {
                "StatusCode": "Successful" if done else "Failed",
                "StatusMessage": message,
                "EndTime": time.time(),
            }
            self._emulator.store.put(region, ACTIVITY, activity["ActivityId"], activity)
