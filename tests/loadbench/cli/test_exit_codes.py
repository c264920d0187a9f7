"""Every exit code that docs/troubleshooting.md lists is provoked by a command."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from loadbench.results.run_record import save_record
from tests.loadbench.cli.test_cli import ROOT, loadbench
from tests.loadbench.results.builders import make_pairs, make_record

STUB = """
import loadbench.cli as c
@c.cli.command()
def stub():
    {body}
c.main()
"""


def stubbed(body: str, home: Path) -> subprocess.CompletedProcess[str]:
    """`loadbench stub`, whose command does what a real one does only after minutes."""
    return subprocess.run(
        [sys.executable, "-c", STUB.format(body=body), "stub"],
        cwd=home,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def nothing_recorded(home: Path) -> subprocess.CompletedProcess[str]:
    return loadbench("list", home=home)


def one_side_failed(home: Path) -> subprocess.CompletedProcess[str]:
    for record in (make_record("standard"), make_record("fast", status="failed")):
        save_record(home / "results", record)
    names = [file.parent.name for file in (home / "results").glob("*/run.json")]
    return loadbench("compare", *names, home=home)


def slower_than_the_limit(home: Path) -> subprocess.CompletedProcess[str]:
    for record in make_pairs([0.8, 0.81, 0.79, 0.8]):
        save_record(home / "results", record)
    names = [file.parent.name for file in (home / "results").glob("*/run.json")]
    return loadbench("compare", *names, "--fail-if-slower-than", "1.05", home=home)


def one_run_and_a_limit(home: Path) -> subprocess.CompletedProcess[str]:
    for record in make_pairs([0.8]):
        save_record(home / "results", record)
    names = [file.parent.name for file in (home / "results").glob("*/run.json")]
    return loadbench("compare", *names, "--fail-if-slower-than", "1.05", home=home)


def mistyped(home: Path) -> subprocess.CompletedProcess[str]:
    return loadbench("compair", home=home)


def something_left(home: Path) -> subprocess.CompletedProcess[str]:
    raised = "from loadbench.errors import LeftoverError; raise LeftoverError('1 endpoint still exists')"
    return stubbed(raised, home)


def interrupted(home: Path) -> subprocess.CompletedProcess[str]:
    return stubbed("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", home)


CASES: list[tuple[int, Callable[[Path], subprocess.CompletedProcess[str]]]] = [
    (0, nothing_recorded),
    (1, one_side_failed),
    (1, slower_than_the_limit),
    (2, one_run_and_a_limit),
    (2, mistyped),
    (3, something_left),
    (130, interrupted),
]


@pytest.mark.parametrize(("code", "provoke"), CASES, ids=[case.__name__ for _, case in CASES])
def test_a_command_ends_with_the_documented_code(
    code: int, provoke: Callable[[Path], subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    done = provoke(tmp_path)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr


def test_every_documented_code_is_provoked() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)} == {
        code for code, _ in CASES
    }
