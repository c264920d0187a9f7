"""Which files of a folder are its weights: the same for every way of loading."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import fastload
from fastload.errors import CheckpointError
from fastload.storage.folder import FolderStore
from fastload.weight_files import INDEX_NAME, choose_files, read_weights
from tests.fastload.checkpoints import write_checkpoint

_SERIES = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]


def index(**weight_map: str) -> bytes:
    return json.dumps({"weight_map": weight_map}).encode()


@pytest.mark.parametrize(
    ("names", "weight_map", "chosen"),
    [
        (["model.safetensors", "consolidated.safetensors", "adapter_model.safetensors"], None, 1),
        (["model.safetensors", *_SERIES], None, 1),
        ([*_SERIES, "consolidated.safetensors"], index(a=_SERIES[0], b=_SERIES[1]), 2),
        ([*_SERIES, "model-00003-of-00003.safetensors"], index(a=_SERIES[0], b=_SERIES[1]), 2),
        ([*_SERIES, "consolidated.safetensors"], None, 2),
        (["pytorch_lora.safetensors"], None, 1),
        (["consolidated.safetensors", "params.json"], None, 1),
    ],
)
def test_one_copy_of_the_weights_is_chosen(names: list[str], weight_map: bytes | None, chosen: int) -> None:
    assert list(choose_files(names, weight_map, "folder").names) == names[:chosen]


@pytest.mark.parametrize(
    ("names", "weight_map", "sentence"),
    [
        ([], None, r"holds no \*\.safetensors"),
        (["pytorch_model.bin", "onnx/model.safetensors"], None, r"holds no \*\.safetensors"),
        (["adapter_model.safetensors", "adapter_config.json"], None, "only an adapter"),
        (_SERIES[:1], None, r"lacks model-00002-of-00002\.safetensors"),
        ([*_SERIES, "model-00001-of-00003.safetensors"], None, r"holds .*of-00003\.safetensors beside"),
        (["a.safetensors", "b.safetensors"], None, "says which to load"),
        (["model-00001-of-99999.safetensors"], None, "one of 99999 files"),
        (_SERIES[:1], index(a=_SERIES[0], b=_SERIES[1]), rf"names {_SERIES[1]}, which the folder does not"),
        (["model.safetensors"], index(a="../model.safetensors"), "no .safetensors file beside it"),
        (["model.safetensors"], b'{"weight_map":{"a":["model.safetensors"]}}', "no .safetensors file beside"),
        (["model.safetensors"], b'{"weight_map":{}}', "has no weight_map"),
        (["model.safetensors"], b"[]", "has no weight_map"),
        (["model.safetensors"], b"[" * 100_000, "nested too deeply"),
        (["model.safetensors"], b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
    ],
)
def test_a_folder_that_is_no_checkpoint_is_refused(
    names: list[str], weight_map: bytes | None, sentence: str
) -> None:
    with pytest.raises(CheckpointError, match=sentence) as refusal:
        choose_files(names, weight_map, "folder")
    assert refusal.value.remedy


def refusal_of_both(folder: Path, sentence: str) -> None:
    """The reader of local folders and the one of stores say the same."""
    with pytest.raises(CheckpointError, match=sentence) as local:
        read_weights(folder)
    with pytest.raises(CheckpointError) as stored:
        fastload.source_digest(str(folder))
    assert str(local.value) == str(stored.value)


def test_an_index_of_another_version_than_a_shard_is_refused(tmp_path: Path) -> None:
    tensors = {"a": torch.zeros(3), "b": torch.zeros(4)}
    folder = write_checkpoint(tmp_path / "m", tensors, files=2)
    save_file({"b": torch.zeros(4), "a": torch.zeros(3)}, folder / "model-00002-of-00002.safetensors")
    refusal_of_both(folder, "both hold a")
    save_file({"c": torch.zeros(4)}, folder / "model-00002-of-00002.safetensors")
    refusal_of_both(folder, "'b' in model-00002-of-00002.safetensors, which does not hold it")


def test_metadata_alone_is_no_model(tmp_path: Path) -> None:
    save_file({}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    refusal_of_both(tmp_path, "holds no tensor")


def test_a_dtype_that_torch_lacks_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    header = b'{"a":{"dtype":"F6_E2M3","shape":[4],"data_offsets":[0,3]}}'
    (tmp_path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"abc")
    refusal_of_both(tmp_path, "torch has no type")


def test_a_named_pipe_in_place_of_weights_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="is not a file"):
        read_weights(tmp_path)
    os.mkfifo(tmp_path / INDEX_NAME)
    with pytest.raises(CheckpointError, match="is not an index"):
        read_weights(tmp_path)


def test_other_content_of_the_same_size_and_time_is_another_version(tmp_path: Path) -> None:
    """What a stream of chunks is checked against while it is read."""
    file = tmp_path / "f"
    versions = set()
    for content in (b"one", b"two"):
        other = tmp_path / "other"
        other.write_bytes(content)
        os.utime(other, (1, 1))
        other.replace(file)
        versions.add(FolderStore(tmp_path).listing()["f"].version)
    assert len(versions) == 2
