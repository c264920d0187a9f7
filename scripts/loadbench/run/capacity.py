"""Changes capacity: the number of an endpoint's instances, or of an inference component's copies.

One more copy of a model-based endpoint is one more instance. An inference component needs two steps, because
its endpoint has no managed instance scaling: the variant gets an instance
(UpdateEndpointWeightsAndCapacities), then the component a copy (UpdateInferenceComponentRuntimeConfig).
Inferred, not yet seen on AWS: that the first call works on an endpoint of components
(docs/facts/aws-evidence.md#capacity-of-components), that the second has to wait for it, and that an update
that fails leaves the old count in service with a FailureReason, as UpdateEndpoint does. If the first call is
refused, the endpoint gets managed instance scaling instead, and the service adds the instance for the copy.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from botocore.exceptions import ClientError

from loadbench.errors import RunError
from loadbench.results.run_record import ResourceNames
from loadbench.run import managed_scaling
from loadbench.run.observe.status import IN_SERVICE
from loadbench.run.polling import STATE_CHANGE_TIMEOUT_S, STATUS_INTERVAL_S

CountedResource = Literal["endpoint", "inference component"]

_COUNTED: dict[CountedResource, str] = {"endpoint": "instances", "inference component": "copies"}
# How a service refuses a call on this kind of endpoint, whatever its arguments.
_NOT_THIS_WAY = {"ValidationException", "UnsupportedOperation"}
_IN_PROGRESS = {"Creating", "Updating", "SystemUpdating", "RollingBack"}


@dataclass(frozen=True)
class Reading:
    """A count as Describe reports it, times in epoch seconds by the service's clock."""

    status: str
    current: int
    modified_s: float
    failure_reason: str

    @property
    def in_progress(self) -> bool:
        """Whether a change is in progress."""
        return self.status in _IN_PROGRESS


class Count(Protocol):
    """A count that can be increased and decreased."""

    @property
    def resource(self) -> CountedResource:
        """The kind of resource that is counted."""

    def read(self) -> Reading:
        """Read the count."""

    @property
    def follows_copies(self) -> bool:
        """Whether the service increases the count itself, when a copy needs it."""

    def ask(self, count: int) -> None:
        """Request another count; the service responds before the change is complete."""


@dataclass
class Instances:
    """Instances of an endpoint's only variant."""

    client: Any
    endpoint: str
    of_components: bool = False
    resource: CountedResource = "endpoint"
    follows_copies: bool = field(default=False, init=False)

    def read(self) -> Reading:
        """DescribeEndpoint."""
        answer = self.client.describe_endpoint(EndpointName=self.endpoint)
        current = sum(
            variant.get("CurrentInstanceCount", 0) for variant in answer.get("ProductionVariants", ())
        )
        return _reading(answer, answer["EndpointStatus"], current)

    def ask(self, count: int) -> None:
        """UpdateEndpointWeightsAndCapacities; managed instance scaling if that is refused."""
        described = self.client.describe_endpoint(EndpointName=self.endpoint)
        (variant,) = described["ProductionVariants"]
        if self.follows_copies and count < variant["CurrentInstanceCount"]:
            return  # the service releases what no copy needs
        try:
            self.client.update_endpoint_weights_and_capacities(
                EndpointName=self.endpoint,
                DesiredWeightsAndCapacities=[
                    {"VariantName": variant["VariantName"], "DesiredInstanceCount": count}
                ],
            )
        except ClientError as error:
            if not self.of_components or error.response["Error"]["Code"] not in _NOT_THIS_WAY:
                raise
            fewest = min(count, variant["CurrentInstanceCount"])
            managed_scaling.apply(self.client, described, fewest, count)
            self.follows_copies = True


@dataclass(frozen=True)
class Copies:
    """Copies of an inference component."""

    client: Any
    component: str
    resource: CountedResource = "inference component"
    follows_copies: bool = False

    def read(self) -> Reading:
        """DescribeInferenceComponent."""
        answer = self.client.describe_inference_component(InferenceComponentName=self.component)
        current = answer.get("RuntimeConfig", {}).get("CurrentCopyCount", 0)
        return _reading(answer, answer["InferenceComponentStatus"], current)

    def ask(self, count: int) -> None:
        """UpdateInferenceComponentRuntimeConfig."""
        self.client.update_inference_component_runtime_config(
            InferenceComponentName=self.component, DesiredRuntimeConfig={"CopyCount": count}
        )


def counts_of(client: Any, names: ResourceNames) -> list[Count]:
    """The counts to increase for one more copy, in this order; they are decreased in reverse order."""
    component = names.inference_component
    instances = Instances(client, names.endpoint, of_components=component is not None)
    return [instances, Copies(client, component)] if component else [instances]


@dataclass
class Watch:
    """Waits for counts, and records every observed status as (epoch seconds, resource, status)."""

    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    on_status: Callable[[str, str], None] = lambda resource, status: None
    history: list[tuple[float, str, str]] = field(default_factory=list)
    _last: dict[str, str] = field(default_factory=dict)

    def settled(self, count: Count) -> Reading:
        """The count once no change is in progress. Raises RunError after more than an hour."""
        return self._until(count, lambda reading: True)

    def change(self, count: Count, wanted: int, on_request: Callable[[float], None] | None = None) -> float:
        """Request a count and wait until the service has it; returns the times of request and completion.

        `on_request` is called when the service accepted the request. Raises RunError with its reason.
        """
        before = self.settled(count)
        asked_s = round(self.clock(), 3)  # same precision as the service's times
        count.ask(wanted)
        reading = self._read(count)
        # LastModifiedTime is then the time of the request, unless the change is already complete.
        taken = reading.in_progress and reading.modified_s > before.modified_s
        if on_request:
            on_request(reading.modified_s if taken else asked_s)

        # An instance that the service manages is added with its copy, and released some time after it.
        comes_later = count.follows_copies and wanted > before.current
        if count.follows_copies and wanted < before.current:
            reading = self._until(count, lambda reading: reading.current <= wanted)
        else:
            # The first status may still be from before the request.
            reading = self._until(count, lambda reading: reading.modified_s > before.modified_s)
        if reading.status != IN_SERVICE or (reading.current != wanted and not comes_later):
            reason = f": {reading.failure_reason}" if reading.failure_reason else ""
            raise RunError(
                f"the {count.resource} is {reading.status} with {reading.current} instead of {wanted} "
                f"{_COUNTED[count.resource]}{reason}"
            )
        return reading.modified_s

    def _until(self, count: Count, true: Callable[[Reading], bool]) -> Reading:
        deadline_s = self.clock() + STATE_CHANGE_TIMEOUT_S
        while True:
            reading = self._read(count)
            if not reading.in_progress and true(reading):
                return reading
            if self.clock() > deadline_s:
                raise RunError(
                    f"the {count.resource} is still {reading.status} after {STATE_CHANGE_TIMEOUT_S:.0f} s",
                    remedy="Check it in the SageMaker console; `make destroy` removes it.",
                )
            self.sleep(STATUS_INTERVAL_S)

    def _read(self, count: Count) -> Reading:
        reading = count.read()
        if self._last.get(count.resource) != reading.status:
            self._last[count.resource] = reading.status
            self.history.append((self.clock(), count.resource, reading.status))
        self.on_status(count.resource, reading.status)
        return reading


def _reading(answer: dict[str, Any], status: str, current: int) -> Reading:
    modified_s = answer["LastModifiedTime"].timestamp()
    return Reading(status, current, modified_s, answer.get("FailureReason", ""))
