"""docs/shard-format.md describes the format well enough to read it without fastload."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest
from awscrt.checksums import crc32c  # type: ignore[import-untyped]

import fastload
from tests.fastload.checkpoints import (
    LLAMA_CONFIG,
    bits,
    llama_tensors,
    reference_tensors,
    write_checkpoint,
)

_PAGE = Path(__file__).parents[2] / "docs" / "shard-format.md"


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    source = write_checkpoint(tmp_path / "m", llama_tensors(), LLAMA_CONFIG)
    fastload.shard_checkpoint(str(source), str(tmp_path / "s"), chunk_bytes=64 << 10)
    return tmp_path


def test_the_pages_own_check_accepts_a_manifest_and_refuses_a_changed_one(shards: Path) -> None:
    [snippet] = re.findall(r"```python\n(.*?)```", _PAGE.read_text(), re.DOTALL)
    data = (shards / "s" / "manifest.json").read_bytes()
    exec(snippet, {"data": data, "hashlib": hashlib})
    with pytest.raises(AssertionError):
        exec(snippet, {"data": data.replace(b"BF16", b"BF17", 1), "hashlib": hashlib})


def test_tensors_can_be_read_by_the_page_alone(shards: Path) -> None:
    document = json.loads((shards / "s" / "manifest.json").read_text())
    [rank] = document["ranks"]
    buffer = bytearray()
    for index, chunk in enumerate(rank["chunks"]):
        data = (shards / "s" / chunk["key"]).read_bytes()
        assert len(buffer) == index * document["chunk_bytes"]
        assert (len(data), f"{crc32c(data):08x}") == (chunk["size_bytes"], chunk["crc32c"])
        buffer += data
    expected = reference_tensors(shards / "m")
    for tensor in rank["tensors"]:
        raw = bits(expected[tensor["name"]])
        assert buffer[tensor["offset_bytes"] :][: len(raw)] == raw
        assert tensor["shape"] == list(expected[tensor["name"]].shape)
    identity = f"1 {document['source_digest']} 1 {document['chunk_bytes']}"
    assert rank["chunks"][0]["key"].startswith(
        f"chunks-{hashlib.sha256(identity.encode()).hexdigest()[:16]}/rank-0/"
    )
