"""How long ten thousand records take to list and compare: python -m tests.benchmarks.bench_records [PAIRS]"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from loadbench.results.comparison.compare import compare_points
from loadbench.results.run_index import list_summaries
from loadbench.results.run_record import Pair, load_record, record_file, save_record
from tests.loadbench.results.builders import EPOCH_S, make_record


def main(pairs: int) -> None:
    """Make the records, then list them without an index, with one, and compare them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for index in range(pairs):
            pair = Pair(series_id="s", index=index, position=0, seed=0)
            save_record(folder, make_record("standard", ready_s=632 + index % 7, number=index, pair=pair))
            save_record(folder, make_record("fast", ready_s=450 + index % 5, number=index, pair=pair))
        for label in ("list, no index yet", "list, indexed"):
            start_s = time.perf_counter()
            points = list_summaries(folder).points
            print(f"{label:20} {time.perf_counter() - start_s:6.2f} s  {len(points):,} records")
        start_s = time.perf_counter()
        comparison = compare_points(
            points, record_of=lambda run_id: load_record(record_file(folder, run_id)), created_s=EPOCH_S
        )
        print(f"{'compare':20} {time.perf_counter() - start_s:6.2f} s  {comparison.verdict.sentence}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5_000)
