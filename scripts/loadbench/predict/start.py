"""What one cold start depends on: from a configuration before the start, or from a record after it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from loadbench.config import Config, NetworkShaping
from loadbench.instance_types import instance_types
from loadbench.load_paths import LOAD_PATHS, EndpointKind, LoadPath, WeightsFrom
from loadbench.predict.coefficients import Population
from loadbench.results.run_record import RunRecord

Loading = Literal["download", "hub", "stream_ahead", "stream_after"]
Cache = Literal["cold", "warm", "none"]

_GBIT = 1e9 / 8
# Connections to S3 at once. The platform's download: docs/facts/s3.md#parallel-ranges; the streamer's
# default: docs/facts/loaders.md#loaders-people-use; fastload starts with 16 and adds while that helps.
_CONNECTIONS: dict[Loading, int] = {"download": 16, "hub": 8, "stream_ahead": 64, "stream_after": 8}
_IN_NAME = re.compile(r"(?<![a-z0-9.])(\d+(?:\.\d+)?)\s?([bm])(?![a-z0-9])", re.IGNORECASE)
_BYTES_BY_DTYPE = {"fp32": 4, "fp8": 1}


@dataclass(frozen=True)
class StartSpec:
    """One cold start, planned or recorded. Sizes in bytes, rates in bytes per second."""

    path: LoadPath
    population: Population
    instance_type: str
    image: str
    model_id: str
    weights_bytes: float
    loading: Loading
    endpoint_kind: EndpointKind = "model_based"
    connections: int = 16
    network_bytes_per_s: float | None = None
    """The instance's network; None: not shaped, limited by this machine only."""
    connection_bytes_per_s: float | None = None
    """The rate of one connection to S3; None if it is a coefficient (AWS) or not shaped."""
    simulated_provision_s: float = 0.0
    simulated_pull_s: float = 0.0
    image_cached: bool = False
    """The image is already on the instance, as in later starts of an endpoint: no pull."""
    compile_cache: Cache = "none"
    layers: int | None = None
    """Layers of the model, to which compilation is proportional; None: estimated from the size."""
    engine: str = "unknown"
    size_source: str = "recorded"
    at_s: float | None = None
    """Time in seconds since the epoch, because the load of this machine changes over time."""

    @property
    def emulated(self) -> bool:
        """Whether the start is on the embedded AWS, whose seconds are those of this machine."""
        return self.population == "local"

    @property
    def weights_gb(self) -> float:
        """Size of the weights in GB."""
        return self.weights_bytes / 1e9

    @property
    def layer_share(self) -> float:
        """Layers relative to the 32 of an 8B model; if unknown, the fourth root of the relative size."""
        return self.layers / 32 if self.layers else (self.weights_gb / 16) ** 0.25

    @property
    def image_name(self) -> str:
        """The image without its registry: djl-inference:0.32.0-lmi14.0.0-cu126."""
        return self.image.rpartition("/")[2]

    @property
    def network_limit(self) -> float | None:
        """The narrower of the instance's network and all connections together; None if unknown."""
        together = self.connection_bytes_per_s and self.connection_bytes_per_s * self.connections
        known = [rate for rate in (self.network_bytes_per_s, together) if rate]
        return min(known, default=None)


def spec_of_config(
    config: Config,
    path: LoadPath,
    *,
    weights_bytes: float,
    size_source: str,
    instance_type: str | None = None,
) -> StartSpec:
    """The start that a configuration describes. Raises ConfigError if it has no section for the load path."""
    info = config.deployment(path)
    return _spec(
        path,
        population=config.target,
        instance_type=instance_type or info.instance_type,
        image=config.image(path),
        model_id=info.hf_model_id,
        weights_bytes=weights_bytes,
        size_source=size_source,
        endpoint_kind=config.endpoint_kind(path),
        weights_from=config.weights_from(path),
        environment=info.container_env_vars,
        shaping=config.local.network,
        provision_s=config.local.provision_s,
        pull_s=config.local.image_pull_s,
        engine="",
    )


