"""A series of pairs: complete, balanced by chance, and the same again from the same seed."""

from __future__ import annotations

from collections import Counter

from loadbench.load_paths import LoadPath
from loadbench.run.series import plan_series

LOAD_PATHS: tuple[LoadPath, ...] = ("standard", "fast")


def test_every_pair_has_each_path_once_and_side_by_side() -> None:
    slots = plan_series(7, seed=3, load_paths=LOAD_PATHS)
    assert [slot.index for slot in slots] == [index for index in range(7) for _ in LOAD_PATHS]
    for index in range(7):
        assert {slot.path for slot in slots if slot.index == index} == set(LOAD_PATHS)


def test_the_order_comes_from_the_seed_alone() -> None:
    assert plan_series(20, seed=1, load_paths=LOAD_PATHS) == plan_series(20, seed=1, load_paths=LOAD_PATHS)
    assert plan_series(20, seed=1, load_paths=LOAD_PATHS) != plan_series(20, seed=2, load_paths=LOAD_PATHS)


def test_a_longer_series_starts_like_the_shorter_one() -> None:
    assert plan_series(9, seed=5, load_paths=LOAD_PATHS)[:8] == plan_series(4, seed=5, load_paths=LOAD_PATHS)


def test_neither_path_goes_first_always() -> None:
    first = Counter(
        slot.path for slot in plan_series(200, seed=0, load_paths=LOAD_PATHS) if slot.position == 0
    )
    assert min(first[path] for path in LOAD_PATHS) > 60
