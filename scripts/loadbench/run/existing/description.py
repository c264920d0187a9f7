"""Describes an endpoint from Describe calls, and creates the record for its starts."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from botocore.exceptions import BotoCoreError, ClientError

from loadbench.errors import NotFoundError, RunError, UsageError
from loadbench.load_paths import EndpointKind
from loadbench.results.run_record import ModelInfo, Origin, ResourceNames, RunRecord

_UNKNOWN = "unknown"
_MODEL_SOURCES = ("HF_MODEL_ID", "SM_VLLM_MODEL", "SAGEMAKER_MODEL_PATH", "OPTION_MODEL_ID")
_NOT_THERE = ("ValidationException", "ResourceNotFound", "ResourceNotFoundException")


@dataclass(frozen=True)
class Description:
    """One endpoint, or one inference component of it."""

    names: ResourceNames
    image: str = _UNKNOWN
    instance_type: str = _UNKNOWN
    copies: int = 1
    model_id: str = _UNKNOWN
    source_uri: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    created_s: float | None = None
    in_service_s: float | None = None
    status: str = _UNKNOWN

    @property
    def kind(self) -> EndpointKind:
        """The endpoint kind."""
        return "inference_component" if self.names.inference_component else "model_based"


@dataclass(frozen=True)
class Place:
    """Target, account and region of an endpoint, and the command."""

    target: Literal["local", "aws"]
    region: str
    account_id: str | None
    command: list[str]


def describe(client: Any, endpoint: str, component: str | None) -> Description:
    """Describe an endpoint, or one inference component of it.

    Raises NotFoundError if it does not exist (yet), UsageError if `component` is required or belongs to
    another endpoint.
    """
    try:
        answer = _existing(
            lambda: client.describe_endpoint(EndpointName=endpoint), f"there is no endpoint {endpoint!r}"
        )
        variant = _variant(client, answer)
        model = variant.get("ModelName")
        if model and component:
            raise UsageError(
                f"the endpoint {endpoint} has no inference components: it serves the model {model}",
                remedy="Remove --component.",
            )
        named = component or (None if model else _only(client, endpoint, variant))
        if named:
            return _of_component(client, endpoint, answer, variant, named)
        return _model_based(client, endpoint, answer, variant, model or _UNKNOWN)
    except (ClientError, BotoCoreError) as error:
        raise RunError(f"cannot describe the endpoint {endpoint}: {error}") from error


def _existing(call: Callable[[], dict[str, Any]], what: str) -> dict[str, Any]:
    """The response of a Describe call. Raises NotFoundError with a message that starts with `what`."""
    try:
        return call()
    except ClientError as error:
        if error.response["Error"]["Code"] not in _NOT_THERE:
            raise
        raise NotFoundError(
            f"{what}: {error.response['Error']['Message']}",
            remedy="List the names with `aws sagemaker list-endpoints` or `list-inference-components`; "
            "--target selects the account.",
        ) from error


def _variant(client: Any, answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """The first variant; empty if the endpoint's configuration was deleted after its creation."""
    name = answer["EndpointConfigName"]
    try:
        config = _existing(lambda: client.describe_endpoint_config(EndpointConfigName=name), name)
    except NotFoundError:
        return {}
    variant: Mapping[str, Any] = config["ProductionVariants"][0]
    return variant


def _only(client: Any, endpoint: str, variant: Mapping[str, Any]) -> str | None:
    """The endpoint's only component; None if the endpoint may have none."""
    pages = client.get_paginator("list_inference_components").paginate(EndpointNameEquals=endpoint)
    names = [item["InferenceComponentName"] for page in pages for item in page["InferenceComponents"]]
    if len(names) > 1:
        raise UsageError(
            f"the endpoint {endpoint} has {len(names)} inference components: {', '.join(names)}",
            remedy="Name one with --component NAME.",
        )
    if not names and variant:
        raise NotFoundError(
            f"the endpoint {endpoint} has no inference component yet",
            remedy="`loadbench observe` waits until one is created.",
        )
    return str(names[0]) if names else None


def _model_based(
    client: Any, endpoint: str, answer: Mapping[str, Any], variant: Mapping[str, Any], model: str
) -> Description:
    return Description(
        names=ResourceNames(
            endpoint=endpoint, endpoint_configuration=answer["EndpointConfigName"], model=model
        ),
        instance_type=variant.get("InstanceType", _UNKNOWN),
        copies=variant.get("InitialInstanceCount", 1),
        status=answer["EndpointStatus"],
        created_s=answer["CreationTime"].timestamp(),
        in_service_s=_in_service(answer, answer["EndpointStatus"]),
        **_of_container(_container_of(client, model) or _deployed(answer), model),
    )


