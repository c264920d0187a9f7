"""Standard loading: disk to host memory, then host memory to the device.

What the streaming path skips is done here as well as it can be: parallel reads into one host buffer per
file, huge pages, one copy per file to memory the device owns. On a CPU that copy stays, because a device of
its own is what it stands for: every loader ends with all tensors in memory that this process allocated.
"""

from __future__ import annotations

import concurrent.futures
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fastload.dtypes import TORCH_NAMES, torch_shape
from fastload.errors import CheckpointError
from fastload.safetensors_header import HeaderTensor
from fastload.weight_files import read_weights

from . import lines
from .errors import ContainerError

if TYPE_CHECKING:
    import torch

_READ_BYTES = 16 << 20
_READERS = min(4, os.cpu_count() or 1)


def load_from_disk(model_dir: Path, device: torch.device) -> dict[str, torch.Tensor]:
    """All tensors of the folder's weights, on the device; writes a line per phase and file.

    Raises ContainerError if the files are not a whole checkpoint.
    """
    try:
        weights = read_weights(model_dir)
    except CheckpointError as error:
        raise ContainerError(str(error)) from error
    tensors: dict[str, torch.Tensor] = {}
    for name, entries in weights.files.items():
        path = model_dir / name
        start_s = time.time()
        host = _read(path)
        if entries and len(host) != entries[-1].stop_bytes:
            raise ContainerError(f"{path.name} changed while it was read")
        read_s = time.time()
        lines.phase_line("weights_to_host", start_s, read_s, len(host), path.name)
        loaded = _to_device(entries, host, device)
        # One file's host copy at a time, not all of them.
        del host
        tensors.update(loaded)
        lines.phase_line("weights_to_device", read_s, time.time(), path.stat().st_size, path.name)
    return tensors


def _read(path: Path) -> torch.Tensor:
    """The file's bytes in host memory."""
    import torch

    size_bytes = path.stat().st_size
    host = torch.empty(size_bytes, dtype=torch.uint8)
    memory = memoryview(host.numpy())  # type: ignore[arg-type]

    with path.open("rb") as file, concurrent.futures.ThreadPoolExecutor(_READERS) as readers:

        def read_piece(offset: int) -> None:
            end = min(offset + _READ_BYTES, size_bytes)
            while offset < end:
                count = os.preadv(file.fileno(), [memory[offset:end]], offset)
                if not count:
                    raise ContainerError(f"{path.name} became shorter while it was read")
                offset += count

        for _ in readers.map(read_piece, range(0, size_bytes, _READ_BYTES)):
            pass
    return host


def _to_device(
    entries: Sequence[HeaderTensor], host: torch.Tensor, device: torch.device
) -> dict[str, torch.Tensor]:
    """Copy the data section to the device in one piece; the tensors are views of that copy."""
    import torch

    data_start = entries[0].start_bytes if entries else len(host)
    data = torch.empty(len(host) - data_start, dtype=torch.uint8, device=device)
    data.copy_(host[data_start:])
    tensors = {}
    for entry in entries:
        dtype: torch.dtype = getattr(torch, TORCH_NAMES[entry.dtype])
        piece = data[entry.start_bytes - data_start : entry.stop_bytes - data_start]
        if (entry.start_bytes - data_start) % dtype.itemsize:
            piece = piece.clone()
        tensors[entry.name] = piece.view(dtype).view(torch_shape(entry.dtype, entry.shape))
    return tensors
