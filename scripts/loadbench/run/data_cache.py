"""SageMaker's data cache, which keeps model files and image on an instance: off for a cold start.

It may be on by default on instances with accelerators (docs/facts/aws-evidence.md#no-data-cache). Only an
inference component has the setting, and only where the service's model and the account's schema know it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from loadbench.load_paths import EndpointKind

_MEMBER = "DataCacheConfig"
_COMPONENT = "AWS::SageMaker::InferenceComponent"

Caches = dict[str, bool | str | int]


def requested_caching(session: Any, endpoint_kind: EndpointKind, *, asks_schema: bool) -> bool | None:
    """False: request that the cache is off. None: request nothing, because the setting is not known.

    With `asks_schema` the account's schema of the component is read as well, because Cloud Control refuses
    members that it does not have. If it may not be read, nothing is requested.
    """
    if endpoint_kind != "inference_component" or not _is_modelled(session):
        return None
    if not asks_schema:
        return False
    try:
        described = session.client("cloudformation").describe_type(Type="RESOURCE", TypeName=_COMPONENT)
    except (ClientError, BotoCoreError):
        return None
    return False if f'"{_MEMBER}"' in described.get("Schema", "") else None


def _is_modelled(session: Any) -> bool:
    model = session.client("sagemaker").meta.service_model
    shape = model.operation_model("CreateInferenceComponent").input_shape
    return _MEMBER in shape.members["Specification"].members


def described_caches(answer: Mapping[str, Any]) -> Caches:
    """Every setting of a Describe response whose name contains "Cach", by its path: also one that is new."""
    return {path: value for path, value in _leaves(answer) if "Cach" in path}


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _leaves(item, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, path)
    elif isinstance(value, bool | str | int):
        yield path, value
