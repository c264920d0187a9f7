"""Loading as vLLM does with fastload's plug-in: the same process beside this one, begun as early.

Where the real vLLM is not installed, the stand-in loads the same bytes by the same code.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from . import lines
from .errors import ContainerError
from .options import Options

if TYPE_CHECKING:
    import torch


def begin(options: Options) -> None:
    """Start to read, before anything slow is imported. Raises ContainerError."""
    from fastload.errors import FastloadError
    from fastload.prefetch import client

    try:
        client.begin(_request(options))
    except FastloadError as error:
        raise ContainerError(str(error)) from error


def load(options: Options, device: torch.device) -> dict[str, torch.Tensor]:
    """All tensors, on the device; writes the phase's line. Raises ContainerError."""
    from fastload.errors import FastloadError
    from fastload.prefetch.client import Weights

    start_s = time.time()
    try:
        with Weights(_request(options)) as weights:
            tensors = {name: tensor.to(device) for name, tensor in weights.tensors()}
            weights.finish()
    except FastloadError as error:
        raise ContainerError(f"fastload.errors.{type(error).__name__}: {error}") from error
    lines.phase_line("weights_stream", start_s, time.time(), weights.size_bytes, "engine")
    return tensors


def _request(options: Options) -> dict[str, Any]:
    return {"location": options.weights_location}
