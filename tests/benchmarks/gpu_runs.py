"""One measured load from S3 into a GPU's memory, in one fresh process, as a serving engine's worker does it.

The worker imports torch, opens the device and allocates every parameter; then it loads. Two clocks: from
the start of the process, and from the moment at which the parameters are there ("engine waits"). After both,
every parameter is compared with the checkpoint's file, bit by bit. Prints one JSON object.

`nothing` only starts and allocates; `fastload_landed` waits, before the second clock, for a transfer that a
real engine's start would hide. `ceiling_sockets` and `ceiling_copy` are no loaders: the first reads the same
bytes over plain sockets into touched memory, the second copies from pinned memory to the device.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import resource
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from loadbench.run.models.synthetic import shape_of
from tests.benchmarks.loader_runs import presigned_url, read_ranges

_CONNECTIONS = 16
_RANGE_BYTES = 16 << 20
_COPIED_BYTES = 1 << 30
_DEVICE = "cuda"
_POLL_S = 0.1


class Worker:
    """The worker's process: its parameters on the device, and its clock."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.born_s = float(os.environ["BENCH_BORN_S"])
        self.location = f"s3://{args.bucket}/{args.model}/"
        self.parameters: dict[str, Any] = {}
        self.ready_s = 0.0
        self.facts: dict[str, Any] = {}

    def start(self) -> None:
        """Import the framework, open the device, allocate the parameters."""
        import torch

        shapes = shape_of(f"synthetic:{self.args.shape}").tensors()
        self.parameters = {
            name: torch.empty(shape, dtype=torch.bfloat16, device=_DEVICE) for name, shape in shapes
        }
        torch.cuda.synchronize()
        self.ready_s = time.time()

    def fill(self, tensors: Iterator[tuple[str, Any]]) -> None:
        """Copy each tensor into its parameter, as vLLM's weight loaders do."""
        for name, tensor in tensors:
            self.parameters[name].copy_(tensor)


def main() -> None:
    """Run one loader and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("loader", choices=sorted(LOADERS))
    parser.add_argument("--bucket", required=True)
    parser.add_argument("--model", required=True, help="prefix of the checkpoint")
    parser.add_argument("--shards", required=True, help="prefix of its shards")
    parser.add_argument("--shape", required=True, help="name of the synthetic model")
    parser.add_argument("--folder", type=Path, required=True, help="the checkpoint as a folder")
    worker = Worker(parser.parse_args())
    LOADERS[worker.args.loader](worker)
    import torch

    torch.cuda.synchronize()
    ended_s = time.time()
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    figures = {
        "seconds": ended_s - worker.born_s,
        "engine_waits_s": ended_s - worker.ready_s if worker.ready_s else None,
        "peak_memory_bytes": peak_bytes,
        "is_exact": _is_exact(worker) if worker.args.loader not in NO_LOADERS else None,
    }
    print(json.dumps(figures | worker.facts))


def _is_exact(worker: Worker) -> bool:
    """Whether every tensor of the checkpoint is on the device, bit by bit."""
    import torch

    load_file = import_module("safetensors.torch").load_file
    compared = 0
    for path in sorted(worker.args.folder.glob("*.safetensors")):
        for name, expected in load_file(path, device=_DEVICE).items():
            if not torch.equal(worker.parameters[name].view(torch.int16), expected.view(torch.int16)):
                return False
            compared += 1
    return compared == len(list(shape_of(f"synthetic:{worker.args.shape}").tensors()))


def _nothing(worker: Worker) -> None:
    worker.start()


def _fastload(*, ahead: bool, landed: bool = False) -> Callable[[Worker], None]:
    """What the load format `fastload` does in a worker of vLLM, from plain safetensors."""

    def run(worker: Worker) -> None:
        from fastload.prefetch import client

        request = {"location": worker.location}
        if ahead:
            client.begin(request)
        worker.start()
        while landed and not _is_complete(request):
            time.sleep(_POLL_S)
        worker.ready_s = time.time()
        import torch

        from fastload.vllm.pinned import PinnedMemory

        with client.Weights(request, private=False) as weights:
            memory = torch.frombuffer(weights.memory, dtype=torch.uint8)
            with PinnedMemory(memory, is_filled=weights.was_complete) as pinned:
                worker.fill(weights.tensors())
            weights.finish()
            worker.facts = {"waited_s": weights.waited_s, "note": pinned.summary()}

    return run


def _fastload_ring(worker: Worker) -> None:
    """What the load format does if the weights do not fit into host memory."""
    from fastload.gpu_tensors import stream_tensors

    worker.start()
    worker.fill(stream_tensors(worker.location, _DEVICE))


def _is_complete(request: dict[str, Any]) -> bool:
    from fastload.prefetch import client

    with client.Weights(request, private=False) as weights:
        return weights.was_complete


def _fastload_shards(worker: Worker) -> None:
    """The library: shards through the ring, begun before the framework is imported."""
    import fastload

    with fastload.open_stream(f"s3://{worker.args.bucket}/{worker.args.shards}/", device=_DEVICE) as stream:
        import torch

        torch.empty(1, device=_DEVICE)
        worker.ready_s = time.time()
        worker.parameters = dict(stream.tensors())
        worker.facts = {"note": f"{stream.statistics.connections} connections"}


def _runai(worker: Worker) -> None:
    """Run:ai's streamer as vLLM uses it: from the worker, after its start."""
    os.environ.setdefault("RUNAI_STREAMER_S3_USE_VIRTUAL_ADDRESSING", "0")
    os.environ["RUNAI_STREAMER_CONCURRENCY"] = str(_CONNECTIONS)
    streamer_class = import_module("runai_model_streamer").SafetensorsStreamer
    worker.start()
    names = sorted(path.name for path in worker.args.folder.glob("*.safetensors"))
    with streamer_class() as streamer:
        streamer.stream_files([worker.location + name for name in names])
        worker.fill(streamer.get_tensors())


