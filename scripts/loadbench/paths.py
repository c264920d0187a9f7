"""The ways of loading, as data: what tells one from another is here, in its section and its template."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PathName = str
EndpointKind = Literal["model_based", "inference_component"]


@dataclass(frozen=True)
class PathTraits:
    """What makes one way of loading different from another."""

    section: str
    endpoint_kind: EndpointKind
    optimized: bool


PATHS: dict[PathName, PathTraits] = {
    "standard": PathTraits("standard_deployment_info", "model_based", optimized=False),
    "fast": PathTraits("fast_model_loading_info", "inference_component", optimized=True),
}
