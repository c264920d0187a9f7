"""Advice names what can be typed in the folder at hand."""

from __future__ import annotations

import shlex
from pathlib import Path

import click
import pytest

from loadbench.cli import cli
from loadbench.commands_in_messages import as_make, typed_here


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
        ("settle it: make compare PAIRS=5", "settle it: loadbench compare --pairs 5"),
        ("Run make scale-out PAIRS=5.", "Run loadbench scale-out --repeat 5."),
        (
            "make compare PAIRS=9 PATHS=standard,streamer CONFIG=my.yaml TARGET=aws",
            "loadbench compare --pairs 9 --paths standard,streamer --config my.yaml --target aws",
        ),
        (
            'run make compare ARGS="--set benchmark.like_for_like=true".',
            "run loadbench compare --set benchmark.like_for_like=true.",
        ),
        ("`make setup YES=1` fetches it", "`loadbench setup --yes` fetches it"),
    ],
)
def test_without_a_makefile_a_target_is_a_command(text: str, expected: str, tmp_path: Path) -> None:
    assert typed_here(text, tmp_path) == expected
    (tmp_path / "Makefile").touch()
    assert typed_here(text, tmp_path) == text


@pytest.mark.parametrize(
    "words",
    [
        ["loadbench", "compare", "--pairs", "5", "--config", "my.yaml", "--resume"],
        ["loadbench", "compare", "--set", "benchmark.seed=3", "--resume"],
    ],
)
def test_a_command_line_converts_to_make_and_back(words: list[str], tmp_path: Path) -> None:
    assert shlex.split(typed_here(as_make(words), tmp_path)) == words


@pytest.mark.parametrize(
    "text",
    [
        "make compare PAIRS=9 PATHS=standard,streamer CONFIG=my.yaml TARGET=aws",
        "make scale-out PAIRS=5",
        "make setup YES=1",
    ],
)
def test_the_command_has_the_options_that_it_is_given(text: str, tmp_path: Path) -> None:
    _, name, *words = shlex.split(typed_here(text, tmp_path))
    command = cli.commands[name]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known
    assert isinstance(command, click.Command)
