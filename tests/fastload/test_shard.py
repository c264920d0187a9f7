"""Sharding: nothing lost for any dtype and degree, nothing done twice, refusals that say what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import fastload
from fastload.errors import CheckpointError, ManifestError, PartitionError, ShardError, StorageError
from fastload.shard import ShardProgress
from fastload.verify_shards import verify_shards
from tests.fastload.checkpoints import (
    LLAMA_CONFIG,
    bits,
    gather,
    llama_tensors,
    random_tensor,
    reference_tensors,
    write_checkpoint,
)
from tests.fastload.hostile import Fault, HostileStore

_DTYPES = [torch.bfloat16, torch.float16, torch.float32, torch.float8_e4m3fn, torch.int8]
_SMALL_CHUNK_BYTES = 64 << 10


def load(location: str | Path, rank: int = 0) -> dict[str, torch.Tensor]:
    with fastload.open_stream(str(location), rank=rank) as stream:
        return stream.tensors()


@pytest.mark.parametrize("dtype", _DTYPES, ids=str)
@pytest.mark.parametrize("degree", [1, 2, 4, 8])
def test_all_ranks_together_are_bit_identical_to_the_source(
    tmp_path: Path, dtype: torch.dtype, degree: int
) -> None:
    source = write_checkpoint(tmp_path / "m", llama_tensors(dtype=dtype), LLAMA_CONFIG, files=2)
    fastload.shard_checkpoint(
        str(source), str(tmp_path / "s"), tensor_parallel_degree=degree, chunk_bytes=_SMALL_CHUNK_BYTES
    )
    ranks = [load(tmp_path / "s", rank) for rank in range(degree)]
    expected = reference_tensors(source)
    assert ranks[0].keys() == expected.keys()
    for name, tensor in expected.items():
        whole = gather(name, [rank[name] for rank in ranks]) if degree > 1 else ranks[0][name]
        assert (whole.dtype, whole.shape) == (tensor.dtype, tensor.shape)
        assert bits(whole) == bits(tensor), name


def test_odd_sizes_empty_tensors_and_scalars_survive(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    tensors = {
        "odd": random_tensor(generator, torch.int8, 70001),
        "empty": torch.empty(0, 7),
        "scalar": torch.tensor(3.5),
        "mask": torch.tensor([True, False, True]),
        "long": random_tensor(generator, torch.int64, 3),
        "fp8": random_tensor(generator, torch.float8_e5m2, 5),
    }
    source = write_checkpoint(tmp_path / "m", tensors)
    fastload.shard_checkpoint(str(source), str(tmp_path / "s"), chunk_bytes=_SMALL_CHUNK_BYTES)
    loaded = load(tmp_path / "s")
    for name, tensor in tensors.items():
        assert (loaded[name].dtype, loaded[name].shape, bits(loaded[name])) == (
            tensor.dtype,
            tensor.shape,
            bits(tensor),
        )


def test_thousands_of_small_tensors_cost_few_requests(store: HostileStore, tmp_path: Path) -> None:
    tensors = {f"experts.{number}.weight_scale": torch.tensor(float(number)) for number in range(3000)}
    tensors["between"] = torch.arange(100_000, dtype=torch.int32)
    source = write_checkpoint(tmp_path / "m", tensors)
    store.objects["m/model.safetensors"] = (source / "model.safetensors").read_bytes()
    fastload.shard_checkpoint("s3://bucket/m", str(tmp_path / "s"))
    assert len(store.asked("GET")) < 10
    loaded = load(tmp_path / "s")
    assert all(bits(loaded[name]) == bits(tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize("stored_twice", [False, True])
def test_tied_weights_are_stored_once_and_come_back_as_both_names(tmp_path: Path, stored_twice: bool) -> None:
    tensors = llama_tensors(tied=True)
    if stored_twice:
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    config = LLAMA_CONFIG | {"tie_word_embeddings": not stored_twice}
    source = write_checkpoint(tmp_path / "m", tensors, config)
    manifest = fastload.shard_checkpoint(str(source), str(tmp_path / "s"), tensor_parallel_degree=2)
    assert manifest.aliases == {"lm_head.weight": "model.embed_tokens.weight"}
    assert "lm_head.weight" not in {tensor.name for tensor in manifest.ranks[0].tensors}
    loaded = load(tmp_path / "s", rank=1)
    assert loaded["lm_head.weight"].data_ptr() == loaded["model.embed_tokens.weight"].data_ptr()


def test_an_untied_head_stays_a_tensor_of_its_own(tmp_path: Path) -> None:
    config = LLAMA_CONFIG | {"tie_word_embeddings": True}  # says so, but the bytes differ
    source = write_checkpoint(tmp_path / "m", llama_tensors(), config)
    assert fastload.shard_checkpoint(str(source), str(tmp_path / "s")).aliases == {}


def test_sharding_from_s3_to_s3_equals_sharding_from_a_folder(store: HostileStore, tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "m", llama_tensors(), LLAMA_CONFIG, files=3)
    for file in source.iterdir():
        store.objects[f"models/tiny/{file.name}"] = file.read_bytes()
    store.page_size = 2  # a listing of several pages
    fastload.shard_checkpoint(
        "s3://bucket/models/tiny",
        "s3://bucket/shards/",
        tensor_parallel_degree=2,
        chunk_bytes=_SMALL_CHUNK_BYTES,
    )
    fastload.shard_checkpoint(
        str(source), str(tmp_path / "s"), tensor_parallel_degree=2, chunk_bytes=_SMALL_CHUNK_BYTES
    )
    for rank in range(2):
        ours, theirs = load("s3://bucket/shards/", rank), load(tmp_path / "s", rank)
        assert {name: bits(tensor) for name, tensor in ours.items()} == {
            name: bits(tensor) for name, tensor in theirs.items()
        }


def test_a_killed_job_resumes_without_redoing_finished_chunks(store: HostileStore, tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "m", llama_tensors(layers=6), LLAMA_CONFIG)
    job: dict[str, Any] = {"tensor_parallel_degree": 2, "chunk_bytes": _SMALL_CHUNK_BYTES}
    store.faults = [Fault("denied", key="rank-1/000003", method="PUT")]
    with pytest.raises(StorageError, match="access denied"):
        fastload.shard_checkpoint(str(source), "s3://bucket/s", **job)
    assert "s/manifest.json" not in store.objects
    finished = {key for key in store.objects if key.endswith(".chunk")}
    assert finished
    store.requests.clear()
    reports: list[ShardProgress] = []
    manifest = fastload.shard_checkpoint(str(source), "s3://bucket/s", progress=reports.append, **job)
    rewritten = set(store.asked("PUT", ".chunk"))
    assert not rewritten & finished
    assert len(rewritten | finished) == sum(len(rank.chunks) for rank in manifest.ranks)
    assert reports[-1] == ShardProgress(manifest.size_bytes, manifest.size_bytes)
    assert reports[0].done_bytes > sum(len(store.objects[key]) for key in finished)
    assert verify_shards("s3://bucket/s") == []


def test_an_identical_job_is_recognised_and_writes_nothing(store: HostileStore, tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "m", llama_tensors(), LLAMA_CONFIG)
    first = fastload.shard_checkpoint(str(source), "s3://bucket/s")
    store.requests.clear()
    copy = write_checkpoint(tmp_path / "copy", llama_tensors(), LLAMA_CONFIG)
    assert fastload.shard_checkpoint(str(copy), "s3://bucket/s") == first
    assert store.asked("PUT") == []
    assert fastload.source_digest(str(copy)) == first.source_digest


def test_a_chunk_lost_from_a_finished_job_is_written_again(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "m", llama_tensors(), LLAMA_CONFIG)
    manifest = fastload.shard_checkpoint(str(source), str(tmp_path / "s"))
    lost = tmp_path / "s" / manifest.ranks[0].chunks[0].key
    lost.unlink()
    assert verify_shards(str(tmp_path / "s")) == [f"{lost} does not exist."]
    fastload.shard_checkpoint(str(source), str(tmp_path / "s"))
    assert verify_shards(str(tmp_path / "s")) == []


@pytest.mark.parametrize(("layers", "degree", "chunk_bytes"), [(2, 2, None), (2, 1, 128 << 10), (3, 1, None)])
def test_a_destination_with_other_shards_is_refused(
    tmp_path: Path, layers: int, degree: int, chunk_bytes: int | None
) -> None:
    source = write_checkpoint(tmp_path / "m", llama_tensors(), LLAMA_CONFIG)
    fastload.shard_checkpoint(str(source), str(tmp_path / "s"))
    write_checkpoint(source, llama_tensors(layers), LLAMA_CONFIG)
    with pytest.raises(ShardError, match="already holds other shards"):
        fastload.shard_checkpoint(
            str(source), str(tmp_path / "s"), tensor_parallel_degree=degree, chunk_bytes=chunk_bytes
        )


def test_a_source_that_changes_while_it_is_read_is_refused(store: HostileStore, tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "m", llama_tensors(layers=8), LLAMA_CONFIG)
    key = "m/model.safetensors"
    store.objects[key] = (source / "model.safetensors").read_bytes()

    def replace(_: ShardProgress) -> None:
        store.objects[key] = bytes(len(store.objects[key]))

    with pytest.raises(StorageError, match="changed while it was being read"):
        fastload.shard_checkpoint(
            "s3://bucket/m", "s3://bucket/s", chunk_bytes=_SMALL_CHUNK_BYTES, progress=replace
        )


def test_reading_and_writing_survive_throttling_and_broken_connections(
    store: HostileStore, tmp_path: Path
) -> None:
    source = write_checkpoint(tmp_path / "m", llama_tensors(), LLAMA_CONFIG)
    store.objects["m/model.safetensors"] = (source / "model.safetensors").read_bytes()
    store.faults = [
        Fault("throttle", method="PUT", times=3),
        Fault("reset", key=".safetensors", times=2),
        Fault("truncate", key=".safetensors", times=2),
        Fault("error", key=".safetensors", times=2),
    ]
    fastload.shard_checkpoint("s3://bucket/m", "s3://bucket/s", chunk_bytes=_SMALL_CHUNK_BYTES)
    assert all(fault.times == 0 for fault in store.faults)
    loaded = load("s3://bucket/s")
    assert all(bits(loaded[name]) == bits(tensor) for name, tensor in reference_tensors(source).items())


def cut_short(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])


def not_safetensors(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\xff" * 100)


def without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def index_of_missing_file(folder: Path) -> None:
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "gone.safetensors"}}')


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (cut_short, "cut short"),
        (not_safetensors, "is not a safetensors file"),
        (without_weights, r"holds no \*\.safetensors"),
        (index_of_missing_file, "names gone.safetensors, which the folder does not hold"),
    ],
)
def test_a_damaged_source_is_refused(tmp_path: Path, damage: Any, sentence: str) -> None:
    source = write_checkpoint(tmp_path / "m", llama_tensors(), LLAMA_CONFIG)
    damage(source)
    with pytest.raises(CheckpointError, match=sentence):
        fastload.shard_checkpoint(str(source), str(tmp_path / "s"))


def test_an_unknown_architecture_is_refused_above_degree_one_and_works_at_one(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "m", llama_tensors(), {"architectures": ["FalconForCausalLM"]})
    with pytest.raises(PartitionError, match="FalconForCausalLM"):
        fastload.shard_checkpoint(str(source), str(tmp_path / "s"), tensor_parallel_degree=2)
    fastload.shard_checkpoint(str(source), str(tmp_path / "s"))


def test_unfinished_shards_are_not_loaded(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="sharding has not finished"):
        load(tmp_path)


@pytest.mark.parametrize("chunk_bytes", [0, 65537, 64 << 20])
def test_a_chunk_size_out_of_range_is_refused(tmp_path: Path, chunk_bytes: int) -> None:
    with pytest.raises(ShardError, match="multiple of 4096 from 64 KiB to 32 MiB"):
        fastload.shard_checkpoint(str(tmp_path), str(tmp_path), chunk_bytes=chunk_bytes)
