"""How fast weights come from S3 into tensors: fastload beside the loaders people use, in one run.

    python -m tests.benchmarks.bench_loaders [--runs 5] [--layers 16]
        [--parts loopback,copying,shaped,start,apart,shard]

Server and clients share two cores. Loaders take turns, each run in a fresh process, so that a drift of the
machine touches all alike; compare figures within one run only. Writes bench.json (every run, the machine, all
versions) and charts under results/bench-<id>/, and prints the tables.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.benchmarks.loader_model import write_synthetic
from tests.benchmarks.loader_report import Run, judge, print_tables, write_results
from tests.benchmarks.loader_runs import warm_memory
from tests.benchmarks.s3_server import serving

_BUCKET, _MODEL, _SHARDS = "bench", "llama-1b", "llama-1b-shards"
_LOADERS = ("ceiling", "fastload", "runai", "obstore", "s5cmd", "boto3")
_SHAPED_LOADERS = ("fastload", "runai", "obstore", "s5cmd")
_STARTS = ("start_import", "start_stream", "start_both")
# What one client sees of S3: a connection's rate, 10 Gbit/s in all, and a delay before the first byte.
SHAPE = {"connection-rate": 90e6, "total-rate": 1.25e9, "first-byte": 0.02}


@dataclass
class Benchmark:
    """One benchmark: where things are, and what was measured."""

    folder: Path
    size_bytes: int
    repeats: int
    runs: list[Run] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--layers", type=int, default=16, help="16 is Llama-3.2-1B; fewer for a quick look")
    parser.add_argument("--parts", default=",".join(_PARTS))
    parser.add_argument("--results", type=Path, default=Path("results"))
    args = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    started = datetime.now(UTC)
    with tempfile.TemporaryDirectory(prefix="fastload-bench-") as name:
        folder = Path(name)
        source = folder / "s3" / _BUCKET / _MODEL
        write_synthetic("llama-1b", source, args.layers)
        bench = Benchmark(folder, (source / "model.safetensors").stat().st_size, args.runs)
        with _server(folder):
            _shard(bench)
        for part in args.parts.split(","):
            _PARTS[part](bench)
    targets = judge(bench.runs, bench.size_bytes, SHAPE["total-rate"])
    print_tables(bench.runs, targets, bench.failures)
    out = args.results / f"bench-{started:%Y%m%dT%H%M%SZ}"
    facts = {
        "started": started.isoformat(),
        "layers": args.layers,
        "size_bytes": bench.size_bytes,
        "shape": SHAPE,
    }
    write_results(out, bench.runs, targets, bench.failures, facts)
    print(f"\n{out}/bench.json")
    return 0


def _measure_loopback(bench: Benchmark) -> None:
    """As fast as the machine goes."""
    with _server(bench.folder):
        _take_turns(bench, "loopback", _LOADERS)


def _measure_copying(bench: Benchmark) -> None:
    """The same from a server that reads each body and writes it out again, as most servers do."""
    with _server(bench.folder, "--copy-bodies"):
        _take_turns(bench, "copying", _LOADERS)


def _measure_shaped(bench: Benchmark) -> None:
    """Like S3."""
    with _server(bench.folder, **SHAPE):
        _take_turns(bench, "shaped", _SHAPED_LOADERS)


def _measure_start(bench: Benchmark) -> None:
    """From the start of the process over a link like S3: imports alone, streaming alone, both at once."""
    with _server(bench.folder, **SHAPE):
        _take_turns(bench, "start", _STARTS)


def _measure_apart(bench: Benchmark) -> None:
    """The same with the server kept to one of the two cores: who starts has a core that it never takes."""
    with _server(bench.folder, **SHAPE) as process:
        for thread in Path(f"/proc/{process.pid}/task").iterdir():  # those to come inherit it
            os.sched_setaffinity(int(thread.name), sorted(os.sched_getaffinity(0))[1:])
        _take_turns(bench, "apart", _STARTS)


def _measure_shard(bench: Benchmark) -> None:
    """Sharding S3 to S3, beside copying the same object S3 to S3 in parallel parts."""
    copy = f"from tests.benchmarks.loader_model import copy_in_parts; copy_in_parts('{_BUCKET}', '{_MODEL}')"
    with _server(bench.folder):
        for _ in range(bench.repeats):
            _note(bench, "shard", "shard", {"seconds": _shard(bench), "held_bytes": bench.size_bytes})
            shutil.rmtree(bench.folder / "s3" / _BUCKET / f"{_MODEL}-copy", ignore_errors=True)
            _note(bench, "shard", "copy", {"seconds": _timed(copy), "held_bytes": bench.size_bytes})


_PARTS: dict[str, Callable[[Benchmark], None]] = {
    "loopback": _measure_loopback,
    "copying": _measure_copying,
    "shaped": _measure_shaped,
    "start": _measure_start,
    "apart": _measure_apart,
    "shard": _measure_shard,
}


@contextmanager
def _server(folder: Path, *flags: str, **shape: float) -> Iterator[subprocess.Popen[str]]:
    """An S3 server over the folder, all it serves at hand, and the AWS variables that point at it."""
    with serving(folder / "s3", *flags, **shape) as process:
        settle(folder / "s3")
        yield process


def settle(folder: Path) -> None:
    """Let no loader pay for the writing of what it reads: all on disk, and all in the page cache."""
    os.sync()
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                while file.read(8 << 20):
                    pass


def _shard(bench: Benchmark) -> float:
    """Shard the model to a fresh destination; seconds."""
    shutil.rmtree(bench.folder / "s3" / _BUCKET / _SHARDS, ignore_errors=True)
    locations = f"'s3://{_BUCKET}/{_MODEL}', 's3://{_BUCKET}/{_SHARDS}'"
    return _timed(f"import fastload; fastload.shard_checkpoint({locations})")


def _timed(program: str) -> float:
    """Seconds a Python program takes, from the start of its process."""
    began_s = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True)
    return time.perf_counter() - began_s


def _take_turns(bench: Benchmark, part: str, loaders: tuple[str, ...]) -> None:
    """Every loader once, then every loader again."""
    for _ in range(bench.repeats):
        for loader in loaders:
            _run(bench, part, loader)


def _run(bench: Benchmark, part: str, loader: str) -> None:
    """One run in a fresh process."""
    command = [sys.executable, "-m", "tests.benchmarks.loader_runs", loader, "--bucket", _BUCKET]
    command += ["--model", _MODEL, "--shards", _SHARDS]
    command += ["--size-bytes", str(bench.size_bytes), "--folder", str(bench.folder)]
    if loader in _STARTS:  # its clock starts with the process
        warm_memory()
    environment = os.environ | {"BENCH_BORN_S": str(time.time())}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        bench.failures.append(f"{part}, {loader}: {reason}")
        print(f"{part:9} {loader:13} failed: {reason}", flush=True)
        return
    _note(bench, part, loader, json.loads(done.stdout.splitlines()[-1]))


def _note(bench: Benchmark, part: str, loader: str, facts: dict[str, Any]) -> None:
    """Keep and print one run."""
    load_average = os.getloadavg()[0]
    run = Run(
        part, loader, facts["seconds"], facts["held_bytes"], facts.get("peak_memory_bytes", 0), load_average
    )
    bench.runs.append(run)
    print(f"{part:9} {loader:13} {run.seconds:7.3f} s   load {load_average:.1f}", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
