"""Deployment policies of updates: all-at-once, canary, linear or rolling, with waits and alarms.

Source: `DeploymentConfig` in SageMaker's API reference. It is inferred that the status stays `Updating` until
the old fleet is removed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ...emulator import Emulator
from ...errors import AwsError
from ...state.store import Document
from ..cloudwatch_alarms import find_alarm, state_of

# Without a policy all traffic is shifted in one step, without a wait.
_NO_POLICY: Document = {}


@dataclass(frozen=True)
class Policy:
    """A policy, reduced to the steps after the new copies are in service."""

    # Cumulative shares of the traffic after each step; the last is 1.
    steps: tuple[float, ...]
    wait_s: float
    termination_wait_s: float
    timeout_s: float | None
    alarms: tuple[str, ...]
    # Copies or instances per batch for rolling updates; None if the whole new fleet is started first.
    batch: Document | None = None

    def batch_size(self, total: int) -> int:
        """The size of a batch for a fleet of `total`."""
        return total if self.batch is None else _size(self.batch, total)


def parse_policy(config: Document | None, total: int) -> Policy:
    """The policy of a DeploymentConfig for a fleet of `total` instances or copies."""
    config = config or _NO_POLICY
    alarms = tuple(
        item["AlarmName"] for item in config.get("AutoRollbackConfiguration", {}).get("Alarms", [])
    )
    rolling = config.get("RollingUpdatePolicy")
    if rolling is not None:
        timeout_s = rolling.get("MaximumExecutionTimeoutInSeconds")
        wait_s = rolling["WaitIntervalInSeconds"]
        return Policy((1.0,), wait_s, 0, timeout_s, alarms, rolling["MaximumBatchSize"])
    blue_green = config.get("BlueGreenUpdatePolicy")
    if blue_green is None:
        return Policy((1.0,), 0, 0, None, alarms)
    routing = blue_green["TrafficRoutingConfiguration"]
    return Policy(
        _steps(routing, total),
        routing["WaitIntervalInSeconds"],
        blue_green.get("TerminationWaitInSeconds", 0),
        blue_green.get("MaximumExecutionTimeoutInSeconds"),
        alarms,
    )


def check_policy(emulator: Emulator, region: str, config: Document | None) -> None:
    """Raise ValidationException for a contradictory policy, or one with alarms that do not exist."""
    if config is None:
        return
    blue_green, rolling = config.get("BlueGreenUpdatePolicy"), config.get("RollingUpdatePolicy")
    if blue_green is not None and rolling is not None:
        raise _invalid("DeploymentConfig takes a BlueGreenUpdatePolicy or a RollingUpdatePolicy, not both.")
    if blue_green is not None:
        _check_routing(blue_green["TrafficRoutingConfiguration"])
    if rolling is not None:
        for member in ("MaximumBatchSize", "RollbackMaximumBatchSize"):
            if member in rolling:
                _check_size(member, rolling[member], most_percent=50)
    names = [item["AlarmName"] for item in config.get("AutoRollbackConfiguration", {}).get("Alarms", [])]
    missing = [name for name in names if find_alarm(emulator, region, name) is None]
    if missing:
        raise _invalid(f"Alarms {', '.join(missing)} of AutoRollbackConfiguration do not exist.")


def tripped(emulator: Emulator, region: str, alarms: Iterable[str]) -> str | None:
    """The first of these alarms in the state ALARM, or None."""
    return next((name for name in alarms if state_of(emulator, region, name) == "ALARM"), None)


def _check_routing(routing: dict[str, Any]) -> None:
    kind = routing["Type"]
    for wanted, member in (("CANARY", "CanarySize"), ("LINEAR", "LinearStepSize")):
        if (kind == wanted) != (member in routing):
            raise _invalid(f"{member} is for traffic routing of type {wanted}, and needed there.")
    if kind == "CANARY":
        _check_size("CanarySize", routing["CanarySize"], most_percent=50)
    if kind == "LINEAR":
        _check_size("LinearStepSize", routing["LinearStepSize"], most_percent=50, least_percent=10)


def _check_size(member: str, size: Document, *, most_percent: int, least_percent: int = 1) -> None:
    if size["Type"] == "CAPACITY_PERCENT" and not least_percent <= size["Value"] <= most_percent:
        raise _invalid(f"{member} must lie between {least_percent} and {most_percent} percent.")
    if size["Value"] < 1:
        raise _invalid(f"{member} must be 1 at least.")


def _steps(routing: Document, total: int) -> tuple[float, ...]:
    if routing["Type"] == "CANARY":
        share = _size(routing["CanarySize"], total) / total
        return (min(1.0, share), 1.0) if share < 1 else (1.0,)
    if routing["Type"] == "LINEAR":
        step = _size(routing["LinearStepSize"], total) / total
        count = math.ceil(1 / step)
        return tuple(min(1.0, step * number) for number in range(1, count + 1))
    return (1.0,)


def _size(size: Document, total: int) -> int:
    if size["Type"] == "CAPACITY_PERCENT":
        return max(1, math.ceil(total * int(size["Value"]) / 100))
    return max(1, min(total, int(size["Value"])))


def _invalid(text: str) -> AwsError:
    return AwsError("ValidationException", text)
