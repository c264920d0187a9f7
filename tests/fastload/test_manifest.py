"""The manifest: what is written is read back, and nothing else is accepted."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastload.dtypes import TORCH_NAMES
from fastload.errors import ManifestError
from fastload.manifest import (
    ALIGNMENT_BYTES,
    ChunkEntry,
    Manifest,
    RankEntry,
    TensorEntry,
    dump_manifest,
    parse_manifest,
)

_SHAPES = st.lists(st.integers(0, 9), max_size=3).map(tuple)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    """Any manifest the format allows."""
    chunk_bytes = draw(st.integers(1, 5000))
    names = draw(st.lists(st.text(min_size=1), min_size=1, max_size=5, unique=True))
    ranks = []
    for rank in range(draw(st.sampled_from((1, 2, 4)))):
        tensors, end = [], 0
        for name in names:
            offset = -(-end // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
            tensors.append(
                TensorEntry(name, draw(st.sampled_from(sorted(TORCH_NAMES))), draw(_SHAPES), offset)
            )
            end = offset + tensors[-1].size_bytes
        sizes = [min(chunk_bytes, end - start) for start in range(0, end, chunk_bytes)]
        chunks = [ChunkEntry(f"c/{i}", size, draw(st.integers(0, 2**32 - 1))) for i, size in enumerate(sizes)]
        ranks.append(RankEntry(rank, end, tuple(tensors), tuple(chunks)))
    aliases = {"a second name": names[0]} if "a second name" not in names and draw(st.booleans()) else {}
    return Manifest("0f" * 32, "BF16", len(ranks), chunk_bytes, tuple(ranks), aliases)


def sample() -> Manifest:
    tensors = (TensorEntry("a", "F32", (2, 3), 0), TensorEntry("b", "BF16", (5,), 256))
    chunks = (ChunkEntry("chunks/0", 200, 1), ChunkEntry("chunks/1", 66, 2))
    return Manifest("0f" * 32, "F32", 1, 200, (RankEntry(0, 266, tensors, chunks),), {"c": "b"})


@settings(deadline=None)
@given(manifests())
def test_reading_gives_back_what_was_written(manifest: Manifest) -> None:
    assert parse_manifest(dump_manifest(manifest), "m") == manifest


def test_every_flipped_bit_is_refused() -> None:
    written = dump_manifest(sample())
    for position in range(len(written)):
        for bit in range(8):
            changed = bytearray(written)
            changed[position] ^= 1 << bit
            with pytest.raises(ManifestError):
                parse_manifest(bytes(changed), "m")


@settings(deadline=None)
@given(st.data())
def test_every_changed_byte_is_refused(data: st.DataObject) -> None:
    written = bytearray(dump_manifest(data.draw(manifests())))
    position = data.draw(st.integers(0, len(written) - 1))
    written[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ManifestError):
        parse_manifest(bytes(written), "m")


@pytest.mark.parametrize("cut", [0, 1, 100, -1, -2])
def test_a_truncated_manifest_is_refused(cut: int) -> None:
    with pytest.raises(ManifestError):
        parse_manifest(dump_manifest(sample())[:cut], "m")


def resealed(change: dict[str, Any]) -> bytes:
    """A manifest whose seal is right and whose members are not."""
    document = json.loads(dump_manifest(sample()))
    del document["manifest_sha256"]
    for path, value in change.items():
        *parents, last = path.split(".")
        item = document
        for name in parents:
            item = item[int(name) if name.isdigit() else name]
        item[int(last) if last.isdigit() else last] = value
    body = json.dumps(document, separators=(",", ":")).encode()[:-1]
    return body + b',"manifest_sha256":"%s"}\n' % hashlib.sha256(body).hexdigest().encode()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"version": 2}, "format version 2; this fastload reads version 1"),
        ({"format": "other"}, "not a fastload-shards manifest"),
        ({"extra": 1}, "unknown members: extra"),
        ({"chunk_bytes": 0}, "chunk_bytes is zero"),
        ({"chunk_bytes": "8"}, "chunk_bytes is not a count"),
        ({"chunk_bytes": True}, "chunk_bytes is not a count"),
        ({"alignment_bytes": 64}, "alignment_bytes is not 256"),
        ({"tensor_parallel_degree": 2}, "does not list the ranks 0 to 1"),
        ({"ranks.0.chunks.1.size_bytes": 65}, "do not add up"),
        ({"ranks.0.chunks.0.key": "../../secret"}, "leaves the manifest's folder"),
        ({"ranks.0.chunks.0.key": "/etc/passwd"}, "leaves the manifest's folder"),
        ({"ranks.0.chunks.0.crc32c": "xyz"}, "not eight hexadecimal digits"),
        ({"ranks.0.tensors.1.offset_bytes": 0}, "overlaps another or is not aligned"),
        ({"ranks.0.tensors.1.offset_bytes": 257}, "overlaps another or is not aligned"),
        ({"ranks.0.tensors.1.shape": [500]}, "ends beyond the rank's bytes"),
        ({"ranks.0.tensors.1.dtype": "F7"}, "unknown dtype 'F7'"),
        ({"ranks.0.tensors.1.name": "a"}, "lists a tensor twice"),
        ({"aliases.c": "nobody"}, "alias c does not name"),
        ({"aliases": {"a": "b"}}, "alias a does not name"),
    ],
)
def test_a_sealed_manifest_that_contradicts_itself_is_refused_by_name(
    change: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ManifestError, match=sentence):
        parse_manifest(resealed(change), "m")


def test_a_rank_beyond_the_degree_is_refused_with_the_degree() -> None:
    with pytest.raises(ManifestError, match="degree 1"):
        sample().rank(1)
