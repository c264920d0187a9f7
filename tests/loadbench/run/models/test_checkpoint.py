"""What a model folder is said to hold is what its files hold."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from loadbench.errors import UsageError
from loadbench.progress import ignore_progress
from loadbench.run.models import synthetic
from loadbench.run.models.checkpoint import content_digest, inspect_checkpoint, model_files, read_header


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "model"
    made.mkdir()
    synthetic.generate(synthetic.SHAPES["llama-tiny"], made, ignore_progress)
    return made


def digest(folder: Path, cache: Path) -> str:
    return content_digest(inspect_checkpoint(folder), cache)


def test_parameters_and_dtype_come_from_the_tensors(folder: Path) -> None:
    checkpoint = inspect_checkpoint(folder)
    # Embedding 512×64; per layer q and o 64×64, k and v 32×64, three of 128×64, two norms; a last norm.
    per_layer = 2 * 64 * 64 + 2 * 32 * 64 + 3 * 128 * 64 + 2 * 64
    assert checkpoint.parameters == 512 * 64 + 2 * per_layer + 64
    assert checkpoint.dtype == "bf16"
    assert checkpoint.size_bytes == sum(path.stat().st_size for path in folder.iterdir())


def test_second_copies_and_hidden_files_are_not_served(folder: Path) -> None:
    served = model_files(folder)
    (folder / "pytorch_model.bin").write_bytes(b"the same again")
    (folder / ".cache").mkdir()
    (folder / ".cache" / "lock").write_text("")
    (folder / "original").mkdir()
    (folder / "original" / "params.json").write_text("{}")
    assert model_files(folder) == served


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


def test_a_file_that_did_not_change_is_not_read_again(folder: Path, tmp_path: Path) -> None:
    before = digest(folder, tmp_path / "cache")
    weights = folder / "model.safetensors"
    times = weights.stat()
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    os.utime(weights, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert digest(folder, tmp_path / "cache") == before
    assert digest(folder, tmp_path / "another cache") != before


def test_a_digest_cache_that_was_cut_short_is_made_again(folder: Path, tmp_path: Path) -> None:
    before = digest(folder, tmp_path / "cache")
    (cache_file,) = (tmp_path / "cache" / "digests").iterdir()
    cache_file.write_text(cache_file.read_text()[:40])
    assert digest(folder, tmp_path / "cache") == before
    assert json.loads(cache_file.read_text())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x01",
        b"\xff" * 16,
        (20).to_bytes(8, "little") + b"{",
        (2).to_bytes(8, "little") + b"{}",
        b"\0" * 64,
    ],
)
def test_a_file_that_is_not_safetensors_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="is not a safetensors file"):
        read_header(path)


def test_a_folder_without_configuration_or_weights_is_refused(folder: Path) -> None:
    (folder / "config.json").rename(folder / "configuration.json")
    with pytest.raises(UsageError, match=r"holds no config\.json"):
        inspect_checkpoint(folder)
    (folder / "configuration.json").rename(folder / "config.json")
    (folder / "model.safetensors").unlink()
    with pytest.raises(UsageError, match=r"holds no \*\.safetensors"):
        inspect_checkpoint(folder)
