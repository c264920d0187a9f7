"""Runs that `loadbench predict --check` is validated on: `python -m tests.benchmarks.prediction_runs`.

Each cell is one `loadbench compare` of three loading methods on the embedded AWS: 22 cells, 66 cold starts,
one after the other, over models, network shapings, simulated pulls and instance types. A cell that is done is
not repeated, so an interrupted call continues. A quiet machine needs about 25 minutes; on a shared one the
records hold what the others do as noise.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from loadbench.run.models.synthetic import Shape, generate

ROOT = Path(__file__).resolve().parents[2]
PATHS = "standard,fast,streamer"
_SMALL = "HuggingFaceTB/SmolLM2-135M-Instruct"
# Untied vocabularies of 32,000, so that most bytes are in layers: 0.13 and 0.55 GB.
_SHAPES = (
    Shape("llama-65m", 512, 1408, 10, 8, 8, 32000, tied_embeddings=False),
    Shape("llama-275m", 1024, 2816, 16, 16, 16, 32000, tied_embeddings=False),
)


@dataclass(frozen=True)
class Cell:
    """One comparison: a model, and settings of the embedded AWS."""

    model: str
    instance_mb_per_s: float | None = None
    connection_mb_per_s: float = 90
    first_byte_delay_s: float = 0.02
    provision_s: float = 0
    image_pull_s: float = 0
    instance_type: str = "ml.g5.2xlarge"
    repeat: int = field(default=0, compare=True)

    def options(self, home: Path) -> list[str]:
        """Options of the command line."""
        rate = "null" if self.instance_mb_per_s is None else f"{self.instance_mb_per_s}e+6"
        made = home / "models" / self.model
        return [
            *("--model", str(made) if made.is_dir() else self.model, "--instance-type", self.instance_type),
            *("--set", f"local.network.connection_bytes_per_s={self.connection_mb_per_s}e+6"),
            *("--set", f"local.network.instance_bytes_per_s={rate}"),
            *("--set", f"local.network.first_byte_delay_s={self.first_byte_delay_s}"),
            *("--set", f"local.provision_s={self.provision_s}"),
            *("--set", f"local.image_pull_s={self.image_pull_s}"),
        ]


CELLS = (
    *(Cell("synthetic:llama-tiny", rate) for rate in (40, None)),
    *(Cell("llama-65m", rate) for rate in (10, 20, 40, None)),
    *(Cell(_SMALL, rate) for rate in (20, 40, 100, None)),
    *(Cell("llama-275m", rate) for rate in (40, 100, 250, None)),
    Cell(_SMALL, None, connection_mb_per_s=5),
    Cell("llama-275m", None, connection_mb_per_s=10),
    Cell("llama-65m", 40, first_byte_delay_s=0.3),
    Cell("llama-65m", 40, provision_s=2, image_pull_s=4),
    Cell(_SMALL, 40, image_pull_s=12),
    Cell("llama-275m", 100, provision_s=3, image_pull_s=3),
    Cell(_SMALL, None, instance_type="ml.g5.4xlarge"),
    Cell("llama-275m", None, instance_type="ml.g5.xlarge"),
)


def make_models(home: Path) -> None:
    """The checkpoints that no name of the benchmark's own stands for."""
    for shape in _SHAPES:
        folder = home / "models" / shape.name
        if not (folder / "config.json").is_file():
            folder.mkdir(parents=True, exist_ok=True)
            generate(shape, folder, lambda progress: None)


def run_cell(cell: Cell, home: Path) -> bool:
    """One comparison; False, with its last lines on the terminal, where it fails."""
    command = [
        *(sys.executable, "-c", "from loadbench.cli import main; main()"),
        *("compare", "--quiet", "--paths", PATHS, "--pairs", "1", *cell.options(home)),
        *("--set", "benchmark.warm_invocations=0", "--set", "benchmark.expected_words=[]"),
        *("--set", "fast_model_loading_info.sample_input.parameters.max_new_tokens=2"),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(f"exit code {done.returncode}:\n{done.stderr[-1500:]}", flush=True)
    return done.returncode == 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is missing; exit code 1 where a cell failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--home", type=Path, required=True, help="folder for results, state and models")
    parser.add_argument("--seed", type=int, default=19, help="draws the order of the cells (default 19)")
    options = parser.parse_args(arguments)
    home = options.home.resolve()
    home.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "config.yaml", home)
    make_models(home)
    order = list(CELLS)
    random.Random(options.seed).shuffle(order)
    log = home / "cells.jsonl"
    done = {json.loads(line)["cell"] for line in log.read_text().splitlines()} if log.is_file() else set()
    failed = 0
    for number, cell in enumerate(order, 1):
        if str(cell) in done:
            continue
        started_s = time.monotonic()
        ok = run_cell(cell, home)
        seconds = time.monotonic() - started_s
        print(
            f"{number} of {len(order)}: {cell}: {'done' if ok else 'FAILED'} in {seconds:.0f} s", flush=True
        )
        failed += not ok
        if ok:
            with log.open("a") as file:
                file.write(json.dumps({"cell": str(cell), "seconds": round(seconds, 1)}) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
