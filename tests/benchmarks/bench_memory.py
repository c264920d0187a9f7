"""Sharding and streaming 16 GB, S3 to S3 and S3 to memory, each with its address space limited.

    python -m tests.benchmarks.bench_memory [--shard-limit-mib 1024] [--stream-limit-share 1.1]

The model is `synthetic:llama-8b`. Needs twice its size of disk and 1.1 times of memory. A job that needs more
than its limit dies, and this program with it. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from loadbench.run.models.synthetic import SHAPES
from tests.benchmarks.loader_model import write_synthetic
from tests.benchmarks.s3_server import serving
from tests.peak_memory import PEAK_MEMORY_BYTES as _PEAK

_MODEL = "llama-8b"
_SOURCE, _SHARDS = "s3://bench/model", "s3://bench/shards"
_SHARD = f"import fastload; print(fastload.shard_checkpoint({_SOURCE!r}, {_SHARDS!r}).size_bytes, {_PEAK})"
_STREAM = f"import fastload; print(fastload.open_stream({_SHARDS!r}).statistics.size_bytes, {_PEAK})"


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shard-limit-mib", type=int, default=1024)
    parser.add_argument("--stream-limit-share", type=float, default=1.1, help="bytes per byte of weights")
    args = parser.parse_args()
    size_bytes = SHAPES[_MODEL].weights_bytes
    with tempfile.TemporaryDirectory(prefix="fastload-bench-") as name:
        store = Path(name) / "s3"
        print(f"writing {size_bytes / 1e9:.2f} GB …", file=sys.stderr)
        write_synthetic(_MODEL, store / "bench" / "model")
        with serving(store):
            facts = {
                "model": _MODEL,
                "shard": _limited("sharding", _SHARD, args.shard_limit_mib << 20),
                "stream": _limited("streaming", _STREAM, int(size_bytes * args.stream_limit_share)),
            }
    print(json.dumps(facts, indent=1))
    return 0


def _limited(label: str, program: str, limit_bytes: int) -> dict[str, Any]:
    """Run a program that prints its model's bytes and its own peak, with so much address space."""
    print(f"{label}, limited to {limit_bytes / 1e9:.2f} GB …", file=sys.stderr)
    began_s = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, limit_bytes)),
    )
    held_bytes, peak_bytes = (int(word) for word in done.stdout.split())
    return {
        "limit_bytes": limit_bytes,
        "held_bytes": held_bytes,
        "peak_bytes": peak_bytes,
        "seconds": round(time.perf_counter() - began_s, 2),
    }


if __name__ == "__main__":
    raise SystemExit(main())
