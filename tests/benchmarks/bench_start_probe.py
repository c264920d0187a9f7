"""What the start probe costs: python -m tests.benchmarks.bench_start_probe [MODULE]

A comparison of whole starts cannot show 1 % on a busy machine. So the probe's own work is timed: its begin
in a new Python, as Python itself reports it, and its answer to one import; and compared with the processor
time of importing a heavy module, which has some thousand imports. Of repeated times the shortest counts: what
makes the others longer is not the probe's work.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import timeit
from pathlib import Path
from typing import Any

from loadbench.run.start_probe import delivery

PROBE = Path(delivery.__file__).with_name("sitecustomize.py")
STARTS = 15
CALLS = 100_000
# -X importtime: self [us] | cumulative | imported package
_BEGIN = re.compile(r"import time: +\d+ \| +(?P<microseconds>\d+) \| +sitecustomize$", re.MULTILINE)
_COUNTING = "import resource, sys; import {}; t = resource.getrusage(0); print(len(sys.modules), t[0] + t[1])"


def main(module: str) -> None:
    """Print the probe's work in one process, and its share of importing the module."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(PROBE, folder)
        begin_s = min(_begin_s(folder) for _ in range(STARTS))
    finder = _finder()
    # Each import asks the probe once; an optional one that is missing asks it, too.
    answer_s = min(timeit.repeat(lambda: finder.find_spec("a.module"), number=CALLS, repeat=5)) / CALLS
    words = _python("-c", _COUNTING.format(module)).stdout.split()
    imports, cpu_s = int(words[0]), float(words[1])
    cost_s = begin_s + 2 * imports * answer_s
    print(f"begin in a new Python: {1000 * begin_s:.2f} ms; answer to one import: {1e9 * answer_s:.0f} ns")
    print(f"import {module}: {cpu_s:.2f} s of processor time, {imports:,} modules")
    print(f"the probe's work, two answers a module: {1000 * cost_s:.2f} ms, {100 * cost_s / cpu_s:.2f} %")


def _begin_s(folder: str) -> float:
    found = _BEGIN.search(_python("-X", "importtime", "-c", "pass", PYTHONPATH=folder).stderr)
    assert found, "Python did not import the probe"
    return float(found["microseconds"]) / 1e6


def _finder() -> Any:
    spec = importlib.util.spec_from_file_location("the_probe", PROBE)
    assert spec is not None
    assert spec.loader is not None
    probe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(probe)
    return probe._Finder()


def _python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
        text=True,
    )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "torch")
