"""A disk that would end a run is found before the run, with what to do about it."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from loadbench.run.preflight import disk
from loadbench.run.preflight.check_result import Check

NOTHING = cast("Any", None)  # the check looks at the folder alone


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB; mounting one takes root."""
    mount = ("mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(tmp_path))
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a file system")
    yield tmp_path
    subprocess.run(("umount", "--lazy", str(tmp_path)), check=True)


def checked() -> list[Check]:
    return list(disk.writable(NOTHING))


def test_a_folder_with_room_is_fine_and_nothing_is_made_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert [check.status for check in checked()] == ["ok"]
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_found(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(small_disk)
    assert checked()[0].status == "ok"
    (small_disk / "filler").write_bytes(bytes(3 << 19))
    first, *_ = checked()
    assert first.status == "failure"
    assert "Free space" in first.remedy


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EROFS, "read-only"),
        (errno.EACCES, "permission"),
        (errno.EDQUOT, "quota"),
        (errno.ENOSPC, "Free space"),
    ],
)
def test_each_cause_has_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, remedy: str
) -> None:
    def refused(**_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "TemporaryFile", refused)
    first, *_ = checked()
    assert (first.name, first.status) == ("disk", "failure")
    assert remedy in first.remedy


def test_a_file_in_the_place_of_a_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").touch()
    assert [check.status for check in checked()] == ["failure"]
