"""Runs interrupted at random moments, removed as a user would, and looked at without trusting the tool.

`python -m tests.reliability.series --runs 100 --seed 1`; `--only K` repeats run K of a seed.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import platform
import queue
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.reliability import promises
from tests.reliability.home import ROOT, Home
from tests.reliability.interruptions import Case, draw, strike

_RUN_TIMEOUT_S = 400.0
_MEASURE_EVERY = 7  # a machine that others use is not always as fast


@dataclasses.dataclass
class Outcome:
    """What became of one run."""

    case: Case
    run_id: str | None
    struck_at_s: float | None
    doing: str
    exit_code: int
    run_s: float
    destroy_s: float
    broken: list[str]

    def line(self) -> str:
        """One line for people."""
        when = f"at {self.struck_at_s:.1f} s ({self.doing})" if self.struck_at_s is not None else "not struck"
        when = "set before" if self.case.fault else when
        fresh = f", {self.case.fresh} fresh" if self.case.fresh else ""
        reported = "kept" if not self.broken else "BROKEN: " + "; ".join(self.broken)
        return (
            f"{self.case.number:4d} {self.case.label}, {self.case.path}{fresh}, {when}: "
            f"exit {self.exit_code} after {self.run_s:.1f} s, destroy {self.destroy_s:.1f} s: {reported}"
        )


class RunContext:
    """One home with a model and shards in place, in which one case after the other is run."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self._typical_s = 0.0
        self._deployed_s = 0.0
        self._runs = 0
        self._job_s = 0.0

    def measure(self) -> None:
        """One whole run tells how long a run takes now; the first one brings the model and the shards."""
        self.home.prepare()
        typed = self.home.type("measured", "run", "fast")
        code = self.home.finish(typed, _RUN_TIMEOUT_S)
        if code != 0:
            raise SystemExit(f"a run that nobody interrupted failed:\n{typed.words()}")
        self._runs = 0
        whole_s = typed.seconds()
        newest = max((self.home.folder / "results").glob("*-fast-*"))
        seconds = {
            step.name: step.end_s - step.start_s
            for step in promises.load(self.home, newest.name).steps
            if step.end_s is not None
        }
        self._job_s = self._job_s or seconds["optimization"]
        self._typical_s = whole_s - seconds["optimization"]
        self._deployed_s = self._typical_s - seconds["testing"]
        self.home.finish(self.home.type("measured-destroy", "destroy"), _RUN_TIMEOUT_S)

    def typical_s(self, case: Case) -> float:
        """How long such a run takes when nobody interrupts it; for Terraform, until that has ended."""
        whole_s = self._deployed_s if case.kind == "kill -9 Terraform" else self._typical_s
        return whole_s + (self._job_s if case.fresh and case.path == "fast" else 0.0)

    def run(self, case: Case) -> Outcome:
        """Run, interrupt, remove, look."""
        home = self.home
        if self._runs == _MEASURE_EVERY:
            self.measure()
        self._runs += 1
        if case.fresh:
            home.remove_stored(case.fresh)
        before, shards = home.results(), home.shards()
        typed = home.type(str(case.number), *case.arguments(), on_terminal=case.kind == "terminal closed")
        struck = strike(case, home, typed, self.typical_s(case))
        exit_code = home.finish(typed, _RUN_TIMEOUT_S)
        run_s = typed.seconds()
        new = self._new_result(before)
        broken = promises.of_the_run(case, home, struck, exit_code, typed.words(), new)
        broken += self._remove_on_damaged_disk(case)
        codes, words, started_s = [], [], time.monotonic()
        for turn in range(case.destroys):
            removal = home.type(f"{case.number}-destroy-{turn}", "destroy")
            codes.append(home.finish(removal, _RUN_TIMEOUT_S))
            words.append(removal.words())
        destroy_s = (time.monotonic() - started_s) / case.destroys
        broken += promises.of_the_removal(home, codes, words, before, shards, new)
        run_id = new.name if new else None
        return Outcome(case, run_id, struck.at_s, struck.doing, exit_code, run_s, destroy_s, broken)

    def _remove_on_damaged_disk(self, case: Case) -> list[str]:
        """Damage the state; with a full disk, remove before there is room again. Gives broken promises."""
        if case.kind == "state damaged":
            self.home.damage_states(random.Random(case.place))
        if case.kind != "disk full":
            return []
        removal = self.home.type(f"{case.number}-destroy-full", "destroy")
        code = self.home.finish(removal, _RUN_TIMEOUT_S)
        self.home.free_disk()
        return promises.of_a_removal_on_a_full_disk(self.home, code, removal.words())

    def end(self) -> None:
        """Stop the embedded AWS."""
        self.home.finish(self.home.type("down", "local", "down"), _RUN_TIMEOUT_S)
        self.home.unmount()

    def _new_result(self, before: Iterable[str]) -> Path | None:
        known = {name.split("/")[1] for name in before}
        folders = [
            path
            for path in (self.home.folder / "results").glob("*")
            if path.is_dir() and path.name not in known
        ]
        return folders[0] if folders else None


