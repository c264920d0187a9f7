"""What a model folder is said to hold is what its files hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadbench.errors import UsageError
from loadbench.progress import ignore_progress
from loadbench.run.models import synthetic
from loadbench.run.models.checkpoint import inspect_checkpoint, model_files, stored_weights


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "model"
    made.mkdir()
    synthetic.generate(synthetic.SHAPES["llama-tiny"], made, ignore_progress)
    return made


def test_parameters_and_dtype_come_from_the_tensors(folder: Path) -> None:
    checkpoint = inspect_checkpoint(folder)
    # Embedding 512×64; per layer q and o 64×64, k and v 32×64, three of 128×64, two norms; a last norm.
    per_layer = 2 * 64 * 64 + 2 * 32 * 64 + 3 * 128 * 64 + 2 * 64
    assert checkpoint.weights.elements == 512 * 64 + 2 * per_layer + 64
    assert checkpoint.weights.dtype == "bf16"
    assert checkpoint.size_bytes == sum(path.stat().st_size for path in folder.iterdir())


def test_second_copies_and_hidden_files_are_not_served(folder: Path) -> None:
    served = model_files(folder, ["model.safetensors"])
    (folder / "pytorch_model.bin").write_bytes(b"the same again")
    (folder / ".cache").mkdir()
    (folder / ".cache" / "lock").write_text("")
    (folder / "original").mkdir()
    (folder / "original" / "params.json").write_text("{}")
    assert model_files(folder, ["model.safetensors"]) == served


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "not a safetensors file"),
        (b"\xff" * 16, "not a safetensors file"),
        ((2).to_bytes(8, "little") + b"{}", "holds no tensor"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9\n", "a Git LFS pointer"),
    ],
)
def test_a_file_without_weights_is_named(folder: Path, content: bytes, sentence: str) -> None:
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(UsageError, match=rf"{sentence}") as refusal:
        inspect_checkpoint(folder)
    assert "model.safetensors" in refusal.value.message
    assert refusal.value.remedy.endswith(".")


def test_only_the_weights_that_are_served_are_counted_and_uploaded(folder: Path) -> None:
    alone = inspect_checkpoint(folder)
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "consolidated.safetensors").write_bytes(weights)
    (folder / "adapter_model.safetensors").write_bytes(weights)
    (folder / "fp32").mkdir()
    (folder / "fp32" / "model.safetensors").write_bytes(weights)
    (folder / "consolidated.safetensors.index.json").write_text("{}")
    beside = inspect_checkpoint(folder)
    assert (beside.files, beside.weights, beside.size_bytes) == (
        alone.files,
        alone.weights,
        alone.size_bytes,
    )


def test_quantized_weights_take_what_they_store_and_floats_what_is_asked_for() -> None:
    # 4 bits packed eight to an I32, with half-precision scales: 1000 x 4 + 100 x 2 bytes.
    packed = stored_weights([("I32", (10, 100)), ("F16", (100,))])
    assert packed.is_quantized
    assert [packed.loaded_bytes(dtype) for dtype in ("auto", "fp32")] == [4200, 4400]
    floats = stored_weights([("F32", (10, 100))])
    assert [floats.loaded_bytes(dtype) for dtype in ("auto", "bf16", "fp32")] == [2000, 2000, 4000]
    # Two elements of F4 in a byte, a scale of one byte for 32.
    assert stored_weights([("F4", (64, 32)), ("F8_E8M0", (64,))]).loaded_bytes("auto") == 1024 + 64


def test_a_folder_without_configuration_or_weights_is_refused(folder: Path) -> None:
    (folder / "config.json").rename(folder / "configuration.json")
    with pytest.raises(UsageError, match=r"has no config\.json"):
        inspect_checkpoint(folder)
    (folder / "configuration.json").rename(folder / "config.json")
    (folder / "model.safetensors").unlink()
    with pytest.raises(UsageError, match=r"holds no \*\.safetensors"):
        inspect_checkpoint(folder)