def _ceiling_sockets(worker: Worker) -> None:
    args, files = worker.args, sorted(worker.args.folder.glob("*.safetensors"))
    sizes = [path.stat().st_size for path in files]
    urls = [presigned_url(args.bucket, f"{args.model}/{path.name}") for path in files]
    target = mmap.mmap(-1, max(sizes), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for start in range(0, len(target), 4096):
        target[start] = 1
    began_s = time.perf_counter()
    for url, size in zip(urls, sizes, strict=True):
        read_ranges(url, size, memoryview(target), _CONNECTIONS, _RANGE_BYTES)
    worker.facts = {"rate_bytes_per_s": sum(sizes) / (time.perf_counter() - began_s)}


def _ceiling_copy(worker: Worker) -> None:
    import torch

    source = torch.empty(_COPIED_BYTES, dtype=torch.uint8, pin_memory=True)
    target = torch.empty(_COPIED_BYTES, dtype=torch.uint8, device=_DEVICE)
    rates = []
    for _ in range(4):
        torch.cuda.synchronize()
        began_s = time.perf_counter()
        target.copy_(source, non_blocking=True)
        torch.cuda.synchronize()
        rates.append(_COPIED_BYTES / (time.perf_counter() - began_s))
    worker.facts = {"rate_bytes_per_s": max(rates)}


NO_LOADERS = ("ceiling_sockets", "ceiling_copy", "nothing")
LOADERS: dict[str, Callable[[Worker], None]] = {
    "ceiling_sockets": _ceiling_sockets,
    "ceiling_copy": _ceiling_copy,
    "nothing": _nothing,
    "runai_streamer": _runai,
    "fastload_not_ahead": _fastload(ahead=False),
    "fastload": _fastload(ahead=True),
    "fastload_landed": _fastload(ahead=True, landed=True),
    "fastload_ring": _fastload_ring,
    "fastload_shards": _fastload_shards,
}


if __name__ == "__main__":
    main()
