"""Copies that are spared: the parameters hold the right bytes whatever a model does while it is loaded."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fastload.vllm.copy_elision import ElidedCopies

ROWS, COLUMNS = 256, 512  # 256 KiB in bf16: large enough not to be copied at once


class Fused(nn.Module):
    """A parameter made of two tensors, one that is a tensor, and a small one."""

    def __init__(self, dtype: torch.dtype = torch.bfloat16) -> None:
        super().__init__()
        self.gate_up = nn.Parameter(torch.full((2 * ROWS, COLUMNS), 7.0, dtype=dtype), requires_grad=False)
        self.down = nn.Parameter(torch.full((ROWS, COLUMNS), 7.0, dtype=dtype), requires_grad=False)
        self.norm = nn.Parameter(torch.full((COLUMNS,), 7.0, dtype=dtype), requires_grad=False)


def memory_of(*tensors: torch.Tensor, gap_bytes: int = 0) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Flat memory with these tensors one after the other, and views of it."""
    size = sum(tensor.nbytes + gap_bytes for tensor in tensors)
    flat, views, end = torch.zeros(size, dtype=torch.uint8), [], 0
    for tensor in tensors:
        view = flat[end : end + tensor.nbytes].view(tensor.dtype).view(tensor.shape)
        view.copy_(tensor)
        views.append(view)
        end += tensor.nbytes + gap_bytes
    return flat, views


def matrix(seed: int, rows: int = ROWS) -> torch.Tensor:
    return torch.randn(rows, COLUMNS, generator=torch.Generator().manual_seed(seed)).to(torch.bfloat16)


def is_in(memory: torch.Tensor, tensor: torch.Tensor) -> bool:
    return memory.data_ptr() <= tensor.data_ptr() < memory.data_ptr() + memory.nbytes


def test_an_empty_padding_that_is_filled_spares_the_copy_all_the_same() -> None:
    model = Fused()
    memory, (down,) = memory_of(matrix(3))
    with ElidedCopies(model, memory):
        model.down.data[:ROWS].copy_(down)
        model.down.data[ROWS:].fill_(0)
    assert is_in(memory, model.down)
    assert torch.equal(model.down, matrix(3))


def test_parameters_whose_bytes_lie_in_order_become_views_of_them() -> None:
    model = Fused()
    memory, (gate, up, down) = memory_of(matrix(1), matrix(2), matrix(3))
    with ElidedCopies(model, memory) as copies:
        model.gate_up.data.narrow(0, 0, ROWS).copy_(gate)
        model.down.data.copy_(down)
        model.gate_up.data[ROWS:].copy_(up)
        model.norm.data.copy_(torch.arange(COLUMNS))
    assert is_in(memory, model.gate_up) and is_in(memory, model.down)
    assert torch.equal(model.gate_up, torch.cat([matrix(1), matrix(2)]))
    assert torch.equal(model.down, matrix(3))
    assert torch.equal(model.norm, torch.arange(COLUMNS).to(torch.bfloat16))
    assert copies.taken_bytes == memory.nbytes


@pytest.mark.parametrize("gap_bytes", [64])
def test_parameters_whose_bytes_lie_otherwise_are_copied(gap_bytes: int) -> None:
    model = Fused()
    memory, (gate, up) = memory_of(matrix(1), matrix(2), gap_bytes=gap_bytes)
    with ElidedCopies(model, memory):
        model.gate_up.data[:ROWS].copy_(gate)
        model.gate_up.data[ROWS:].copy_(up)
    assert not is_in(memory, model.gate_up)
    assert torch.equal(model.gate_up, torch.cat([matrix(1), matrix(2)]))


def test_the_wrong_order_is_copied_and_right() -> None:
    model = Fused()
    memory, (up, gate) = memory_of(matrix(2), matrix(1))
    with ElidedCopies(model, memory):
        model.gate_up.data[:ROWS].copy_(gate)
        model.gate_up.data[ROWS:].copy_(up)
    assert torch.equal(model.gate_up, torch.cat([matrix(1), matrix(2)]))


def test_a_parameter_that_is_filled_in_part_keeps_its_rest() -> None:
    model = Fused()
    memory, (gate,) = memory_of(matrix(1))
    with ElidedCopies(model, memory):
        model.gate_up.data[:ROWS].copy_(gate)
    assert torch.equal(model.gate_up[:ROWS], matrix(1))
    assert torch.equal(model.gate_up[ROWS:], torch.full((ROWS, COLUMNS), 7.0, dtype=torch.bfloat16))


def test_who_reads_a_parameter_meanwhile_sees_its_bytes() -> None:
    model = Fused()
    memory, (down,) = memory_of(matrix(3))
    with ElidedCopies(model, memory):
        model.down.data.copy_(down)
        total = model.down.sum()
        model.down.data.mul_(2)
    assert torch.equal(total, matrix(3).sum())
    assert torch.equal(model.down, matrix(3) * 2)
    assert torch.equal(down, matrix(3)), "the mapped memory is not written"


def test_the_later_of_two_copies_counts() -> None:
    model = Fused()
    memory, (first, second) = memory_of(matrix(1), matrix(2))
    with ElidedCopies(model, memory):
        model.down.data.copy_(first)
        model.down.data.copy_(second)
    assert torch.equal(model.down, matrix(2))


def test_another_dtype_is_converted() -> None:
    model = Fused(torch.float32)
    memory, (down,) = memory_of(matrix(3))
    with ElidedCopies(model, memory):
        model.down.data.copy_(down)
    assert torch.equal(model.down, matrix(3).float())


def test_a_column_cut_is_copied() -> None:
    model = Fused()
    memory, (wide,) = memory_of(torch.cat([matrix(1), matrix(2)], dim=1))
    with ElidedCopies(model, memory):
        model.down.data.copy_(wide.narrow(1, COLUMNS, COLUMNS))
    assert torch.equal(model.down, matrix(2))


def test_parameters_that_share_a_storage_share_the_memory() -> None:
    model = Fused()
    model.tied = nn.Parameter(model.down.data, requires_grad=False)
    memory, (down,) = memory_of(matrix(3))
    with ElidedCopies(model, memory):
        model.down.data.copy_(down)
    assert model.tied.data_ptr() == model.down.data_ptr()
    assert torch.equal(model.tied, matrix(3))


def test_an_error_while_loading_passes_through() -> None:
    model = Fused()
    memory, (down,) = memory_of(matrix(3))
    with pytest.raises(RuntimeError, match="the bytes stopped"), ElidedCopies(model, memory):
        model.down.data.copy_(down)
        raise RuntimeError("the bytes stopped")
