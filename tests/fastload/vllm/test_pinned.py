"""Registering mapped memory with a GPU's driver: with a stand-in, and with the driver where there is one."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch

from fastload.prefetch import memory_file
from fastload.vllm.pinned import PinnedMemory

_MEMORY_BYTES = 1 << 20


@dataclass
class Driver:
    """Records what is registered; refuses more than `most_bytes`."""

    most_bytes: int
    registered: dict[int, int] = field(default_factory=dict)
    calls: list[tuple[int, int]] = field(default_factory=list)

    def cudaHostRegister(self, address: int, size_bytes: int, flags: int) -> int:
        self.calls.append((address, size_bytes))
        if size_bytes > self.most_bytes:
            return 2
        self.registered[address] = size_bytes
        return 0

    def cudaHostUnregister(self, address: int) -> int:
        del self.registered[address]
        return 0


def test_the_memory_is_registered_as_a_whole_and_given_back() -> None:
    memory = torch.empty(_MEMORY_BYTES, dtype=torch.uint8)
    driver = Driver(memory.nbytes)
    with PinnedMemory(memory, is_filled=True, runtime=driver) as pinned:
        pass
    # One registration: CUDA refuses a copy that crosses the border of two.
    assert driver.calls == [(memory.data_ptr(), memory.nbytes)]
    assert not driver.registered
    assert "pinned in" in pinned.summary()


def test_memory_that_cannot_be_locked_is_named_and_not_unregistered() -> None:
    memory = torch.empty(_MEMORY_BYTES, dtype=torch.uint8)
    with PinnedMemory(memory, is_filled=True, runtime=Driver(memory.nbytes - 1)) as pinned:
        pass
    assert pinned.summary() == "copied from memory that could not be pinned (CUDA error 2)"


def test_memory_that_is_still_being_filled_is_not_registered() -> None:
    memory = torch.empty(_MEMORY_BYTES, dtype=torch.uint8)
    driver = Driver(memory.nbytes)
    with PinnedMemory(memory, is_filled=False, runtime=driver):
        pass
    assert not driver.calls


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_tensors_anywhere_in_the_memory_reach_the_device_before_and_after_it_is_pinned() -> None:
    descriptor = memory_file.create(600 << 20)
    mapping = memory_file.map_for_worker(descriptor, private=False)
    memory = torch.frombuffer(mapping, dtype=torch.uint8)
    memory.copy_(torch.arange(memory.nbytes, dtype=torch.int32) % 251)
    spans = [(0, 300 << 20), (100 << 20, 599 << 20), (4095, 12289), (599 << 20, 600 << 20)]
    with PinnedMemory(memory, is_filled=True) as pinned:
        early = [memory[start:stop].to("cuda") for start, stop in spans]
        pinned._thread.join()
        late = [memory[start:stop].to("cuda") for start, stop in spans]
    for (start, stop), one, other in zip(spans, early, late, strict=True):
        assert torch.equal(one.cpu(), memory[start:stop])
        assert torch.equal(other.cpu(), memory[start:stop])
    assert "pinned in" in pinned.summary()
