"""The scalable resources: an endpoint's variant by instances, an inference component by copies."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ...emulator import Emulator
from ...errors import AwsError
from ...state.store import Document
from ..sagemaker import components, endpoints
from ..sagemaker.api import platform_of
from ..sagemaker.context import Context

TARGET = "scalable-target"
_VARIANT = re.compile(r"endpoint/(?P<endpoint>[^/]+)/variant/(?P<variant>[^/]+)")
_COMPONENT = re.compile(r"inference-component/(?P<component>[^/]+)")
_DIMENSIONS = {
    "sagemaker:variant:DesiredInstanceCount": _VARIANT,
    "sagemaker:inference-component:DesiredCopyCount": _COMPONENT,
}


@dataclass(frozen=True)
class Scaled:
    """One resource that can be scaled."""

    endpoint: str = ""
    variant: str = ""
    component: str | None = None

    @property
    def noun(self) -> str:
        """The counted unit, in the wording of activities."""
        return "copy count" if self.component else "instance count"


def parse_resource(request: Document) -> Scaled:
    """The resource that a request names. Raises ValidationException if id and dimension do not match."""
    pattern = _DIMENSIONS.get(request["ScalableDimension"])
    found = pattern.fullmatch(request["ResourceId"]) if pattern else None
    if found is None:
        raise AwsError(
            "ValidationException",
            f"Resource ID {request['ResourceId']} does not fit the dimension {request['ScalableDimension']}.",
        )
    return Scaled(**found.groupdict())


def resource_exists(emulator: Emulator, region: str, resource: Scaled) -> bool:
    """Whether the resource exists in SageMaker."""
    return current_count(emulator, region, resource) is not None


def current_count(emulator: Emulator, region: str, resource: Scaled) -> int | None:
    """The desired count; None if there is no such resource."""
    records = platform_of(emulator).records(region)
    if resource.component:
        component = records.find("inference-component", resource.component)
        return int(component["RuntimeConfig"]["DesiredCopyCount"]) if component else None
    endpoint = records.find("endpoint", resource.endpoint)
    for variant in endpoint["_variants"] if endpoint else ():
        if variant["VariantName"] == resource.variant:
            return int(variant["InitialInstanceCount"])
    return None


def status(emulator: Emulator, region: str, resource: Scaled) -> str | None:
    """The status of the resource, None if it does not exist."""
    records = platform_of(emulator).records(region)
    if resource.component:
        component = records.find("inference-component", resource.component)
        return str(component["InferenceComponentStatus"]) if component else None
    endpoint = records.find("endpoint", resource.endpoint)
    return str(endpoint["EndpointStatus"]) if endpoint else None


def failure(emulator: Emulator, region: str, resource: Scaled) -> str | None:
    """The reason why the last change failed, None if it did not."""
    records = platform_of(emulator).records(region)
    kind, name = (
        ("inference-component", resource.component) if resource.component else ("endpoint", resource.endpoint)
    )
    record = records.find(kind, name or "")  # type: ignore[arg-type]
    return record.get("FailureReason") if record else None


def set_count(emulator: Emulator, region: str, resource: Scaled, count: int) -> None:
    """Request a new count from SageMaker, as the service's role does. Raises AwsError like the API."""
    platform = platform_of(emulator)
    context = Context(platform, platform.records(region))
    if resource.component:
        components.update_runtime_config(
            context,
            {"InferenceComponentName": resource.component, "DesiredRuntimeConfig": {"CopyCount": count}},
        )
        return
    endpoints.update_weights_and_capacities(
        context,
        {
            "EndpointName": resource.endpoint,
            "DesiredWeightsAndCapacities": [{"VariantName": resource.variant, "DesiredInstanceCount": count}],
        },
    )
