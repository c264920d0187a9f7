"""The poller: the status from DescribeEndpoint and DescribeInferenceComponent, and when it was first seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from loadbench.results.run_record import Deployment, ResourceNames
from loadbench.run.data_cache import Caches, described_caches

OnStatus = Callable[[str, str], None]

IN_SERVICE = "InService"
_NOT_THERE = ("ValidationException", "ResourceNotFound", "ResourceNotFoundException")


@dataclass
class ResourceTimes:
    """Times of one resource by the service's clock, in epoch seconds.

    `in_service_s` is LastModifiedTime when the status is InService.
    """

    created_s: float | None = None
    in_service_s: float | None = None


@dataclass
class StatusPoller:
    """Polls the status of one endpoint and its component, and records every change."""

    client: Any
    names: ResourceNames
    clock: Callable[[], float]
    on_status: OnStatus
    endpoint: ResourceTimes = field(default_factory=ResourceTimes, init=False)
    component: ResourceTimes = field(default_factory=ResourceTimes, init=False)
    history: list[tuple[float, str, str]] = field(default_factory=list, init=False)
    ready_seen_s: float | None = field(default=None, init=False)
    failure_reason: str | None = field(default=None, init=False)
    problems: list[str] = field(default_factory=list, init=False)
    caches: Caches = field(default_factory=dict, init=False)
    _last: dict[str, str] = field(default_factory=dict, init=False)

    @property
    def ready(self) -> bool:
        """Whether all resources that serve requests have been in service."""
        needed = [self.endpoint, *([self.component] if self.names.inference_component else [])]
        return all(resource.in_service_s is not None for resource in needed)

    def poll(self) -> None:
        """Poll once. A failed call is retried at the next poll; its reason is added to `problems`."""
        try:
            self._poll_endpoint()
            if self.names.inference_component:
                self._poll_component(self.names.inference_component)
        except (ClientError, BotoCoreError) as error:
            self.problems.append(str(error))
        if self.ready and self.ready_seen_s is None:
            self.ready_seen_s = self.clock()

    def deployment(self) -> Deployment:
        """The times of the service and the poller, without Terraform's."""
        ready_s = None
        if self.ready:
            ready_s = max(self.endpoint.in_service_s or 0.0, self.component.in_service_s or 0.0)
        return Deployment(
            request_s=self.endpoint.created_s,
            ready_s=ready_s,
            poller_ready_s=self.ready_seen_s,
            caches=dict(self.caches),
            status_history=list(self.history),
        )

    def _poll_endpoint(self) -> None:
        answer = _described(self.client.describe_endpoint, EndpointName=self.names.endpoint)
        if answer is None:
            return
        self._note("endpoint", answer["EndpointStatus"], answer, self.endpoint)
        for variant in (
            answer.get("ProductionVariants")
            or answer.get("PendingDeploymentSummary", {}).get("ProductionVariants")
            or ()
        ):
            for status in variant.get("VariantStatus", ())[:1]:
                self._change("variant", status["Status"])

    def _poll_component(self, name: str) -> None:
        answer = _described(self.client.describe_inference_component, InferenceComponentName=name)
        if answer is not None:
            status = answer.get("InferenceComponentStatus", "Creating")
            self._note("inference component", status, answer, self.component)

    def _note(self, resource: str, status: str, answer: dict[str, Any], times: ResourceTimes) -> None:
        if times.created_s is None:
            times.created_s = answer["CreationTime"].timestamp()
        if status == IN_SERVICE and times.in_service_s is None:
            times.in_service_s = answer["LastModifiedTime"].timestamp()
        self.caches |= described_caches(answer)
        if reason := answer.get("FailureReason"):
            self.failure_reason = reason
        self._change(resource, status)

    def _change(self, resource: str, status: str) -> None:
        if self._last.get(resource) != status:
            self._last[resource] = status
            self.history.append((self.clock(), resource, status))
            self.on_status(resource, status)


def _described(call: Callable[..., dict[str, Any]], **name: str) -> dict[str, Any] | None:
    """The response, None if the resource does not exist."""
    try:
        return call(**name)
    except ClientError as error:
        if error.response["Error"]["Code"] in _NOT_THERE:
            return None
        raise
