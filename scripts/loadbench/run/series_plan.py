"""The order of the runs of a series: interleaved pairs, drawn from a seed (docs/method.md, rule 1)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from loadbench.load_paths import LoadPath


@dataclass(frozen=True)
class Slot:
    """One run of a series: its pair, its position in it, its load path."""

    index: int
    position: int
    path: LoadPath


def plan_series(pairs: int, seed: int, load_paths: Sequence[LoadPath]) -> list[Slot]:
    """The order of all runs; the first load path of each pair is drawn with the recorded seed."""
    draw = random.Random(seed)  # noqa: S311 - not used for security
    slots = []
    for index in range(pairs):
        order = list(load_paths)
        draw.shuffle(order)
        slots += [Slot(index, position, path) for position, path in enumerate(order)]
    return slots
