"""Registering mapped memory with a GPU's driver, here with a stand-in for it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import torch

from fastload.vllm import pinned
from fastload.vllm.pinned import PinnedMemory


@dataclass
class Driver:
    """Notes what is registered; refuses more than `most_bytes`."""

    most_bytes: int
    registered: dict[int, int] = field(default_factory=dict)
    full: threading.Event = field(default_factory=threading.Event)

    def cudaHostRegister(self, address: int, size_bytes: int, flags: int) -> int:
        if sum(self.registered.values()) + size_bytes > self.most_bytes:
            self.full.set()
            return 2
        self.registered[address] = size_bytes
        if sum(self.registered.values()) == self.most_bytes:
            self.full.set()
        return 0

    def cudaHostUnregister(self, address: int) -> int:
        del self.registered[address]
        return 0


def test_all_of_it_is_registered_without_holes_and_given_back() -> None:
    memory = torch.empty(2 * pinned._STEP_BYTES + 4096, dtype=torch.uint8)
    driver = Driver(memory.nbytes)
    with PinnedMemory(memory, driver) as taken:
        assert driver.full.wait(10)
        end = memory.data_ptr()
        for address, size_bytes in sorted(driver.registered.items()):
            assert address == end
            end += size_bytes
        assert end == memory.data_ptr() + memory.nbytes
    assert not driver.registered
    assert taken.summary() == "0.54 GB of it copied from pinned memory"


def test_a_limit_on_locked_memory_leaves_the_rest_as_it_is() -> None:
    memory = torch.empty(2 * pinned._STEP_BYTES, dtype=torch.uint8)
    driver = Driver(pinned._STEP_BYTES + 1)
    with PinnedMemory(memory, driver):
        assert driver.full.wait(10)
    assert not driver.registered
