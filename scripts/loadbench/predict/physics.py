"""The model: seconds of each phase of one cold start, from coefficients. All values are arrays of draws.

    provision + max(image pull, download, on a shared intake) + container start and weights
    + warm-up + health check

Weights go at the narrowest of what they pass. A stream that begins ahead of the engine hides behind its
imports for as long as those take. Phases partition the total as in docs/method.md, rule 7: an instant belongs
to the one that ends last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from loadbench.predict.start import StartSpec
from loadbench.results.timeline import PhaseName

Array = NDArray[np.float64]
Draw = Callable[[str], Array]

# What the platform downloads if the weights are streamed: configuration, tokenizer, the loader's index.
SMALL_FILES_BYTES = 3.3e6


@dataclass(frozen=True)
class PhaseDraws:
    """Seconds attributed to a phase, and its duration including overlaps."""

    own_s: Array
    busy_s: Array


def phases(start: StartSpec, draw: Draw) -> dict[PhaseName, PhaseDraws]:
    """All phases of the start. Their attributed seconds add up to the time from request to in service."""
    provision_s = draw("provision_s") + start.simulated_provision_s
    if start.endpoint_kind == "inference_component":
        provision_s = provision_s + draw("component_s")
    pull_s, download_s = _arrival(start, draw)
    found = {
        "provision": _alone(provision_s),
        "image_pull": PhaseDraws(np.where(pull_s >= download_s, pull_s, 0.0), pull_s),
        "artifact_download": PhaseDraws(np.where(pull_s < download_s, download_s, 0.0), download_s),
    }
    found |= _container_and_weights(start, draw)
    gb = start.weights_gb
    warm_s = draw("engine_warmup_fixed_s") + draw("engine_warmup_s_per_gb") * gb
    if start.compile_cache != "none":
        warm_s = warm_s + draw(f"compile_{start.compile_cache}_s") * start.layer_share
    found["engine_warmup"] = _alone(warm_s * draw("engine_warmup_scale"))
    found["health_check"] = _alone(draw("health_check_s"))
    return {name: value for name, value in found.items() if value.busy_s.max() > 0}  # type: ignore[misc]


def _arrival(start: StartSpec, draw: Draw) -> tuple[Array, Array]:
    """Seconds of the image pull and of the platform's download, which run in parallel."""
    size_bytes = start.weights_bytes if start.loading == "download" else SMALL_FILES_BYTES
    if start.emulated:
        rate = np.minimum(network_rate(start, draw), draw("disk_intake_bytes_per_s"))
        return np.full_like(rate, start.simulated_pull_s), size_bytes / rate
    image_bytes = draw("image_bytes") * (0.0 if start.image_cached else 1.0)
    if start.loading == "hub":
        size_bytes = 0.0
    return shared_intake(
        image_bytes,
        draw("image_pull_bytes_per_s"),
        np.full_like(image_bytes, size_bytes),
        network_rate(start, draw),
        draw("disk_intake_bytes_per_s"),
        draw("image_expansion"),
    )


def shared_intake(
    pull_bytes: Array, pull_rate: Array, load_bytes: Array, load_rate: Array, intake: Array, expansion: Array
) -> tuple[Array, Array]:
    """Seconds until an image and a model are both there, which share what the instance takes in.

    A byte of the image counts `expansion` times, because it is unpacked as it comes. While both run, neither
    gets more than half of the intake unless the other leaves it (max-min fairness); the longer goes on alone.
    """
    pull_alone = np.minimum(pull_rate, intake / expansion)
    load_alone = np.minimum(load_rate, intake)
    half = intake / 2
    pull_cost = pull_alone * expansion
    beside_pull = np.where(pull_cost + load_alone <= intake, load_alone, np.maximum(half, intake - pull_cost))
    load_beside = np.minimum(load_alone, beside_pull)
    pull_beside = np.minimum(pull_alone, np.maximum(half, intake - load_alone) / expansion)
    both_s = np.minimum(pull_bytes / pull_beside, load_bytes / load_beside)
    pull_s = both_s + np.maximum(pull_bytes - both_s * pull_beside, 0) / pull_alone
    load_s = both_s + np.maximum(load_bytes - both_s * load_beside, 0) / load_alone
    return pull_s, load_s


def network_rate(start: StartSpec, draw: Draw) -> Array:
    """The narrower of the instance's network and all connections together."""
    if start.emulated:
        return draw("rate_share") * (start.network_limit or np.inf)
    together = draw("connection_bytes_per_s") * start.connections
    return np.minimum(together, start.network_bytes_per_s or np.inf)


def _container_and_weights(start: StartSpec, draw: Draw) -> dict[str, PhaseDraws]:
    container_s, size_bytes = draw("container_start_s"), start.weights_bytes
    if start.loading in ("stream_ahead", "stream_after"):
        rate = np.minimum(network_rate(start, draw), draw("stream_bytes_per_s"))
        stream_s = size_bytes / rate
        if start.loading == "stream_after":
            return {"container_start": _alone(container_s), "weights_stream": _alone(stream_s)}
        begin_s = np.minimum(draw("stream_delay_s"), container_s)
        ends_last = begin_s + stream_s > container_s
        return {
            "container_start": PhaseDraws(np.where(ends_last, begin_s, container_s), container_s),
            "weights_stream": PhaseDraws(np.where(ends_last, stream_s, 0.0), stream_s),
        }
    found = {
        "container_start": _alone(container_s),
        "weights_to_host": _alone(size_bytes / draw("weights_to_host_bytes_per_s")),
        "weights_to_device": _alone(size_bytes / draw("weights_to_device_bytes_per_s")),
    }
    if start.loading == "hub":
        hub_s = _alone(size_bytes / draw("hub_bytes_per_s"))
        found = {"artifact_download": hub_s, **found}
    return found


def _alone(seconds: Array) -> PhaseDraws:
    return PhaseDraws(seconds, seconds)
