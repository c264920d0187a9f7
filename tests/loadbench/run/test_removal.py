"""Ages as people write them."""

from __future__ import annotations

import pytest

from loadbench.errors import UsageError
from loadbench.run.removal import parse_age


@pytest.mark.parametrize(("text", "seconds"), [("90m", 5400), ("4h", 14400), ("1.5d", 129600), ("0h", 0)])
def test_an_age_is_read_in_seconds(text: str, seconds: float) -> None:
    assert parse_age(text) == seconds


@pytest.mark.parametrize("text", ["", "4", "h", "-1h", "4 hours", "1w"])
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_age(text)
    assert "4h" in caught.value.remedy
