"""How long the real vLLM takes to its first token, by how the weights come: fastload beside what people use.

    python -m tests.benchmarks.bench_engine [--runs 5] [--layers 16] [--parts shaped,unshaped,apart,memory]
        [--loaders nothing,dummy,auto,runai_streamer,fastload,fastload_shards,fastload_not_ahead]

Needs `loadbench engine install vllm`. Server and engine share two cores; in the part `apart` the server is
held to one of them. Loaders take turns, each start in fresh processes; compare figures within one run only.
Writes engine.json (every start, the machine, all versions) and charts under results/engine-<id>/.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psutil

from loadbench.engines.installation import ENGINES, find
from tests.benchmarks.bench_loaders import SHAPE, settle
from tests.benchmarks.engine_report import judge, print_tables, write_results
from tests.benchmarks.engine_runs import LOADERS, Place, Start, make_place, run
from tests.benchmarks.loader_model import write_synthetic
from tests.benchmarks.loader_runs import warm_memory
from tests.benchmarks.s3_server import serving

_BUCKET, _MODEL, _SHARDS = "bench", "llama-1b", "llama-1b-shards"
_PARTS = ("shaped", "unshaped", "apart", "memory")


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--layers", type=int, default=16, help="16 is Llama-3.2-1B; fewer for a quick look")
    parser.add_argument("--parts", default=",".join(_PARTS))
    parser.add_argument("--loaders", default=",".join(LOADERS))
    parser.add_argument("--results", type=Path, default=Path("results"))
    args = parser.parse_args()
    engine = find(ENGINES["vllm"], Path(".loadbench"))
    if not engine.is_ready:
        print("vLLM is not installed, so the part `engine` is left out: loadbench engine install vllm")
        return 0
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    started, starts, failures = datetime.now(UTC), list[Start](), list[str]()
    with tempfile.TemporaryDirectory(prefix="fastload-engine-") as name:
        folder = Path(name)
        source = folder / "s3" / _BUCKET / _MODEL
        write_synthetic("llama-1b", source, args.layers)
        size_bytes = (source / "model.safetensors").stat().st_size
        with serving(folder / "s3"):
            locations = f"'s3://{_BUCKET}/{_MODEL}', 's3://{_BUCKET}/{_SHARDS}'"
            program = f"import fastload; fastload.shard_checkpoint({locations})"
            subprocess.run([sys.executable, "-c", program], check=True)
        place = make_place(folder, engine.folder, _BUCKET, _MODEL, _SHARDS)
        for part in args.parts.split(","):
            with _server(place, part) as server:
                if not starts:  # what the engine imports comes from the disk once
                    _start(place, "first", "nothing", server, [], failures)
                for _ in range(1 if part == "memory" else args.runs):
                    for loader in args.loaders.split(","):
                        _start(place, part, loader, server, starts, failures)
    targets = judge(starts, size_bytes)
    print_tables(starts, targets, failures, size_bytes)
    out = args.results / f"engine-{started:%Y%m%dT%H%M%SZ}"
    facts = {
        "started": started.isoformat(),
        "layers": args.layers,
        "size_bytes": size_bytes,
        "engine": engine.engine.wheel,
        "shape": SHAPE,
    }
    write_results(out, starts, targets, failures, facts)
    print(f"\n{out}/engine.json")
    return 0


@contextmanager
def _server(place: Place, part: str) -> Iterator[psutil.Process]:
    """The store for one part, all it serves in the page cache."""
    shape = {} if part in ("unshaped", "memory") else SHAPE
    with serving(place.folder / "s3", **shape) as process:
        settle(place.folder / "s3")
        if part == "apart":
            for thread in Path(f"/proc/{process.pid}/task").iterdir():  # those to come inherit it
                os.sched_setaffinity(int(thread.name), sorted(os.sched_getaffinity(0))[1:])
        yield psutil.Process(process.pid)


def _start(
    place: Place,
    part: str,
    loader: str,
    server: psutil.Process,
    starts: list[Start],
    failures: list[str],
) -> None:
    """One start; kept and printed."""
    warm_memory()
    try:
        start = run(place, part, loader, server, with_memory=part == "memory")
    except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
        failures.append(f"{part}, {loader}: {error}")
        print(f"{part:9} {loader:19} failed: {error}", flush=True)
        return
    starts.append(start)
    print(
        f"{part:9} {loader:19} {start.seconds:7.2f} s  {start.core_seconds:6.1f} core-seconds"
        f"  load {start.load_average:.1f}",
        flush=True,
    )


if __name__ == "__main__":
    raise SystemExit(main())