def _of_component(
    client: Any, endpoint: str, answer: Mapping[str, Any], variant: Mapping[str, Any], component: str
) -> Description:
    described = _existing(
        lambda: client.describe_inference_component(InferenceComponentName=component),
        f"there is no inference component {component!r}",
    )
    specification = described.get("Specification", {})
    _check_component(described, specification, endpoint, component)
    model = specification.get("ModelName", "")
    container = _container_of(client, model) if model else specification.get("Container", {})
    status = described.get("InferenceComponentStatus", "Creating")
    return Description(
        names=ResourceNames(
            endpoint=endpoint,
            endpoint_configuration=answer["EndpointConfigName"],
            model=model or component,
            inference_component=component,
        ),
        instance_type=variant.get("InstanceType", _UNKNOWN),
        copies=described.get("RuntimeConfig", {}).get("DesiredCopyCount", 1),
        status=status,
        created_s=described["CreationTime"].timestamp(),
        in_service_s=_in_service(described, status),
        **_of_container(container, model or component),
    )


def _check_component(
    described: Mapping[str, Any], specification: Mapping[str, Any], endpoint: str, component: str
) -> None:
    if (owner := described["EndpointName"]) != endpoint:
        raise UsageError(
            f"the inference component {component} belongs to the endpoint {owner}, not to {endpoint}",
            remedy=f"Name the endpoint {owner}.",
        )
    if base := specification.get("BaseInferenceComponentName"):
        raise UsageError(
            f"the inference component {component} is an adapter, which is loaded by the copies of {base}",
            remedy=f"Pass --component {base}.",
        )


def _deployed(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """The image, which the endpoint still reports if its model was deleted after its creation."""
    variants = answer.get("ProductionVariants") or [{}]
    images = variants[0].get("DeployedImages") or [{}]
    return {"DeployedImage": images[0]}


def _container_of(client: Any, model: str) -> Mapping[str, Any]:
    """The model's container, empty if the model was deleted after the endpoint's creation."""
    try:
        answer = _existing(lambda: client.describe_model(ModelName=model), model)
    except NotFoundError:
        return {}
    found: Mapping[str, Any] = answer.get("PrimaryContainer") or next(iter(answer.get("Containers", [])), {})
    return found


def _of_container(container: Mapping[str, Any], name: str) -> dict[str, Any]:
    environment = container.get("Environment", {})
    deployed = container.get("DeployedImage", {})
    source = container.get("ModelDataSource", {}).get("S3DataSource", {}).get("S3Uri")
    source = source or container.get("ModelDataUrl") or container.get("ArtifactUrl")
    return {
        "image": container.get("Image") or deployed.get("SpecifiedImage") or _UNKNOWN,
        "environment": environment,
        "source_uri": source,
        "model_id": next((environment[key] for key in _MODEL_SOURCES if key in environment), source or name),
    }


def _in_service(answer: Mapping[str, Any], status: str) -> float | None:
    return answer["LastModifiedTime"].timestamp() if status == "InService" else None


def new_record(
    description: Description, place: Place, origin: Origin, run_id: str, now_s: float
) -> RunRecord:
    """A record of one start; fields that only exist for loadbench's own runs stay empty."""
    hub = not (description.source_uri or description.model_id).startswith("s3://")
    return RunRecord(
        run_id=run_id,
        path=description.names.inference_component or description.names.endpoint,
        origin=origin,
        started_s=now_s,
        expires_at="",
        command=place.command,
        target=place.target,
        region=place.region,
        account_id=place.account_id,
        project="",
        configuration={},
        configuration_digest="",
        image=description.image,
        instance_type=description.instance_type,
        instance_count=description.copies,
        endpoint_kind=description.kind,
        model=ModelInfo(
            model_id=description.model_id,
            weights_from="hub" if hub and description.source_uri is None else "s3",
            source_uri=description.source_uri,
        ),
        names=description.names,
        system={
            "loadbench": "observed",
            "recorded": f"{datetime.datetime.fromtimestamp(now_s, datetime.UTC):%F}",
        },
    )
