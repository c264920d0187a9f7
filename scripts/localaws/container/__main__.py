"""Start the container: stream or read weights, build the model, warm it up, serve.

Environment: `LOCALAWS_MODEL_DIR`, `SAGEMAKER_BIND_TO_PORT`, `OPTION_*`, `SM_FAST_MODEL_LOADER_S3_URI`,
the usual AWS variables, and from the platform `LOCALAWS_SPAWNED_S` (epoch seconds of this process's start),
`LOCALAWS_MODEL_NAME`, `LOCALAWS_IMAGE`, `LOCALAWS_CONTAINER_FAULT` (`container_exit` or `health_check`) and
`LOCALAWS_CONTAINER_WORDS` (its last ones).
"""

from __future__ import annotations

import time

_ENTERED_S = time.time()

import asyncio  # noqa: E402
import gc  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
import threading  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import TYPE_CHECKING, Any  # noqa: E402

from ..images import is_vllm_server  # noqa: E402
from . import lines, prefetch  # noqa: E402
from .errors import ContainerError  # noqa: E402
from .fetch import fetch_model  # noqa: E402
from .options import Options, read_options  # noqa: E402

if TYPE_CHECKING:
    import torch

    from fastload import Stream

    from .engine import Engine


def main() -> int:
    """Run until killed. The exit status is 1 if the model cannot be served."""
    # Imports create a million objects and no garbage: collecting it takes a fifth of the start.
    gc.disable()
    # Huge pages for tensors: first touching the memory takes half the time. Read when torch is imported.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    # Waiting threads must not spin: on shared cores a token would take seconds.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # transformers must not access the hub: all files are in the model folder.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    # transformers imports these where they are installed: a fifth of the start, and serving needs none.
    for name in ("accelerate", "scipy", "sklearn"):
        sys.modules[name] = None  # type: ignore[assignment]
    started_s = float(os.environ.get("LOCALAWS_SPAWNED_S") or _ENTERED_S)
    if is_vllm_server(os.environ.get("LOCALAWS_IMAGE") or ""):
        lines.as_vllm_server()
    lines.server_starts()
    try:
        if os.environ.get("LOCALAWS_CONTAINER_FAULT") == "container_exit":
            words = os.environ.get("LOCALAWS_CONTAINER_WORDS")
            raise ContainerError(words or "the container exited at its start (injected fault container_exit)")
        options = read_options(os.environ)
        streams = _open_streams(options)
        if options.prefetches:
            prefetch.begin(options)
        asyncio.run(_serve(options, streams, started_s))
    except ContainerError as error:
        lines.worker_error(f"ERROR {error}")
        lines.server_line("Stopping model server.")
        return 1
    return 0


async def _serve(options: Options, streams: list[Stream], started_s: float) -> None:
    from .server import Server

    name = os.environ.get("LOCALAWS_MODEL_NAME") or "model"
    server = Server(name, healthy=os.environ.get("LOCALAWS_CONTAINER_FAULT") != "health_check")
    try:
        await server.listen(options.port)
    except OSError as error:
        raise ContainerError(f"cannot listen on port {options.port}: {error}") from error
    server.ready(await asyncio.to_thread(_bring_up, options, streams, started_s))
    lines.server_ready(name)
    await asyncio.Event().wait()


def _open_streams(options: Options) -> list[Stream]:
    """Start to stream every rank before slow imports, so that both run in parallel."""
    if not options.streams:
        return []
    import fastload

    assert options.shards is not None  # read_options checks it
    lines.worker_line(f"Streaming weights from {options.shards}")
    device = _device_before_torch()
    degree = options.tensor_parallel_degree or 1
    return [fastload.open_stream(options.shards, rank=rank, device=device) for rank in range(degree)]


def _device_before_torch() -> str:
    """The device of the weights, without importing torch: the version shows a CPU build."""
    if not any(Path("/dev").glob("nvidia[0-9]*")):
        return "cpu"
    from importlib.metadata import version

    return "cpu" if version("torch").endswith("+cpu") else "cuda:0"


def _bring_up(options: Options, streams: list[Stream], started_s: float) -> Engine:
    """Everything from the imports to the first generated token, a line per phase."""
    fetch_model(options)
    import torch
    from transformers import AutoConfig, AutoTokenizer

    from . import model as models
    from . import model_streamer, ranks
    from .engine import Engine

    torch.manual_seed(0)
    device = models.pick_device()
    try:
        config = AutoConfig.from_pretrained(options.model_dir)
        tokenizer = AutoTokenizer.from_pretrained(options.model_dir)
    except (OSError, ValueError) as error:
        raise ContainerError(f"cannot read the model's config and tokenizer: {error}") from error
    model = models.skeleton(config)
    if options.uses_model_streamer:
        model_streamer.prepare(options)
    lines.phase_line("container_start", started_s, time.time())

    began_s = time.time()
    lines.loading_starts(str(options.model_dir))
    parts = _load(options, streams, device)
    loaded_s = time.time()
    size_bytes = sum(tensor.nbytes for part in parts for tensor in part.values())
    lines.loading_ends(size_bytes, loaded_s - began_s)

    tensors = ranks.joined(parts, models.parameter_shapes(model))
    parts.clear()
    dtype = models.fill(model, tensors, options, device)
    tensors.clear()
    threads = torch.get_num_threads()
    lines.worker_line(f"Serving {type(model).__name__} on {device} in {dtype}, {threads} threads")
    engine = Engine(model, tokenizer, device, options.max_model_len)
    engine.warm_up()
    gc.freeze()
    gc.enable()
    warm_s = time.time()
    lines.engine_starts_serving(warm_s - loaded_s)
    lines.phase_line("engine_warmup", loaded_s, warm_s)
    return engine


def _load(options: Options, streams: list[Stream], device: torch.device) -> list[dict[str, torch.Tensor]]:
    """The tensors of every rank by the loader that is asked for, a line per phase."""
    from . import model_streamer, weights

    if options.prefetches:
        return [prefetch.load(options, device)]
    if streams:
        return _streamed(streams)
    if options.uses_model_streamer:
        return [model_streamer.load(options, device)]
    return [weights.load_from_disk(options.model_dir, device)]


def _streamed(streams: list[Stream]) -> list[dict[str, Any]]:
    """The tensors of every rank, when the last byte is there."""
    from fastload.errors import FastloadError

    parts: list[dict[str, Any]] = []
    for rank, stream in enumerate(streams):
        try:
            parts.append(stream.tensors())
        except FastloadError as error:
            raise ContainerError(f"streaming the weights failed: {error}") from error
        done = stream.statistics
        worker = f"rank-{rank}"
        lines.phase_line("weights_stream", done.started_s, done.finished_s, done.size_bytes, worker)
    return parts


def _exit(status: int) -> None:
    """Exit immediately, without waiting for threads that still stream or generate."""
    sys.stdout.flush()
    sys.stderr.flush()
    if threading.active_count() > 1:
        os._exit(status)
    sys.exit(status)


if __name__ == "__main__":
    _exit(main())
