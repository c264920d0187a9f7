"""How much of real servers' logs is understood: `python -m tests.benchmarks.bench_log_coverage FOLDER`.

FOLDER holds logs as servers wrote them, in any folders below it; one file is one stream. For each start that
became ready: the share of its time, from its first line to its readiness, that lies in a phase, and the share
that lies in a finer phase or moves weights. Figures of public logs: docs/log-coverage.md.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from loadbench.results.timeline import DETAILS, divide_phases, partition
from loadbench.run.observe.engines.starts import Start
from loadbench.run.observe.log_files import read_file
from loadbench.run.observe.spans import cold_starts, read_cold_start


@dataclass(frozen=True)
class _Read:
    file: Path
    seconds: float
    attributed: float
    fine: float
    failed: int


def main() -> None:
    """Read every file, print the figures, name the files that are understood least."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--worst", type=int, default=10, help="how many of the least understood are named")
    options = parser.parse_args()
    found: list[_Read] = []
    kinds: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    for file in sorted(file for file in options.folder.rglob("*") if file.is_file()):
        groups = cold_starts(read_file(file))
        ready = [group for group in groups if group and group[-1].ready_s is not None]
        kinds["files"] += 1
        kinds["files with a start that became ready"] += bool(ready)
        kinds["starts that failed"] += sum(len(group) - 1 for group in ready)
        for group in ready:
            if (read := _read(file, group, seconds)) is not None:
                found.append(read)
            else:
                kinds["ready, weights not found"] += 1
    _print(found, kinds, seconds, options.worst)


def _read(file: Path, group: list[Start], seconds: Counter[str]) -> _Read | None:
    """One start's figures, None where no engine's lines of its weights were found."""
    start, ready_s = group[-1], group[-1].ready_s
    spans = [span for span in read_cold_start(group) if span.name != "failed_start"]
    if ready_s is None or ready_s <= start.began_s or not spans:
        return None
    total_s = ready_s - start.began_s
    shares = {share.name: share.seconds for share in partition(spans, start.began_s, ready_s)}
    details = {share.name: share.seconds for share in divide_phases(spans, start.began_s, ready_s)}
    coarse = sum(shares.get(phase, 0.0) for phase in DETAILS)
    lost = shares.get("unattributed", 0.0)
    seconds.update({name: value for name, value in (shares | details).items() if name not in DETAILS})
    return _Read(
        file,
        total_s,
        1 - lost / total_s,
        1 - (lost + coarse - sum(details.values())) / total_s,
        len(group) - 1,
    )


def _print(found: list[_Read], kinds: Counter[str], seconds: Counter[str], worst: int) -> None:
    for name, count in kinds.items():
        print(f"{count:6d} {name}")
    print(f"{len(found):6d} starts read")
    if not found:
        return
    for label, values in (
        ("in a phase", [read.attributed for read in found]),
        ("in a finer phase", [read.fine for read in found]),
    ):
        enough = sum(value >= 0.95 for value in values)
        print(f"{label}: median {100 * median(values):.1f} %, at least 95 % in {enough} of {len(found)}")
    total_s = sum(seconds.values())
    for name, value in seconds.most_common():
        print(f"  {100 * value / total_s:5.1f} %  {name}")
    print("least understood:")
    for read in sorted(found, key=lambda read: read.fine)[:worst]:
        print(f"  {100 * read.fine:5.1f} % of {read.seconds:7.1f} s  {read.file}")


if __name__ == "__main__":
    main()