def spec_of_record(record: RunRecord) -> StartSpec | None:
    """The start that a record describes; None if the record does not have the size of the weights."""
    size_bytes = _moved_bytes(record) or record.model.size_bytes
    if not size_bytes:
        return None
    traits = LOAD_PATHS.get(record.path)
    section: Any = record.configuration.get(traits.section) if traits else None
    environment = section.get("container_env_vars") if isinstance(section, dict) else None
    local = record.configuration.get("local")
    local = local if isinstance(local, dict) else {}
    spec = _spec(
        record.path,
        population=record.target,
        instance_type=record.instance_type,
        image=record.image,
        model_id=record.model.model_id,
        weights_bytes=size_bytes,
        size_source="recorded",
        endpoint_kind=record.endpoint_kind,
        weights_from=record.model.weights_from,
        environment=environment if isinstance(environment, dict) else {},
        shaping=NetworkShaping.model_validate(record.network) if record.network else None,
        provision_s=_number(local.get("provision_s")),
        pull_s=_number(local.get("image_pull_s")),
        engine=record.system.get("engine", ""),
    )
    warm = {layer.name: layer.state for layer in record.layers}
    return replace(
        spec,
        at_s=record.started_s,
        image_cached=warm.get("image") == "warm",
        compile_cache="warm" if warm.get("compile_cache") == "warm" else spec.compile_cache,
    )


def _spec(
    path: LoadPath,
    *,
    population: Population,
    instance_type: str,
    image: str,
    model_id: str,
    weights_bytes: float,
    size_source: str,
    endpoint_kind: EndpointKind,
    weights_from: WeightsFrom,
    environment: Mapping[str, Any],
    shaping: NetworkShaping | None,
    provision_s: float,
    pull_s: float,
    engine: str,
) -> StartSpec:
    loading = _loading(path, weights_from)
    known = instance_types().get(instance_type)
    network = known.network_gbit_per_s * _GBIT if known else None
    local = population == "local"
    if local:
        network = (shaping.instance_bytes_per_s or network) if shaping else None
    return StartSpec(
        path=path,
        population=population,
        instance_type=instance_type,
        image=image,
        model_id=model_id,
        weights_bytes=weights_bytes,
        loading=loading,
        endpoint_kind=endpoint_kind,
        connections=_connections(loading, environment),
        network_bytes_per_s=network,
        connection_bytes_per_s=shaping.connection_bytes_per_s if shaping and local else None,
        simulated_provision_s=provision_s if local else 0.0,
        simulated_pull_s=pull_s if local else 0.0,
        compile_cache="none" if local else _compile_cache(image, environment),
        engine=engine or ("stand-in" if local else "vLLM"),
        size_source=size_source,
    )


def _loading(path: LoadPath, weights_from: WeightsFrom) -> Loading:
    """How the weights are loaded; `load_paths.py` has the traits of each loading method."""
    traits = LOAD_PATHS.get(path)
    if traits is not None and (traits.optimized or traits.weights_variable):
        return "stream_ahead"
    if traits is not None and traits.container_reads_s3:
        return "stream_after"
    return "hub" if weights_from == "hub" else "download"


def _connections(loading: Loading, environment: Mapping[str, Any]) -> int:
    """The number in the streamer's environment, otherwise the loader's default."""
    written = environment.get("RUNAI_STREAMER_CONCURRENCY", "")
    if not written:
        try:
            extra = json.loads(environment.get("SM_VLLM_MODEL_LOADER_EXTRA_CONFIG") or "{}")
            written = extra.get("concurrency", "") if isinstance(extra, dict) else ""
        except (ValueError, TypeError):
            written = ""
    try:
        asked = int(written)
    except (TypeError, ValueError):
        asked = 0
    return asked if asked > 0 and loading == "stream_after" else _CONNECTIONS[loading]


def _compile_cache(image: str, environment: Mapping[str, Any]) -> Cache:
    """vLLM up to 0.6, in LMI v14 and before, does not compile; an eager engine does not either."""
    version = re.search(r"lmi(\d+)", image)
    eager = {
        str(environment.get(name, "")).lower() for name in ("OPTION_ENFORCE_EAGER", "SM_VLLM_ENFORCE_EAGER")
    }
    return "none" if (version and int(version[1]) <= 14) or "true" in eager else "cold"


def size_from_name(model_id: str, dtype: str = "auto") -> float | None:
    """Bytes of the weights by the parameters in a model's name (8B, 135M), None without one."""
    found = _IN_NAME.findall(model_id.rpartition("/")[2])
    if not found:
        return None
    count, unit = found[-1]
    return float(count) * (1e9 if unit.lower() == "b" else 1e6) * _BYTES_BY_DTYPE.get(dtype, 2)


def _moved_bytes(record: RunRecord) -> float:
    """The bytes loaded into the engine, from the spans that moved them."""
    for names in (("weights_stream",), ("weights_to_host",), ("weights_to_device",)):
        moved = sum(span.size_bytes for span in record.spans if span.name in names)
        if moved:
            return moved
    return 0


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0
