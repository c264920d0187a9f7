"""The manifest: what is written is read back, and nothing else is accepted."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
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
    first, end = [], 0
    for name in names:
        offset = -(-end // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
        dtype, shape = draw(st.sampled_from(sorted(TORCH_NAMES))), draw(_SHAPES)
        first.append(TensorEntry(name, dtype, (*shape, 2) if dtype == "F4" else shape, offset))
        end = offset + first[-1].size_bytes
    ranks = []
    for rank in range(draw(st.sampled_from((1, 2, 4)))):
        tensors = [replace(t, shape=(0, *t.shape)) if rank and draw(st.booleans()) else t for t in first]
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
        ({"version": True}, "format version True; this fastload reads version 1"),
        ({"version": "1"}, "format version '1'"),
        ({"format": "other"}, "not a fastload-shards manifest"),
        ({"extra": 1}, "unknown members: extra"),
        ({"chunk_bytes": 0}, "chunk_bytes is zero"),
        ({"chunk_bytes": "8"}, "chunk_bytes is not a count"),
        ({"chunk_bytes": True}, "chunk_bytes is not a count"),
        ({"alignment_bytes": 64}, "alignment_bytes is not 256"),
        ({"tensor_parallel_degree": 2}, "does not list the ranks 0 to 1"),
        ({"tensor_parallel_degree": 3}, "degree 3 is not one of 1, 2, 4, 8"),
        ({"tensor_parallel_degree": 10**9}, "degree 1000000000 is not one of"),
        ({"tensor_parallel_degree": 2**63}, "tensor_parallel_degree is not a count"),
        ({"source_digest": "0F" * 32}, "source_digest is not 64 hexadecimal digits"),
        ({"dtype": "F7"}, "unknown dtype 'F7'"),
        ({"chunk_bytes": 1 << 60}, "chunk_bytes is more than"),
        ({"ranks.0.size_bytes": 1 << 62}, "do not add up"),
        ({"ranks.0.size_bytes": -1}, "is not a whole number"),
        ({"ranks.0.size_bytes": 266.0}, "is not a whole number"),
        ({"ranks.0.size_bytes": 10**30}, "is not a whole number"),
        ({"ranks.0.chunks.1.key": "chunks/0"}, "lists a chunk twice"),
        ({"ranks.0.chunks.1.key": "a\\0b"}, "other characters"),
        ({"ranks.0.chunks.1.key": "a\0b"}, "other characters"),
        ({"ranks.0.chunks.1.key": "a\r\nx-amz: b"}, "other characters"),
        ({"ranks.0.chunks.1.key": "k" * 2000}, "longer"),
        ({"ranks.0.tensors.1.name": "\ud800"}, "half a character"),
        ({"ranks.0.tensors.1.shape": [2**63 - 1, 2**63 - 1, 0]}, "more elements than can be counted"),
        ({"ranks.0.tensors.1.shape": [0, 2**63]}, "is not a count"),
        ({"ranks.0.tensors.1.shape": [4]}, "2 bytes follow the last tensor"),
        ({"ranks.0.tensors.1.dtype": "F4"}, "F4 with rows of no whole bytes"),
        ({"ranks.0.chunks.1.size_bytes": 65}, "do not add up"),
        ({"ranks.0.chunks.0.key": "../../secret"}, "leaves the manifest's folder"),
        ({"ranks.0.chunks.0.key": "/etc/passwd"}, "leaves the manifest's folder"),
        ({"ranks.0.chunks.0.crc32c": "xyz"}, "not eight hexadecimal digits"),
        ({"ranks.0.tensors.0.offset_bytes": 256}, "ends beyond the rank's bytes"),
        ({"ranks.0.tensors.1.offset_bytes": 512, "ranks.0.size_bytes": 522}, "do not add up"),
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


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"version":1', b'"version":1.0'),
        (b'"version":1', b'"version": 1'),
        (b'"version":1', b'"version":1,"version":1'),
        (b'"name":"a"', b'"name":"\\u0061"'),
        (b'"chunk_bytes":200', b'"chunk_bytes":2e2'),
        (b'"ranks":[', b'"ranks":[' + b"[" * 20_000),
        (b'"rank":0', b'"rank":' + b"9" * 10_000),
    ],
)
def test_another_spelling_of_the_same_is_refused(before: bytes, after: bytes) -> None:
    """What one reader takes for the same, another may not."""
    written = dump_manifest(sample())
    assert before in written
    body = written.replace(before, after)[: -len(b',"manifest_sha256":"') - 64 - len(b'"}\n')]
    sealed = body + b',"manifest_sha256":"%s"}\n' % hashlib.sha256(body).hexdigest().encode()
    with pytest.raises(ManifestError):
        parse_manifest(sealed, "m")


def test_ranks_that_differ_in_their_layout_are_refused() -> None:
    one = sample()
    other = replace(one.ranks[0], rank=1)
    two = replace(one, tensor_parallel_degree=2, ranks=(one.ranks[0], other))
    assert parse_manifest(dump_manifest(two), "m") == two
    narrow = (other.tensors[0], replace(other.tensors[1], dtype="F16"))
    wide = (replace(other.tensors[0], shape=(20,)), other.tensors[1])
    for tensors, sentence in ((narrow, "another layout than rank 0"), (wide, "larger than rank 0's")):
        wrong = replace(two, ranks=(one.ranks[0], replace(other, tensors=tensors)))
        with pytest.raises(ManifestError, match=sentence):
            parse_manifest(dump_manifest(wrong), "m")


def test_a_rank_beyond_the_degree_is_refused_with_the_degree() -> None:
    with pytest.raises(ManifestError, match="degree 1"):
        sample().rank(1)
