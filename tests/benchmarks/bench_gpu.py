"""From S3 on loopback into a GPU's memory: fastload beside the Run:ai streamer and the machine's ceiling.

    python -m tests.benchmarks.bench_gpu [--model llama-8b] [--runs 3] [--results results]

Needs one CUDA device, and neither vLLM nor the internet. Loaders take turns, each in a fresh process that
starts as a worker of an engine does (see gpu_runs.py); compare figures within one run only. Every loader's
bytes are compared with the checkpoint on the device. Prints the table and writes it, with every run, to
results/gpu-<id>/. Exit code 1 if a run failed or a bit was wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.benchmarks.bench_loaders import settle
from tests.benchmarks.gpu_runs import LOADERS, NO_LOADERS
from tests.benchmarks.loader_model import write_synthetic
from tests.benchmarks.loader_report import describe_machine, installed_versions
from tests.benchmarks.loader_runs import warm_memory
from tests.benchmarks.s3_server import serving

_BUCKET = "bench"
_RUN_TIMEOUT_S = 120.0


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="llama-8b", help="synthetic model: llama-1b or llama-8b")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--loaders", default=",".join(LOADERS))
    parser.add_argument("--results", type=Path, default=Path("results"))
    args = parser.parse_args()
    started = datetime.now(UTC)
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="fastload-gpu-") as name:
        folder = Path(name)
        source = folder / "s3" / _BUCKET / args.model
        write_synthetic(args.model, source)
        size_bytes = sum(path.stat().st_size for path in source.glob("*.safetensors"))
        print(f"{size_bytes / 1e9:.2f} GB written", flush=True)
        warm_memory()
        with serving(folder / "s3"):
            locations = f"'s3://{_BUCKET}/{args.model}', 's3://{_BUCKET}/{args.model}-shards'"
            program = f"import fastload; fastload.shard_checkpoint({locations})"
            subprocess.run([sys.executable, "-c", program], check=True)
            settle(folder / "s3")
            _run("nothing", args.model, source)  # what is imported comes from the disk once
            for number in range(args.runs):
                for loader in args.loaders.split(","):
                    if number == 0 or not loader.startswith("ceiling"):
                        runs.append(_run(loader, args.model, source))
                        print(json.dumps(runs[-1]), flush=True)
    text = _table(runs, size_bytes)
    print(f"\n{text}")
    out = args.results / f"gpu-{started:%Y%m%dT%H%M%SZ}"
    out.mkdir(parents=True)
    document = {
        "started": started.isoformat(),
        "model": f"synthetic:{args.model}",
        "size_bytes": size_bytes,
        "device": _device(),
        "machine": describe_machine(),
        "versions": installed_versions(),
        "runs": runs,
    }
    (out / "gpu.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    (out / "gpu.md").write_text(text + "\n", encoding="utf-8")
    print(f"\n{out}/gpu.json")
    return 1 if any("failed" in run or run.get("is_exact") is False for run in runs) else 0


def _run(loader: str, model: str, source: Path) -> dict[str, Any]:
    """One run in a fresh process: its figures, or the reason of its failure."""
    command = [sys.executable, "-m", "tests.benchmarks.gpu_runs", loader, "--bucket", _BUCKET]
    command += ["--model", model, "--shards", f"{model}-shards", "--shape", model, "--folder", str(source)]
    environment = os.environ | {"BENCH_BORN_S": str(time.time())}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=environment, timeout=_RUN_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        return {"loader": loader, "failed": f"no result in {_RUN_TIMEOUT_S:.0f} s"}
    if done.returncode:
        return {"loader": loader, "failed": " | ".join(done.stderr.strip().splitlines()[-3:])}
    facts = json.loads(done.stdout.splitlines()[-1])
    if prefetched := re.search(r"\(([\d.]+) GB/s, (\d+) connections", done.stderr):
        facts["note"] = f"{facts['note']}; prefetched at {prefetched[1]} GB/s, {prefetched[2]} connections"
    return {"loader": loader, **facts}


def _table(runs: list[dict[str, Any]], size_bytes: int) -> str:
    """One line a loader: medians, and the spread of the time that the engine waits."""
    lines = [
        "| loader | start to weights on the device, s | engine waits, s | min | max | GB/s of the wait"
        " | waits for bytes, s | host memory, GB | bits |",
        "|---|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    for loader in dict.fromkeys(run["loader"] for run in runs):
        mine = [run for run in runs if run["loader"] == loader and "failed" not in run]
        if not mine:
            reason = next(run["failed"] for run in runs if run["loader"] == loader)
            lines.append(f"| {loader} | failed: {reason} | | | | | | | |")
            continue
        if loader.startswith("ceiling"):
            rate = max(run["rate_bytes_per_s"] for run in mine)
            lines.append(f"| {loader} | | {size_bytes / rate:.2f} | | | {rate / 1e9:.2f} | | | |")
            continue
        waits = [run["engine_waits_s"] for run in mine]
        wait = statistics.median(waits)
        bytes_waits = [run["waited_s"] for run in mine if "waited_s" in run]
        cells = [
            loader,
            f"{statistics.median(run['seconds'] for run in mine):.2f}",
            f"{wait:.2f}",
            f"{min(waits):.2f}",
            f"{max(waits):.2f}",
            "" if loader in NO_LOADERS else f"{size_bytes / wait / 1e9:.2f}",
            f"{statistics.median(bytes_waits):.2f}" if bytes_waits else "",
            f"{statistics.median(run['peak_memory_bytes'] for run in mine) / 1e9:.2f}",
            "" if loader in NO_LOADERS else ("exact" if all(run["is_exact"] for run in mine) else "WRONG"),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _device() -> str:
    import torch

    return f"{torch.cuda.get_device_name()}, torch {torch.__version__}, CUDA {torch.version.cuda}"


if __name__ == "__main__":
    raise SystemExit(main())
