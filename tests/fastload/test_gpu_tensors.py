"""A checkpoint through the bounded ring, tensor by tensor; the device is a stand-in unless there is one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fastload import gpu_ring
from fastload.errors import ChunkError, StreamError
from fastload.gpu_tensors import TensorsOnDevice, stream_tensors
from fastload.prefetch import plan as plan_module
from fastload.prefetch.plan import PlacedTensor
from fastload.shard import shard_checkpoint
from tests.fastload.checkpoints import bits, llama_tensors, reference_tensors, write_checkpoint
from tests.fastload.hostile import BUCKET, Fault, HostileStore
from tests.waiting import until

_PIECE_BYTES = 4096


class LateCopier:
    """Copies when it is waited for, not before: a slot given back too early would show other bytes."""

    closed = False

    def open(self, ring: memoryview) -> None:
        self.ring_bytes = len(ring)

    def allocate(self, size_bytes: int) -> torch.Tensor:
        return torch.full((size_bytes,), 255, dtype=torch.uint8)

    def copy(self, target: torch.Tensor, view: memoryview) -> Callable[[], None]:
        def wait() -> None:
            target.copy_(torch.frombuffer(view, dtype=torch.uint8))

        return wait

    def close(self) -> None:
        self.closed = True


class BrokenCopier(LateCopier):
    """Has no memory left for the third tensor."""

    allocated = 0

    def allocate(self, size_bytes: int) -> torch.Tensor:
        self.allocated += 1
        if self.allocated == 3:
            raise RuntimeError("out of device memory")
        return super().allocate(size_bytes)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many pieces, each with several tensors, through a ring of three."""
    monkeypatch.setattr(plan_module, "PIECE_BYTES", _PIECE_BYTES)
    monkeypatch.setattr(plan_module.plan_checkpoint, "__defaults__", (_PIECE_BYTES,))
    monkeypatch.setattr(gpu_ring.RingDestination.__init__, "__defaults__", (3 * _PIECE_BYTES,))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    tensors = llama_tensors() | {"empty": torch.empty(0, 3), "one": torch.tensor([7], dtype=torch.uint8)}
    return write_checkpoint(tmp_path / "model", tensors)


def assert_right(loaded: dict[str, torch.Tensor], folder: Path) -> None:
    expected = reference_tensors(folder)
    assert set(loaded) == set(expected)
    for name, tensor in expected.items():
        assert (loaded[name].dtype, loaded[name].shape) == (tensor.dtype, tensor.shape)
        assert bits(loaded[name].cpu()) == bits(tensor), name


def test_every_tensor_arrives_bit_by_bit_through_a_small_ring(checkpoint: Path) -> None:
    copier = LateCopier()
    assert_right(dict(stream_tensors(str(checkpoint), "stand-in", copier=copier)), checkpoint)
    assert copier.ring_bytes == 3 * _PIECE_BYTES
    assert copier.closed


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_receives_every_tensor(checkpoint: Path) -> None:
    assert_right(dict(stream_tensors(str(checkpoint), "cuda")), checkpoint)


def test_tied_tensors_of_shards_come_under_both_names_or_one(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model", llama_tensors(tied=True), {"tie_word_embeddings": True})
    shard_checkpoint(str(folder), str(tmp_path / "shards"))
    both = dict(stream_tensors(str(tmp_path / "shards"), "stand-in", copier=LateCopier()))
    one = dict(stream_tensors(str(tmp_path / "shards"), "stand-in", copier=LateCopier(), with_aliases=False))
    assert set(both) - set(one) == {"lm_head.weight"}
    assert bits(both["lm_head.weight"]) == bits(both["model.embed_tokens.weight"])


def test_passing_faults_of_the_store_end_in_the_right_bytes(checkpoint: Path, store: HostileStore) -> None:
    for file in checkpoint.iterdir():
        store.objects[f"model/{file.name}"] = file.read_bytes()
    store.faults += [Fault("truncate", "model.safetensors", times=2), Fault("throttle", "model.safetensors")]
    location = f"s3://{BUCKET}/model/"
    assert_right(dict(stream_tensors(location, "stand-in", copier=LateCopier())), checkpoint)


def test_a_damaged_shard_is_not_handed_out_as_whole(tmp_path: Path, checkpoint: Path) -> None:
    shard_checkpoint(str(checkpoint), str(tmp_path / "shards"))
    (chunk,) = (tmp_path / "shards").rglob("*.chunk")
    content = bytearray(chunk.read_bytes())
    content[-1] ^= 1
    chunk.write_bytes(content)
    with pytest.raises(ChunkError, match="corrupt"):
        list(stream_tensors(str(tmp_path / "shards"), "stand-in", copier=LateCopier()))


def test_a_failing_device_is_raised_where_the_tensors_are_taken(checkpoint: Path) -> None:
    with pytest.raises(StreamError, match="out of device memory"):
        list(stream_tensors(str(checkpoint), "stand-in", copier=BrokenCopier()))


def test_who_stops_early_leaves_no_thread_behind(checkpoint: Path) -> None:
    before = threading.active_count()
    tensors = stream_tensors(str(checkpoint), "stand-in", copier=LateCopier())
    next(tensors)
    tensors.close()
    until(lambda: threading.active_count() <= before)


def test_the_device_holds_few_tensors_that_nobody_takes() -> None:
    tensors = [PlacedTensor(str(number), "U8", (100,), 100 * number, 0, 0) for number in range(10)]
    device = TensorsOnDevice(tensors, LateCopier(), most_waiting_bytes=250)
    landed: list[int] = []

    def land() -> None:
        for number in range(10):
            device.copy(100 * number, memoryview(bytearray([number]) * 100))()
            landed.append(number)

    thread = threading.Thread(target=land, daemon=True)
    thread.start()
    until(lambda: len(landed) >= 3)
    thread.join(0.2)
    assert landed == [0, 1, 2], "the fourth waits until one is taken"
    taken = {name: tensor[0].item() for name, tensor in device.take()}
    assert taken == {str(number): number for number in range(10)}
