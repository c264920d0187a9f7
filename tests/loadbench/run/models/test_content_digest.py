"""The digest of a model tells any two contents apart, and costs nothing while no file changes."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from loadbench.errors import RunError
from loadbench.progress import Progress, ignore_progress
from loadbench.run.models import content_digest as content_digest_module
from loadbench.run.models import synthetic
from loadbench.run.models.checkpoint import Checkpoint, inspect_checkpoint, stored_weights
from loadbench.run.models.content_digest import content_digest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "model"
    made.mkdir()
    synthetic.generate(synthetic.SHAPES["llama-tiny"], made, ignore_progress)
    return made


def digest(folder: Path, cache: Path) -> str:
    return content_digest(inspect_checkpoint(folder), cache)


def checkpoint_of(folder: Path) -> Checkpoint:
    """The weights alone, whatever their header says."""
    path = folder / "model.safetensors"
    return Checkpoint(folder, (path,), path.stat().st_size, stored_weights([]))


def settle(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the files be old: their time of change cannot be set, but the clock they are compared with can."""
    newest_ns = max(path.stat().st_ctime_ns for path in folder.iterdir())
    monkeypatch.setattr(time, "time_ns", lambda: newest_ns + 10 * 10**9)


def unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> bytes:
        raise OSError("the file is read")

    monkeypatch.setattr(os, "pread", refuse)


def test_the_digest_changes_with_a_byte_a_name_and_a_file(folder: Path, tmp_path: Path) -> None:
    seen = {digest(folder, tmp_path / "cache")}
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    seen.add(digest(folder, tmp_path / "cache"))
    (folder / "notes.txt").write_text("x")
    seen.add(digest(folder, tmp_path / "cache"))
    (folder / "notes.txt").rename(folder / "remarks.txt")
    seen.add(digest(folder, tmp_path / "cache"))
    assert len(seen) == 4


def test_the_digest_does_not_depend_on_the_folder(folder: Path, tmp_path: Path) -> None:
    before = digest(folder, tmp_path / "cache")
    moved = folder.rename(tmp_path / "elsewhere")
    assert digest(moved, tmp_path / "cache") == before


def test_a_file_that_did_not_change_is_not_read_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(folder, monkeypatch)
    before = digest(folder, tmp_path / "cache")
    unreadable(monkeypatch)
    assert digest(folder, tmp_path / "cache") == before
    with pytest.raises(OSError, match="read"):
        digest(folder, tmp_path / "another cache")


def overwritten(file: Path, content: bytes) -> None:
    file.write_bytes(content)


def replaced(file: Path, content: bytes) -> None:
    other = file.with_name("other")
    other.write_bytes(content)
    other.replace(file)


@pytest.mark.parametrize("change", [overwritten, replaced])
def test_other_weights_of_the_same_size_and_time_are_other_weights(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path, bytes], None]
) -> None:
    """Two fine-tunes where every file's time is fixed: container layers, `cp -p`, the Nix store."""
    weights = folder / "model.safetensors"
    os.utime(weights, (1, 1))
    settle(folder, monkeypatch)
    before = digest(folder, tmp_path / "cache")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    change(weights, bytes(content))
    os.utime(weights, (1, 1))
    assert digest(folder, tmp_path / "cache") != before


def test_a_file_written_just_now_is_read_again(folder: Path, tmp_path: Path) -> None:
    """It may be written once more within the same tick of the file system's clock."""
    digest(folder, tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.json"))


def test_a_file_that_changes_while_it_is_read_is_refused(folder: Path, tmp_path: Path) -> None:
    def change(_: Progress) -> None:
        (folder / "model.safetensors").touch()

    with pytest.raises(RunError, match="changed while it was read"):
        content_digest(inspect_checkpoint(folder), tmp_path, change)


def test_a_large_file_is_the_digest_of_its_pieces(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content_digest_module, "_PIECE_BYTES", 4096)
    monkeypatch.setattr(content_digest_module, "_READ_BYTES", 1000)
    reported: list[Progress] = []
    seen = set()
    size_bytes = (folder / "model.safetensors").stat().st_size
    for position in (0, 4095, 4096, 8191, size_bytes - 1):
        content = bytearray((folder / "model.safetensors").read_bytes())
        content[position] ^= 255
        if position:  # the header's length stays
            (folder / "model.safetensors").write_bytes(content)
        reported.clear()
        seen.add(content_digest(checkpoint_of(folder), tmp_path, reported.append))
        assert reported[-1].done == reported[-1].total
    assert len(seen) == 5


def test_a_digest_cache_that_was_cut_short_is_made_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(folder, monkeypatch)
    before = digest(folder, tmp_path / "cache")
    (cache_file,) = (tmp_path / "cache" / "digests").iterdir()
    cache_file.write_text(cache_file.read_text()[:40])
    assert digest(folder, tmp_path / "cache") == before
    assert json.loads(cache_file.read_text())
