"""How often the default comparison shows a settled difference: `python -m tests.benchmarks.repeatability`.

Each run is one `loadbench compare` in the same folder, on a machine that does nothing else, after one that
brings the model and the shards. The table is printed as it grows and written to --output; exit code 1 where
fewer runs are settled within the time than --at-least asks for.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
_HEADER = (
    "| run | verdict | ratio | 95 % | standard | fast | minutes | answered Paris |\n"
    "|--:|---|--:|---|--:|--:|--:|---|"
)


@dataclass(frozen=True)
class Outcome:
    """One `loadbench compare`: its comparison and how long it took."""

    comparison: dict[str, Any]
    seconds: float
    answers: list[str]

    @property
    def settled(self) -> bool:
        """Whether the interval excludes 1."""
        return bool(self.comparison["verdict"]["settled"])

    @property
    def answered(self) -> bool:
        """Whether every endpoint gave the answer to the sample request."""
        return all("Paris" in text for text in self.answers)

    def row(self, number: int) -> str:
        """One line of the table."""
        estimate = self.comparison["estimate"]
        medians = [self.comparison[side]["time_to_ready"]["median"] for side in ("a", "b")]
        cells = [
            str(number),
            self.comparison["verdict"]["kind"],
            f"×{estimate['ratio']:.2f}" if estimate else "–",
            f"{estimate['low']:.2f}–{estimate['high']:.2f}" if estimate else "–",
            *(f"{median_s:.1f} s" for median_s in medians),
            f"{self.seconds / 60:.1f}",
            "yes" if self.answered else "NO",
        ]
        return f"| {' | '.join(cells)} |"


def compare(home: Path, options: Sequence[str]) -> Outcome:
    """One whole comparison. Raises RuntimeError with its last lines when it fails."""
    before = set((home / "results").glob("*/run.json"))
    started_s = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", "from loadbench.cli import main; main()", "compare", "--json", *options],
        cwd=home,
        env={**os.environ, "PYTHONPATH": str(ROOT / "scripts")},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - started_s
    if done.returncode != 0:
        raise RuntimeError(f"exit code {done.returncode}:\n{done.stderr[-2000:]}")
    made = set((home / "results").glob("*/run.json")) - before
    records = [json.loads(file.read_text(encoding="utf-8")) for file in made]
    answers = [record["invocations"][0]["output_text"] or "" for record in records]
    return Outcome(json.loads(done.stdout), seconds, answers)


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when as many runs as wanted were settled in time, and every endpoint answered; 1 otherwise."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--at-least", type=float, default=0.95, help="share of runs that have to be settled")
    parser.add_argument("--minutes", type=float, default=5.0, help="the longest that a run may take")
    parser.add_argument("--output", type=Path, default=Path("repeatability.md"))
    parser.add_argument("options", nargs="*", help="passed on to `loadbench compare`, after --")
    chosen = parser.parse_args(arguments)
    lines = [_machine(), "", _HEADER]
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="repeatability-") as name:
        home = Path(name)
        shutil.copy(ROOT / "config.yaml", home)
        try:
            compare(home, ["--pairs", "1", *chosen.options])
            print("\n".join(lines), flush=True)
            for number in range(1, chosen.runs + 1):
                outcomes.append(compare(home, chosen.options))
                lines.append(outcomes[-1].row(number))
                print(lines[-1], flush=True)
                chosen.output.write_text("\n".join(lines) + "\n", encoding="utf-8")
        finally:
            _stop(home)
    good = [item for item in outcomes if item.settled and item.seconds <= 60 * chosen.minutes]
    directions = {item.comparison["verdict"]["kind"] for item in outcomes if item.settled}
    lines += [
        "",
        f"{len(good)} of {len(outcomes)} comparisons were settled within {chosen.minutes:g} minutes, "
        f"as {' and '.join(sorted(directions)) or 'nothing'}.",
    ]
    print("\n".join(lines[-2:]))
    chosen.output.write_text("\n".join(lines) + "\n", encoding="utf-8")
    enough = len(good) >= chosen.at_least * len(outcomes) and len(directions) == 1
    return 0 if enough and all(item.answered for item in outcomes) else 1


def _machine() -> str:
    load = os.getloadavg()[0]
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, load {load:.1f} at the start"


def _stop(home: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", "from loadbench.cli import main; main()", "local", "down"],
        cwd=home,
        env={**os.environ, "PYTHONPATH": str(ROOT / "scripts")},
        capture_output=True,
        check=False,
    )


if __name__ == "__main__":
    sys.exit(main())
