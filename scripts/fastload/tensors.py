"""Tensors as views of a flat buffer."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from fastload.dtypes import TORCH_NAMES, torch_shape
from fastload.errors import StreamError
from fastload.manifest import RankEntry


def tensor_views(base: torch.Tensor, entry: RankEntry, aliases: Mapping[str, str]) -> dict[str, torch.Tensor]:
    """Every tensor of a rank as a view of `base` (flat uint8), second names included. Copies nothing."""
    views = {}
    for tensor in entry.tensors:
        dtype = getattr(torch, TORCH_NAMES[tensor.dtype], None)
        if dtype is None:
            raise StreamError(
                f"tensor {tensor.name} is {tensor.dtype}, which torch {torch.__version__} does not have."
            )
        stretch = base[tensor.offset_bytes : tensor.offset_bytes + tensor.size_bytes]
        views[tensor.name] = stretch.view(dtype).view(torch_shape(tensor.dtype, tensor.shape))
    return views | {alias: views[target] for alias, target in aliases.items()}
