"""The container of a copy, from the records of a model and of a variant or component."""

from __future__ import annotations

import hashlib
from typing import Any

from ...errors import AwsError
from ...images import is_known
from ...machines.instance import DeploymentError
from ...machines.model_copy import ContainerSpec
from ...state.store import Document

# By default a container has 8 minutes to answer its first ping, and a download one hour
# (SageMaker's developer guide, "Your own inference code with hosting services", and CreateEndpointConfig).
_STARTUP_TIMEOUT_S = 480.0
_DOWNLOAD_TIMEOUT_S = 3600.0


def check_image(image: str) -> None:
    """Raise ValidationException for an image that cannot be emulated."""
    if not is_known(image):
        raise AwsError(
            "ValidationException",
            f"Requested image {image} not found: the embedded AWS runs images of LMI (djl-inference) and of "
            "the vLLM server, recognised by the repository's name.",
        )


def variant_spec(variant: Document, model: Document) -> ContainerSpec:
    """A model-based variant's container. Raises DeploymentError for models that are not supported."""
    return _spec(model, variant, inference_component=None, requirements={})


def component_spec(component: Document) -> ContainerSpec:
    """An inference component's container: that of its model, with the overrides of its specification."""
    specification: Document = component["_specification"]
    own = specification.get("Container", {})
    container: Document = dict(primary_container(component["_model"])) if component.get("_model") else {}
    if "Image" in own:
        container["Image"] = own["Image"]
    if "ArtifactUrl" in own:
        container["ModelDataUrl"] = own["ArtifactUrl"]
        container.pop("ModelDataSource", None)
    container["Environment"] = container.get("Environment", {}) | own.get("Environment", {})
    name = specification.get("ModelName") or component["InferenceComponentName"]
    return _spec(
        {"ModelName": name, "PrimaryContainer": container},
        specification.get("StartupParameters", {}),
        inference_component=component["InferenceComponentName"],
        requirements=specification.get("ComputeResourceRequirements", {}),
    )


def primary_container(model: Document) -> Document:
    """The container of a model. Raises DeploymentError if it has several, or none."""
    containers: list[Document] = model.get("Containers") or [model.get("PrimaryContainer") or {}]
    if len(containers) > 1:
        raise DeploymentError(
            f"Model {model['ModelName']} has {len(containers)} containers; this AWS runs models of one "
            "container."
        )
    return containers[0]


def deployed_image(image: str, resolved_s: float) -> Document:
    """AWS's summary of an image, with a digest of its name, because there is no registry."""
    repository = image.partition("@")[0].rpartition(":")[0] or image
    digest = hashlib.sha256(image.encode()).hexdigest()
    return {
        "SpecifiedImage": image,
        "ResolvedImage": f"{repository}@sha256:{digest}",
        "ResolutionTime": resolved_s,
    }


def _spec(
    model: Document, timeouts: Document, *, inference_component: str | None, requirements: dict[str, Any]
) -> ContainerSpec:
    container = primary_container(model)
    return ContainerSpec(
        model_name=model["ModelName"],
        image=container.get("Image", ""),
        environment=dict(container.get("Environment", {})),
        model_data=_model_data(container),
        download_timeout_s=timeouts.get("ModelDataDownloadTimeoutInSeconds", _DOWNLOAD_TIMEOUT_S),
        startup_timeout_s=timeouts.get("ContainerStartupHealthCheckTimeoutInSeconds", _STARTUP_TIMEOUT_S),
        inference_component=inference_component,
        accelerators=requirements.get("NumberOfAcceleratorDevicesRequired", 0),
        cpu_cores=requirements.get("NumberOfCpuCoresRequired", 0),
        memory_mib=requirements.get("MinMemoryRequiredInMb", 0),
        max_memory_mib=requirements.get("MaxMemoryRequiredInMb", 0),
    )


def _model_data(container: Document) -> str | None:
    source = container.get("ModelDataSource", {}).get("S3DataSource")
    if source is None:
        url: str | None = container.get("ModelDataUrl")
        return url
    prefix: str = source["S3Uri"]
    return prefix if source["S3DataType"] == "S3Object" or prefix.endswith("/") else f"{prefix}/"
