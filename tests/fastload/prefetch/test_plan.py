"""Where a checkpoint's bytes go: every byte of every tensor to its place, and fused tensors side by side."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fastload.checkpoint import Checkpoint, SourceTensor, read_checkpoint
from fastload.errors import StreamError
from fastload.prefetch.plan import LoadPlan, plan_checkpoint, plan_load
from fastload.shard import shard_checkpoint
from fastload.storage.folder import FolderStore
from fastload.storage.store import ObjectInfo
from tests.fastload.checkpoints import LLAMA_CONFIG, bits, llama_tensors, reference_tensors, write_checkpoint

NAMES = [
    *(f"layers.{layer}.self_attn.{part}_proj.{end}" for layer in range(2) for part in "kqvo" for end in
      ("weight", "bias")),
    *(f"layers.0.mlp.experts.{expert}.{part}_proj.weight" for expert in range(11) for part in
      ("down", "gate", "up")),
    *("embed.weight", "norm.weight", "layers.1.mlp.up_proj.weight", "layers.1.mlp.gate_proj.weight"),
]  # fmt: skip


def assemble(plan: LoadPlan, files: dict[str, bytes]) -> bytearray:
    """The memory after every piece has been read, by the plan alone; no byte may be written twice."""
    memory, written = bytearray(plan.size_bytes), bytearray(plan.size_bytes)
    for piece in plan.pieces:
        data = files[piece.key][piece.start_bytes : piece.start_bytes + piece.size_bytes]
        assert sum(run.size_bytes for run in piece.runs) == piece.size_bytes
        for run in piece.runs:
            place = slice(run.offset_bytes, run.offset_bytes + run.size_bytes)
            memory[place] = data[run.start_bytes : run.start_bytes + run.size_bytes]
            assert not any(written[place])
            written[place] = b"\1" * run.size_bytes
    return memory


@given(
    names=st.lists(st.sampled_from(NAMES), min_size=1, unique=True),
    sizes=st.lists(st.integers(1, 90), min_size=1),
    files=st.integers(1, 3),
    piece_bytes=st.integers(1, 200),
)
def test_every_tensor_is_whole_in_memory_and_its_pieces_are_named(
    names: list[str], sizes: list[int], files: int, piece_bytes: int
) -> None:
    contents = {f"{number}.safetensors": bytearray(b"head" * (number + 1)) for number in range(files)}
    tensors = []
    for index, name in enumerate(names):
        file = f"{index * files // len(names)}.safetensors"
        size = sizes[index % len(sizes)]
        tensors.append(SourceTensor(name, "U8", (size,), file, len(contents[file])))
        contents[file] += bytes((index + offset) % 251 for offset in range(size))
    infos = {file: ObjectInfo(len(data), "1") for file, data in contents.items()}
    plan = plan_checkpoint(Checkpoint(tuple(tensors), infos, {}, ""), piece_bytes)
    originals = {file: bytes(data) for file, data in contents.items()}
    memory = assemble(plan, originals)
    assert [tensor.name for tensor in plan.tensors] == names
    for placed, source in zip(plan.tensors, tensors, strict=True):
        original = originals[source.file][source.start_bytes : source.start_bytes + source.size_bytes]
        assert memory[placed.offset_bytes : placed.offset_bytes + source.size_bytes] == original
        own = plan.pieces[placed.first_piece : placed.last_piece + 1]
        assert own[0].key == own[-1].key == source.file
        assert own[0].start_bytes <= source.start_bytes < own[0].start_bytes + own[0].size_bytes
        stop = source.start_bytes + source.size_bytes
        assert own[-1].start_bytes < stop <= own[-1].start_bytes + own[-1].size_bytes


def offsets(plan: LoadPlan) -> dict[str, tuple[int, int]]:
    nbytes = {tensor.name: torch.Size(tensor.shape).numel() * 2 for tensor in plan.tensors}
    return {t.name: (t.offset_bytes, t.offset_bytes + nbytes[t.name]) for t in plan.tensors}


def test_what_an_engine_fuses_lies_side_by_side_in_its_order(tmp_path: Path) -> None:
    tensors = llama_tensors()
    for expert in range(11):  # ten comes after nine, not after one
        for part in ("gate_proj", "up_proj", "down_proj"):
            tensors[f"model.layers.0.mlp.experts.{expert}.{part}.weight"] = torch.zeros(
                4, 4, dtype=torch.bfloat16
            )
    folder = write_checkpoint(tmp_path, tensors, files=3)
    places = offsets(plan_checkpoint(read_checkpoint(FolderStore(folder), with_digest=False)))

    def assert_adjacent(*names: str) -> None:
        for one, other in itertools.pairwise(names):
            assert places[one][1] == places[other][0], (one, other)

    for end in ("weight", "bias"):
        assert_adjacent(*(f"model.layers.1.self_attn.{letter}_proj.{end}" for letter in "qkv"))
    assert_adjacent("model.layers.1.mlp.gate_proj.weight", "model.layers.1.mlp.up_proj.weight")
    experts = [f"model.layers.0.mlp.experts.{expert}." for expert in range(11)]
    assert_adjacent(*(f"{e}{part}_proj.weight" for e in experts for part in ("gate", "up")))
    assert_adjacent(*(f"{e}down_proj.weight" for e in experts))


def test_shards_of_one_rank_are_read_as_their_manifest_says(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "source", llama_tensors(), LLAMA_CONFIG)
    shard_checkpoint(str(source), str(tmp_path / "shards"), tensor_parallel_degree=1, chunk_bytes=64 << 10)
    plan = plan_load(FolderStore(tmp_path / "shards"))
    files = {piece.key: (tmp_path / "shards" / piece.key).read_bytes() for piece in plan.pieces}
    memory = assemble(plan, files)
    for name, tensor in reference_tensors(source).items():
        placed = next(item for item in plan.tensors if item.name == name)
        assert memory[placed.offset_bytes : placed.offset_bytes + tensor.nbytes] == bits(tensor)


def test_shards_of_several_ranks_are_refused_by_name(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "source", llama_tensors(), LLAMA_CONFIG)
    shard_checkpoint(str(source), str(tmp_path / "shards"), tensor_parallel_degree=2)
    with pytest.raises(StreamError, match="tensor-parallel degree 2"):
        plan_load(FolderStore(tmp_path / "shards"))
