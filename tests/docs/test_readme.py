"""Every command of README.md is run by a test, or is at least one that exists; a new one must be placed."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from loadbench.cli import cli
from tests.docs.readme import (
    EXECUTED,
    EXECUTED_ELSEWHERE,
    PARSED,
    README,
    ROOT,
    inline_commands,
    shell_commands,
)

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z][a-z0-9-]*):", MAKEFILE, re.MULTILINE))
VARIABLES = set(re.findall(r"\$\((?:if \$\()?([A-Z_]+)\)", MAKEFILE)) | {"PYTHON", "CHROMIUM"}
INLINE = [(page, command) for page in PAGES for command in inline_commands(page)]
INLINE += [
    (page, command)
    for page in PAGES
    if page != README
    for command in shell_commands(page)
    if command.startswith(("make ", "loadbench "))
]


def test_every_shell_command_has_its_place() -> None:
    placed = {*EXECUTED, *EXECUTED_ELSEWHERE, *PARSED}
    found = set(shell_commands(README))
    assert found - placed == set(), "put it into tests/docs/readme.py"
    assert placed - found == set(), "README.md has it no more"
    assert len(placed) == len(EXECUTED) + len(EXECUTED_ELSEWHERE) + len(PARSED), (
        "a command stands in two places"
    )


@pytest.mark.parametrize("command", shell_commands(README))
def test_a_command_names_what_exists(command: str) -> None:
    check(command)


@pytest.mark.parametrize(
    ("page", "command"), INLINE, ids=[f"{page.name}: {command}" for page, command in INLINE]
)
def test_a_command_on_any_page_names_what_exists(page: Path, command: str) -> None:
    check(command)


@pytest.mark.parametrize("command", list(EXECUTED_ELSEWHERE))
def test_what_another_test_runs_is_the_same_command(command: str) -> None:
    """The verb's own line in the Makefile is the call that the other test makes."""
    file, arguments = EXECUTED_ELSEWHERE[command]
    reported = subprocess.run(
        ["make", "-n", "-o", ".loadbench/ready", *shlex.split(command)[1:]],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert shlex.split(reported) == [".venv/bin/loadbench", *arguments]
    assert arguments in set(calls_in(ROOT / file))


def calls_in(file: Path) -> Iterator[tuple[str, ...]]:
    """The arguments of every `….loadbench(…)` in a test file that are plain words."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "loadbench"
        ):
            words = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
            if len(words) == len(node.args):
                yield tuple(str(word) for word in words)


def check(command: str) -> None:
    """Fails for a target, verb, option or file that does not exist."""
    if inner := re.fullmatch(r'eval "\$\((.*)\)"', command):
        return check(inner[1])
    for part in re.split(r"\s(?:\||&&)\s", command):
        words = shlex.split(re.sub(r"[…<>]", "_", part))
        if words[0] == "make":
            check_make(words[1:])
        elif words[0] == "loadbench":
            check_verb(cli, words[1:])
        elif words[0] == "cp":
            assert (ROOT / words[1]).is_file(), words[1]
        elif words[0] == "source":
            assert words[1] == ".venv/bin/activate"
        else:
            assert words[0] in ("aws", "python", "pip", "cd", "export", "vllm"), f"no way to check {part!r}"
    return None


def check_make(words: list[str]) -> None:
    for word in words:
        name, given, value = word.partition("=")
        if given:
            assert name in VARIABLES, f"the Makefile knows no {name}"
            if name == "ARGS" and not value.startswith("-"):
                raise AssertionError(f"{word}: not options")
        else:
            assert word in TARGETS, f"the Makefile has no {word}"


def check_verb(group: click.Command, words: list[str]) -> None:
    while isinstance(group, click.Group) and words and not words[0].startswith("-"):
        assert words[0] in group.commands, f"there is no verb {words[0]}"
        group, words = group.commands[words[0]], words[1:]
    options = {name for parameter in group.params for name in (*parameter.opts, *parameter.secondary_opts)}
    options |= {"-h", "--help"}
    for word in words:
        if word.startswith("-") and word != "--":
            assert word.partition("=")[0] in options, f"{group.name} has no {word}"