def run_cases(cases: Sequence[Case], folder: Path, parallel: int) -> list[Outcome]:
    """Every case, in as many homes as run side by side; each outcome is printed as it comes."""
    benches: queue.SimpleQueue[RunContext] = queue.SimpleQueue()
    made = [RunContext(Home(folder / f"home-{index}")) for index in range(parallel)]
    started_s = time.monotonic()

    def one(case: Case) -> Outcome:
        context = benches.get()
        try:
            outcome = context.run(case)
        finally:
            benches.put(context)
        print(outcome.line(), flush=True)
        return outcome

    try:
        with ThreadPoolExecutor(parallel) as pool:
            for context in made:
                benches.put(context)
            list(pool.map(RunContext.measure, made))
            print(f"model and shards in place after {time.monotonic() - started_s:.0f} s", flush=True)
            return list(pool.map(one, cases))
    finally:
        for context in made:
            context.end()


def table(outcomes: Sequence[Outcome]) -> str:
    """Counts by kind of interruption, as a Markdown table."""
    lines = [
        "| interruption | runs | interrupted | exit codes | resources left | other violations | destroy |",
        "|---|---|---|---|---|---|---|",
    ]
    for label in sorted({outcome.case.label for outcome in outcomes}):
        lines.append(_row(label, [outcome for outcome in outcomes if outcome.case.label == label]))
    lines.append(_row("**all**", outcomes))
    return "\n".join(lines)


def _row(label: str, outcomes: Sequence[Outcome]) -> str:
    struck = sum(outcome.struck_at_s is not None or outcome.case.fault is not None for outcome in outcomes)
    codes = sorted({outcome.exit_code for outcome in outcomes})
    counted = ", ".join(f"{code} ×{sum(o.exit_code == code for o in outcomes)}" for code in codes)
    left = sum(any(text.startswith("left: ") for text in outcome.broken) for outcome in outcomes)
    other = sum(any(not text.startswith("left: ") for text in outcome.broken) for outcome in outcomes)
    median_s = statistics.median(outcome.destroy_s for outcome in outcomes)
    return f"| {label} | {len(outcomes)} | {struck} | {counted} | {left} | {other} | {median_s:.1f} s |"


def _revision() -> str:
    with contextlib.suppress(OSError):
        done = subprocess.run(
            ["git", "-C", str(ROOT), "describe", "--always", "--dirty"],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout.strip()
    return "unknown"


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when every promise was kept, 1 otherwise."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--paths", default="standard,fast", help="comma-separated")
    parser.add_argument("--only", type=int, action="append", metavar="K", help="only run K; repeatable")
    parser.add_argument("--parallel", type=int, default=1, help="homes side by side")
    parser.add_argument("--folder", type=Path, help="where the homes go (default: a new temporary folder)")
    parser.add_argument("--output", type=Path, help="the JSON file (default: series.json in the folder)")
    options = parser.parse_args(arguments)
    folder = (options.folder or Path(tempfile.mkdtemp(prefix="reliability-"))).resolve()
    numbers = options.only or range(options.runs)
    cases = [draw(options.seed, number, options.paths.split(",")) for number in numbers]
    for name in (
        signal.SIGINT,
        signal.SIGHUP,
    ):  # children must not inherit that a job in the background ignores them
        signal.signal(name, signal.default_int_handler)
    started_s = time.time()
    outcomes = run_cases(cases, folder, options.parallel)
    document: dict[str, Any] = {
        "seed": options.seed,
        "revision": _revision(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
        "seconds": round(time.time() - started_s, 1),
        "runs": [dataclasses.asdict(outcome) for outcome in outcomes],
    }
    output = options.output or folder / "series.json"
    output.write_text(json.dumps(document, indent=1, ensure_ascii=False), encoding="utf-8")
    print(f"\n{table(outcomes)}\n")
    broken = [outcome for outcome in outcomes if outcome.broken]
    for outcome in broken:
        again = f"--seed {options.seed} --paths {options.paths} --only {outcome.case.number}"
        print(f"{outcome.line()}\n     again: python -m tests.reliability.series {again}")
    print(
        f"{len(outcomes)} runs in {document['seconds']:.0f} s, seed {options.seed}: "
        f"{len(broken)} with a broken promise; {output}"
    )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
