"""Types of options that several commands use."""

from __future__ import annotations

import click
import pytest

from loadbench.cli.options import Duration


@pytest.mark.parametrize(("text", "seconds"), [("90m", 5400), ("4h", 14400), ("1.5d", 129600), ("0h", 0)])
def test_a_duration_is_read_in_seconds(text: str, seconds: float) -> None:
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "4", "h", "-1h", "4 hours", "1w"])
def test_an_invalid_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(click.BadParameter, match="90m, 12h or 7d"):
        Duration().convert(text, None, None)
