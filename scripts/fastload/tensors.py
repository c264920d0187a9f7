"""Tensors as views of a flat buffer, and the types that torch has for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

from fastload.dtypes import TORCH_NAMES, torch_shape
from fastload.errors import StreamError

if TYPE_CHECKING:  # a worker of an engine reads no manifest
    from fastload.manifest import RankEntry


def torch_dtype(tensor_name: str, dtype_name: str) -> torch.dtype:
    """torch's type for a safetensors type. Raises StreamError with the tensor's name if it has none."""
    dtype: torch.dtype | None = getattr(torch, TORCH_NAMES.get(dtype_name, ""), None)
    if dtype is None:
        raise StreamError(
            f"tensor {tensor_name} is {dtype_name}, which torch {torch.__version__} does not have."
        )
    return dtype


def tensor_views(base: torch.Tensor, entry: RankEntry, aliases: Mapping[str, str]) -> dict[str, torch.Tensor]:
    """Every tensor of a rank as a view of `base` (flat uint8), second names included. Copies nothing."""
    views = {}
    for tensor in entry.tensors:
        dtype = torch_dtype(tensor.name, tensor.dtype)
        stretch = base[tensor.offset_bytes : tensor.offset_bytes + tensor.size_bytes]
        views[tensor.name] = stretch.view(dtype).view(torch_shape(tensor.dtype, tensor.shape))
    return views | {alias: views[target] for alias, target in aliases.items()}
