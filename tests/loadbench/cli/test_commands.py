"""Advice names what can be typed in the folder at hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadbench.cli.verbs import typed_here


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Run `make destroy` again in a minute.", "Run `loadbench destroy` again in a minute."),
        (
            "Start one with make fast, or make scale-out",
            "Start one with loadbench run fast, or loadbench scale-out",
        ),
        ("Point it at a file, make it smaller; make sure", "Point it at a file, make it smaller; make sure"),
        ("make destroyers, remake destroy", "make destroyers, remake destroy"),
    ],
)
def test_without_a_makefile_a_verb_is_a_command(text: str, expected: str, tmp_path: Path) -> None:
    assert typed_here(text, tmp_path) == expected
    (tmp_path / "Makefile").touch()
    assert typed_here(text, tmp_path) == text
