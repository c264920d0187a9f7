"""Loading as vLLM does with `load_format=runai_streamer`: its library, called in the same way.

Source: docs/facts/vllm.md#load-formats. The library's threads read ranges of the safetensors files, many at
once. It begins where vLLM begins: after the imports. What it hands out is the caller's own memory, so on a
CPU nothing is copied again; vLLM would copy into its parameters.
"""

from __future__ import annotations

import importlib
import os
import time
from typing import TYPE_CHECKING, Any

from fastload.errors import CheckpointError
from fastload.weight_files import read_weights

from . import lines
from .errors import ContainerError
from .options import Options

if TYPE_CHECKING:
    import torch


def prepare(options: Options) -> None:
    """Settings and import of the library, before the time of loading counts. Raises ContainerError."""
    if options.streamer_concurrency is not None:
        os.environ["RUNAI_STREAMER_CONCURRENCY"] = str(options.streamer_concurrency)
    if endpoint := os.environ.get("AWS_ENDPOINT_URL"):
        os.environ.setdefault("RUNAI_STREAMER_S3_ENDPOINT", endpoint)
        # An address that is not AWS's has no name for each bucket.
        os.environ.setdefault("RUNAI_STREAMER_S3_USE_VIRTUAL_ADDRESSING", "0")
    try:
        importlib.import_module("runai_model_streamer")
    except ImportError as error:
        raise ContainerError(
            "load_format is runai_streamer and runai-model-streamer is not installed; "
            "install it with `pip install '/path/to/checkout[local]'`"
        ) from error


def load(options: Options, device: torch.device) -> dict[str, torch.Tensor]:
    """All tensors of the model's safetensors files, on the device; writes the phase's line.

    Raises ContainerError if the library cannot read them.
    """
    from runai_model_streamer import SafetensorsStreamer, list_safetensors

    source, files = options.model_id or "", []
    if not source.startswith("s3://"):
        source = str(options.model_dir)
        try:
            files = [f"{source}/{name}" for name in read_weights(options.model_dir).files]
        except CheckpointError as error:
            raise ContainerError(str(error)) from error
    start_s = time.time()
    try:
        files = files or list_safetensors(source)
        tensors = _stream(SafetensorsStreamer, files, device) if files else {}
    except Exception as error:  # whatever its C++ and boto3 raise
        raise ContainerError(f"the model streamer could not read {source}: {error}") from error
    if not tensors:
        raise ContainerError(f"no *.safetensors in {source}")
    size_bytes = sum(tensor.nbytes for tensor in tensors.values())
    lines.phase_line("weights_stream", start_s, time.time(), size_bytes, "engine")
    return tensors


def _stream(streamer_class: Any, files: list[str], device: torch.device) -> dict[str, torch.Tensor]:
    with streamer_class() as streamer:
        streamer.stream_files(files)
        _progress(0)
        tensors = {name: tensor.to(device) for name, tensor in streamer.get_tensors()}
        _progress(100)
    return tensors


def _progress(percent: int) -> None:
    lines.worker_line(f"Loading safetensors using Runai Model Streamer: {percent:3}% Completed")
