"""Streaming: the right bytes or a clear error, whatever the network does."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import fastload
from fastload.errors import ChunkError, FastloadError, ManifestError, StorageError, StreamError
from fastload.manifest import Manifest
from fastload.verify_shards import verify_shards
from tests.fastload.checkpoints import LLAMA_CONFIG, bits, llama_tensors, random_tensor, write_checkpoint
from tests.fastload.hostile import Fault, HostileStore, hostile_store

_CHUNK_BYTES = 64 << 10
LOCATION = "s3://bucket/shards"


@pytest.fixture
def manifest(store: HostileStore, tmp_path: Path) -> Manifest:
    """A small model's shards in the store."""
    source = write_checkpoint(tmp_path / "m", llama_tensors(), LLAMA_CONFIG)
    written = fastload.shard_checkpoint(str(source), LOCATION, chunk_bytes=_CHUNK_BYTES)
    store.requests.clear()
    return written


def assert_right(loaded: dict[str, torch.Tensor]) -> None:
    expected = llama_tensors()
    assert loaded.keys() == expected.keys()
    assert all(bits(loaded[name]) == bits(tensor) for name, tensor in expected.items())


@pytest.mark.parametrize("kind", ["reset", "truncate", "hang up", "error", "throttle", "corrupt"])
def test_passing_faults_end_in_the_right_bytes(store: HostileStore, manifest: Manifest, kind: str) -> None:
    store.faults = [Fault(kind, times=3), Fault("reset" if kind == "corrupt" else kind, key="manifest.json")]
    with fastload.open_stream(LOCATION) as stream:
        assert_right(stream.tensors())
    assert all(fault.times == 0 for fault in store.faults)
    statistics = stream.statistics
    assert (statistics.corrupt_reads if kind == "corrupt" else statistics.retries) == 3


