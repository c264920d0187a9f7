"""One run of each kind of the series in tests/reliability, interrupted at the same moments."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.reliability.interruptions import DECK, draw
from tests.reliability.series import run_cases

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

SEED = 3


@pytest.mark.parametrize("first", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_interrupted_runs_leave_nothing_behind(tmp_path: Path, first: int) -> None:
    numbers = range(first, len(DECK) if first else 2)
    outcomes = run_cases(
        [draw(SEED, number, ["standard", "fast"]) for number in numbers], tmp_path, parallel=2
    )
    assert len(outcomes) == len(numbers)
    assert not [outcome.line() for outcome in outcomes if outcome.broken]


def test_a_deck_has_every_kind_of_interruption_once() -> None:
    assert {draw(SEED, number, ["standard", "fast"]).kind for number in range(len(DECK))} == set(DECK)
