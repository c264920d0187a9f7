"""Locks between processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from loadbench.file_lock import is_locked, locked


@pytest.fixture(params=["file", "folder"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path if request.param == "folder" else tmp_path / "lock"


def test_a_lock_is_held_until_its_block_ends(path: Path) -> None:
    with locked(path):
        assert is_locked(path)
        with pytest.raises(BlockingIOError), locked(path, wait=False):
            pass
    assert not is_locked(path)
    with locked(path, wait=False):
        pass


def test_a_child_that_inherits_the_descriptor_keeps_the_lock(path: Path) -> None:
    with locked(path) as descriptor:
        child = subprocess.Popen(
            [sys.executable, "-c", "input()"],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=(descriptor,),
        )
    assert is_locked(path)
    child.communicate()
    assert not is_locked(path)
