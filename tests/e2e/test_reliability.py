"""Twelve runs of the series in tests/reliability, interrupted at the same moments: nothing is left."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.reliability.interruptions import DECK, draw
from tests.reliability.series import run_cases

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

SEED = 3


def test_twelve_interrupted_runs_leave_nothing_behind(tmp_path: Path) -> None:
    cases = [draw(SEED, number, ["standard", "fast"]) for number in range(len(DECK))]
    assert {case.kind for case in cases} == set(DECK)
    outcomes = run_cases(cases, tmp_path, parallel=2)
    assert not [outcome.line() for outcome in outcomes if outcome.broken]
