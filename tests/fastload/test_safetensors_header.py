"""Headers are read as strictly as safetensors reads them."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from safetensors import SafetensorError
from safetensors.torch import load_file

from fastload.dtypes import DTYPE_BITS, TORCH_NAMES
from fastload.errors import CheckpointError
from fastload.safetensors_header import MOST_HEADER_BYTES, read_header

_A = '"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}'


def write(folder: Path, header: str | bytes | dict[str, Any], data: bytes, length: int | None = None) -> Path:
    text = json.dumps(header) if isinstance(header, dict) else header
    body = text.encode() if isinstance(text, str) else text
    path = folder / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(body) if length is None else length) + body + data)
    return path


@pytest.mark.parametrize("dtype", sorted(DTYPE_BITS))
def test_every_dtype_has_the_width_that_safetensors_knows(tmp_path: Path, dtype: str) -> None:
    size_bytes = 8 * DTYPE_BITS[dtype] // 8
    entry = {"dtype": dtype, "shape": [2, 4], "data_offsets": [0, size_bytes]}
    path = write(tmp_path, {"a": entry}, bytes(size_bytes))
    (tensor,) = read_header(path)
    assert (tensor.dtype, tensor.shape, tensor.elements, tensor.size_bytes) == (dtype, (2, 4), 8, size_bytes)
    if dtype in TORCH_NAMES:
        assert str(load_file(path)["a"].dtype) == f"torch.{TORCH_NAMES[dtype]}"
    else:
        with pytest.raises(SafetensorError):
            load_file(path)


def test_tensors_come_in_the_order_of_their_bytes(tmp_path: Path) -> None:
    second = '"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}'
    path = write(tmp_path, f'{{{second},"__metadata__":{{"format":"pt"}},{_A}}}   ', b"abc")
    assert [tensor.name for tensor in read_header(path)] == ["a", "b"]


@pytest.mark.parametrize(
    ("header", "data", "sentence"),
    [
        ('{"a":{"dtype":["U8"],"shape":[2],"data_offsets":[0,2]}}', b"ab", "unknown dtype"),
        ('{"a":{"dtype":"F7","shape":[2],"data_offsets":[0,2]}}', b"ab", "unknown dtype"),
        ('{"a":{"dtype":"U8","shape":[-2],"data_offsets":[0,2]}}', b"ab", "not a whole number"),
        ('{"a":{"dtype":"U8","shape":[2.0],"data_offsets":[0,2]}}', b"ab", "not a whole number"),
        ('{"a":{"dtype":"U8","shape":[NaN],"data_offsets":[0,2]}}', b"ab", "not a whole number"),
        ('{"a":{"dtype":"U8","shape":[true],"data_offsets":[0,2]}}', b"ab", "not a list of counts"),
        ('{"a":{"dtype":"U8","shape":2,"data_offsets":[0,2]}}', b"ab", "not a list of counts"),
        ('{"a":{"dtype":"U8","shape":[0,18446744073709551616],"data_offsets":[0,0]}}', b"", "list of counts"),
        (
            '{"a":{"dtype":"U8","shape":[9223372036854775807,9223372036854775807,0],"data_offsets":[0,0]}}',
            b"",
            "more elements than can be counted",
        ),
        ('{"a":{"dtype":"U8","shape":[2],"data_offsets":[-0,2]}}', b"ab", "not a whole number"),
        ('{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2,2]}}', b"ab", "not a pair of counts"),
        ('{"a":{"dtype":"U8","shape":[2],"data_offsets":[2,0]}}', b"ab", "disagree"),
        ('{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,2]}}', b"ab", "disagree"),
        ('{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}}', b"ab", "whole bytes"),
        ('{"a":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}', b"abc", "after a gap"),
        (f'{{{_A},"b":{{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}}}', b"abc", "b overlaps"),
        (f'{{{_A},"b":{{"dtype":"U8","shape":[0],"data_offsets":[1,1]}}}}', b"ab", "b overlaps"),
        (f"{{{_A}}}", b"a", "cut short"),
        (f"{{{_A}}}", b"abc", "1 bytes follow the last tensor"),
        (f"{{{_A},{_A}}}", b"ab", "a member twice"),
        ('{"a":{"dtype":"U8","shape":[2],"shape":[2],"data_offsets":[0,2]}}', b"ab", "a member twice"),
        ('{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2],"odd":1}}', b"ab", "alone"),
        ('{"a":["U8",[2],[0,2]]}', b"ab", "alone"),
        ('{"a":null}', b"", "alone"),
        (f'{{"__metadata__":{{"a":1}},{_A}}}', b"ab", "map text to text"),
        (f'{{"__metadata__":["a"],{_A}}}', b"ab", "map text to text"),
        ('{"\\ud800":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}', b"ab", "half a character"),
        (f"[{{{_A}}}]", b"ab", "not an object"),
        (f"{{{_A}}}\0", b"ab", "Extra data"),
        (b'{"\xff":1}', b"", "decode"),
        ("[" * 100_000, b"", "nested too deeply"),
        ("{" + f'"a":{"9" * 5000}' + "}", b"", "not a whole number"),
    ],
)
def test_what_safetensors_refuses_is_refused_with_a_reason(
    tmp_path: Path, header: str | bytes, data: bytes, sentence: str
) -> None:
    path = write(tmp_path, header, data)
    with pytest.raises(CheckpointError, match=rf"model\.safetensors is not a safetensors file: .*{sentence}"):
        read_header(path)


@pytest.mark.parametrize(
    ("length", "sentence"), [(2**63, "at most"), (MOST_HEADER_BYTES + 1, "at most"), (500, "cut short")]
)
def test_a_header_that_cannot_be_there_is_not_read(tmp_path: Path, length: int, sentence: str) -> None:
    with pytest.raises(CheckpointError, match=sentence):
        read_header(write(tmp_path, "{}", b"", length))


def test_a_git_lfs_pointer_is_named_as_one(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5000000000\n")
    with pytest.raises(CheckpointError, match="is a Git LFS pointer, not weights") as refusal:
        read_header(path)
    assert "git lfs pull" in refusal.value.remedy


def test_control_characters_of_a_name_do_not_reach_the_message(tmp_path: Path) -> None:
    path = write(tmp_path, {"\x1b[2J": {"dtype": "U8", "shape": [3], "data_offsets": [0, 2]}}, b"ab")
    with pytest.raises(CheckpointError) as refusal:
        read_header(path)
    assert "\x1b" not in str(refusal.value)
