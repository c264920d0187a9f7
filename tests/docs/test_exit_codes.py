"""What the README says of exit codes holds for the Makefile: make hides the command's own and prints it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def stub(folder: Path, exit_code: int) -> None:
    """A checkout whose `loadbench` only ends with a code."""
    shutil.copy(ROOT / "Makefile", folder)
    binary = folder / ".venv" / "bin" / "loadbench"
    binary.parent.mkdir(parents=True)
    binary.write_text(f'#!/bin/sh\necho "called with: $*"\nexit {exit_code}\n')
    binary.chmod(0o755)


@pytest.mark.parametrize(("exit_code", "of_make"), [(0, 0), (1, 2), (2, 2), (3, 2), (130, 2)])
def test_make_ends_with_2_for_every_failure_and_prints_the_code(
    tmp_path: Path, exit_code: int, of_make: int
) -> None:
    stub(tmp_path, exit_code)
    # Nothing but the command is installed: no set-up comes between a user and the removal.
    done = subprocess.run(
        ["make", "destroy", "ARGS=--yes"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "called with: destroy --yes" in done.stdout
    assert done.returncode == of_make
    assert (f"Error {exit_code}" in done.stderr) == (exit_code != 0)


def test_the_troubleshooting_page_says_so() -> None:
    text = " ".join((ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8").split())
    assert (
        "`make` ends with 2 whenever its command fails, and prints the command's own code (`Error 3`)" in text
    )
