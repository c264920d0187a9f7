"""Shards of several tensor-parallel ranks put together again.

A rank's shards are one accelerator's part of the model. This server computes on one device, so it streams
every rank and joins them; an engine with an accelerator per rank would not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from .errors import ContainerError

if TYPE_CHECKING:
    import torch


def joined(
    ranks: Sequence[dict[str, torch.Tensor]], shapes: Mapping[str, Sequence[int]]
) -> dict[str, torch.Tensor]:
    """The whole tensors; `shapes` are those of the model's parameters. Raises ContainerError if none fits.

    A tensor that every rank holds whole is taken once. Others are parts along one axis, in the order of the
    ranks; where neighbouring ranks hold the same part (fewer heads than ranks), it is taken once too.
    """
    if len(ranks) == 1:
        return ranks[0]
    return {name: _join(name, [rank[name] for rank in ranks], shapes.get(name)) for name in ranks[0]}


def _join(name: str, parts: list[torch.Tensor], shape: Sequence[int] | None) -> torch.Tensor:
    import torch

    first = parts[0]
    if shape is None or tuple(first.shape) == tuple(shape):
        return first
    if first.dim() == len(shape):
        axis = next(axis for axis in range(len(shape)) if first.shape[axis] != shape[axis])
        copies, rest = divmod(sum(part.shape[axis] for part in parts), shape[axis])
        if copies and not rest:
            whole = torch.cat(parts[::copies], dim=axis)
            if tuple(whole.shape) == tuple(shape):
                return whole
    held = ", ".join(str(tuple(part.shape)) for part in parts)
    raise ContainerError(
        f"the shards of {name} ({held}) do not make up its shape {tuple(shape)}: they are of another model "
        "or "
        "tensor parallel degree; run the optimization job again"
    )