def test_shards_travel_over_tls_and_survive_its_faults(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = write_checkpoint(tmp_path / "m", llama_tensors(), LLAMA_CONFIG)
    with hostile_store(monkeypatch, tls=tmp_path) as store:
        fastload.shard_checkpoint(str(source), LOCATION, chunk_bytes=_CHUNK_BYTES)
        store.faults = [Fault("truncate"), Fault("corrupt"), Fault("stall")]
        with fastload.open_stream(LOCATION) as stream:
            assert_right(stream.tensors())
    assert all(fault.times == 0 for fault in store.faults)


def test_a_stalled_connection_is_replaced(store: HostileStore, manifest: Manifest) -> None:
    store.faults = [Fault("stall")]
    with fastload.open_stream(LOCATION) as stream:
        assert_right(stream.tensors())
    assert stream.statistics.retries == 1


def test_many_throttled_connections_end_in_the_right_bytes(store: HostileStore, manifest: Manifest) -> None:
    store.faults = [Fault("throttle", times=12)]
    with fastload.open_stream(LOCATION) as stream:
        assert_right(stream.tensors())
    assert stream.statistics.throttled == 12


def test_a_fixed_number_of_connections_is_kept(store: HostileStore, manifest: Manifest) -> None:
    store.faults = [Fault("throttle", times=2)]
    with fastload.open_stream(LOCATION, connections=3) as stream:
        assert_right(stream.tensors())
    assert stream.statistics.connections == 3


def test_a_chunk_that_stays_corrupt_names_itself(store: HostileStore, manifest: Manifest) -> None:
    chunk = manifest.ranks[0].chunks[1]
    data = bytearray(store.objects[f"shards/{chunk.key}"])
    data[len(data) // 2] ^= 1
    store.objects[f"shards/{chunk.key}"] = bytes(data)
    with pytest.raises(ChunkError, match=f"{chunk.key}.*is corrupt"):
        fastload.open_stream(LOCATION).tensors()


def test_every_changed_byte_of_a_chunk_is_refused(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "m", {"t": torch.arange(257, dtype=torch.int8)})
    manifest = fastload.shard_checkpoint(str(source), str(tmp_path / "s"))
    file = tmp_path / "s" / manifest.ranks[0].chunks[0].key
    data = file.read_bytes()
    generator = random.Random(0)
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= generator.randrange(1, 256)
        file.write_bytes(changed)
        assert verify_shards(str(tmp_path / "s")) != [], position
    with pytest.raises(ChunkError):
        fastload.open_stream(str(tmp_path / "s")).tensors()


def test_a_missing_chunk_is_named(store: HostileStore, manifest: Manifest) -> None:
    key = manifest.ranks[0].chunks[2].key
    del store.objects[f"shards/{key}"]
    with pytest.raises(ChunkError, match=f"{key} does not exist.*incomplete"):
        fastload.open_stream(LOCATION).tensors()


@pytest.mark.parametrize("change", [-1, 1])
def test_a_chunk_of_the_wrong_length_is_refused(
    store: HostileStore, manifest: Manifest, tmp_path: Path, change: int
) -> None:
    key = f"shards/{manifest.ranks[0].chunks[0].key}"
    data = store.objects[key]
    store.objects[key] = data[:-1] if change < 0 else data + b"x"
    with pytest.raises(
        FastloadError, match=f"{key.removeprefix('shards/')} .*has {len(store.objects[key])} bytes"
    ):
        fastload.open_stream(LOCATION).tensors()
    assert verify_shards(LOCATION) != []


def test_a_store_that_only_fails_is_given_up_with_a_sentence(store: HostileStore, manifest: Manifest) -> None:
    store.faults = [Fault("error", key="manifest.json", times=1000)]
    with pytest.raises(StorageError, match=r"InternalError.*gave up after 8 attempts"):
        fastload.open_stream(LOCATION).tensors()


def test_a_rank_that_was_not_cut_is_refused(store: HostileStore, manifest: Manifest) -> None:
    with pytest.raises(ManifestError, match="degree 1"):
        fastload.open_stream(LOCATION, rank=1).tensors()


def test_an_unknown_device_is_refused(store: HostileStore, manifest: Manifest) -> None:
    with pytest.raises(StreamError, match="device 'tpu'"):
        fastload.open_stream(LOCATION, device="tpu").tensors()


def test_tensors_are_views_of_one_buffer_and_outlive_the_stream(
    store: HostileStore, manifest: Manifest
) -> None:
    with fastload.open_stream(LOCATION) as stream:
        loaded = stream.tensors()
    storages = {tensor.untyped_storage().data_ptr() for tensor in loaded.values()}
    assert len(storages) == 1
    assert all(tensor.data_ptr() % 256 == 0 for tensor in loaded.values())
    assert_right(loaded)


def test_closing_early_ends_the_stream_without_waiting_for_the_rest(
    store: HostileStore, manifest: Manifest
) -> None:
    store.faults = [Fault("stall", times=1000)]
    stream = fastload.open_stream(LOCATION)
    stream.close()
    with pytest.raises(StreamError):
        stream.tensors()


def test_idle_connections_share_one_large_chunk(store: HostileStore, tmp_path: Path) -> None:
    tensor = random_tensor(torch.Generator().manual_seed(1), torch.int8, 20 << 20)
    source = write_checkpoint(tmp_path / "m", {"t": tensor})
    fastload.shard_checkpoint(str(source), LOCATION, chunk_bytes=32 << 20)
    store.requests.clear()
    with fastload.open_stream(LOCATION) as stream:
        assert bits(stream.tensors()["t"]) == bits(tensor)
    assert len(store.asked("GET", ".chunk")) > 1


def test_a_module_takes_the_tensors_without_a_copy(tmp_path: Path) -> None:
    with torch.device("meta"):
        module = torch.nn.Sequential(torch.nn.Linear(32, 64), torch.nn.Linear(64, 8))
    source = write_checkpoint(
        tmp_path / "m", {name: torch.randn(value.shape) for name, value in module.state_dict().items()}
    )
    fastload.shard_checkpoint(str(source), str(tmp_path / "s"))
    with fastload.open_stream(str(tmp_path / "s")) as stream:
        loaded = stream.tensors()
    module.load_state_dict(loaded, assign=True)
    assert next(module.parameters()).data_ptr() == loaded["0.weight"].data_ptr()


def test_importing_and_streaming_need_neither_torch_nor_boto3(
    store: HostileStore, manifest: Manifest
) -> None:
    program = f"""
import sys, fastload, fastload.cli
stream = fastload.open_stream({LOCATION!r})
print(stream.statistics.size_bytes, *sorted({{'torch', 'boto3', 'botocore', 'numpy'}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(manifest.size_bytes)]
