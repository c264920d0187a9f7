"""What the benchmark of the engine's start found: figures against targets, a table, files."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.benchmarks.engine_runs import Start
from tests.benchmarks.loader_chart import bar_chart
from tests.benchmarks.loader_report import Target, describe_machine, installed_versions

SCHEMA_VERSION = 1
_TITLES = {
    "shaped": "Start of vLLM to its first token, link shaped like S3",
    "unshaped": "Start of vLLM to its first token, unshaped loopback",
    "apart": "Start of vLLM to its first token, shaped, the server on a core of its own",
}


def median_of(
    starts: list[Start], part: str, loader: str, value: Callable[[Start], float | None]
) -> float | None:
    """The median of one figure over one loader's starts; None where it was not measured."""
    values = [found for start in starts if (start.part, start.loader) == (part, loader)
              and (found := value(start)) is not None]  # fmt: skip
    return statistics.median(values) if values else None


def judge(starts: list[Start], size_bytes: int) -> list[Target]:
    """The figures this project set itself, as far as these starts can tell."""
    targets: list[Target] = []
    for part in _TITLES:
        seconds = {
            loader: median_of(starts, part, loader, lambda start: start.seconds)
            for loader in ("nothing", "auto", "runai_streamer", "fastload")
        }
        ours = seconds["fastload"]
        if ours is None:
            continue
        if (nothing := seconds["nothing"]) is not None:
            targets.append(Target(f"{part}: fastload over nothing", 1.05, ours / nothing, at_least=False))
        if (auto := seconds["auto"]) is not None:
            name = f"{part}: auto with its download, over fastload"
            targets.append(Target(name, 1.3, auto / ours, at_least=True))
        pairs = zip(
            (start.seconds for start in starts if (start.part, start.loader) == (part, "runai_streamer")),
            (start.seconds for start in starts if (start.part, start.loader) == (part, "fastload")),
            strict=False,
        )
        if ratios := [streamer / own for streamer, own in pairs]:
            name = f"{part}: runai_streamer over fastload, the closest round"
            targets.append(Target(name, 1.0, min(ratios), at_least=True))
        waited_s = median_of(starts, part, "fastload", lambda start: start.waited_s)
        if waited_s is not None:
            targets.append(Target(f"{part}: seconds waited for bytes", 0.2, waited_s, at_least=False))
        reading = median_of(starts, part, "fastload", lambda start: start.reading_core_seconds)
        if reading is not None:
            name = f"{part}: core-seconds per GB of fastload's own process"
            targets.append(Target(name, 0.4, reading / (size_bytes / 1e9), at_least=False))
    held = {
        loader: median_of(starts, "memory", loader, lambda start: start.peak_memory_bytes)
        for loader in ("nothing", "fastload")
    }
    if held["nothing"] and held["fastload"]:
        name = "bytes of memory per byte of weights, over nothing"
        targets.append(Target(name, 1.15, (held["fastload"] - held["nothing"]) / size_bytes, at_least=False))
    return targets


def print_tables(starts: list[Start], targets: list[Target], failures: list[str], size_bytes: int) -> None:
    """One line a loader and part, then one a target."""
    columns = ("median s", "min", "max", "weights s", "waited s", "core-s", "+ per GB", "server", "GB held")
    print(f"\n{'part':9} {'loader':19} {' '.join(f'{column:>9}' for column in columns)}  starts")
    for part, loader in dict.fromkeys((start.part, start.loader) for start in starts):
        mine = [start for start in starts if (start.part, start.loader) == (part, loader)]
        seconds = [start.seconds for start in mine]
        cores = statistics.median(start.core_seconds for start in mine)
        nothing = median_of(starts, part, "nothing", lambda start: start.core_seconds)
        figures = (
            statistics.median(seconds),
            min(seconds),
            max(seconds),
            median_of(starts, part, loader, lambda start: start.weights_s),
            median_of(starts, part, loader, lambda start: start.waited_s),
            cores,
            None if nothing is None else (cores - nothing) / (size_bytes / 1e9),
            statistics.median(start.server_core_seconds for start in mine),
            max(start.peak_memory_bytes for start in mine) / 1e9 or None,
        )
        shown = " ".join("        -" if figure is None else f"{figure:9.2f}" for figure in figures)
        print(f"{part:9} {loader:19} {shown}  {len(mine)}")
    for failure in failures:
        print(f"a start failed: {failure}")
    print()
    for target in targets:
        sign, verdict = ">=" if target.at_least else "<=", "met   " if target.met else "MISSED"
        print(f"{verdict} {target.measured:6.3f} {sign} {target.wanted:<5} {target.name}")


def write_results(
    folder: Path, starts: list[Start], targets: list[Target], failures: list[str], facts: dict[str, Any]
) -> None:
    """engine.json with every start, and a chart a part, with nothing as the line to touch."""
    folder.mkdir(parents=True)
    document = {
        "schema_version": SCHEMA_VERSION,
        **facts,
        "machine": describe_machine(),
        "versions": installed_versions(),
        "targets": [{**asdict(target), "met": target.met} for target in targets],
        "failures": failures,
        "starts": [asdict(start) for start in starts],
    }
    (folder / "engine.json").write_text(json.dumps(document, indent=1) + "\n")
    for part, title in _TITLES.items():
        seconds: dict[str, list[float]] = {}
        for start in starts:
            if start.part == part:
                seconds.setdefault(start.loader, []).append(start.seconds)
        nothing = seconds.pop("nothing", None)
        line = statistics.median(nothing) if nothing else None
        if seconds:
            chart = bar_chart(title, seconds, line, unit="s", line_name="nothing")
            (folder / f"{part}.svg").write_text(chart)
