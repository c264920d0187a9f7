"""Standard loading: disk to host memory, then host memory to the device.

What the streaming path skips is done here as well as it can be: parallel reads into one host buffer per
file, huge pages, one copy per file to memory the device owns. On a CPU that copy stays, because a device of
its own is what it stands for: every loader ends with all tensors in memory that this process allocated.
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import lines
from .errors import ContainerError

if TYPE_CHECKING:
    import torch

_READ_BYTES = 16 << 20
_READERS = min(4, os.cpu_count() or 1)
# A safetensors header may not be larger than this (safetensors' own limit).
_MAX_HEADER_BYTES = 100_000_000

_DTYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "I16": "int16",
    "I32": "int32",
    "I64": "int64",
    "F16": "float16",
    "BF16": "bfloat16",
    "F32": "float32",
    "F64": "float64",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
}


def weight_files(model_dir: Path) -> list[Path]:
    """The safetensors files of a model folder, by name. Raises ContainerError where there are none."""
    index = model_dir / "model.safetensors.index.json"
    if index.exists():
        names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
        missing = [name for name in names if not (model_dir / name).is_file()]
        if missing:
            raise ContainerError(
                f"{index.name} names {', '.join(missing)}, which the model data does not hold"
            )
        return [model_dir / name for name in names]
    found = sorted(model_dir.glob("*.safetensors"))
    if not found:
        raise ContainerError(f"no *.safetensors in {model_dir}: the model data does not hold weights")
    return found


def load_from_disk(model_dir: Path, device: torch.device) -> dict[str, torch.Tensor]:
    """All tensors of the folder's safetensors files, on the device; writes a line per phase and file."""
    tensors: dict[str, torch.Tensor] = {}
    for path in weight_files(model_dir):
        start_s = time.time()
        host, data_start = _read(path)
        read_s = time.time()
        lines.phase_line("weights_to_host", start_s, read_s, len(host), path.name)
        loaded = _to_device(path, host, data_start, device)
        # One file's host copy at a time, not all of them.
        del host
        tensors.update(loaded)
        lines.phase_line("weights_to_device", read_s, time.time(), path.stat().st_size, path.name)
    return tensors


def _read(path: Path) -> tuple[torch.Tensor, int]:
    """The file's bytes in host memory, and where in them the tensors' data begins."""
    import torch

    size_bytes = path.stat().st_size
    host = torch.empty(size_bytes, dtype=torch.uint8)
    memory = _bytes_of(host)

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
    header_bytes = int.from_bytes(memory[:8], "little") if size_bytes >= 8 else _MAX_HEADER_BYTES + 1
    if header_bytes > min(_MAX_HEADER_BYTES, size_bytes - 8):
        raise ContainerError(f"{path.name} is not a safetensors file")
    return host, 8 + header_bytes


def _bytes_of(tensor: torch.Tensor) -> memoryview:
    array: Any = tensor.numpy()
    return memoryview(array)


def _to_device(
    path: Path, host: torch.Tensor, data_start: int, device: torch.device
) -> dict[str, torch.Tensor]:
    """Copy the data section to the device in one piece; the tensors are views of that copy."""
    import torch

    data = torch.empty(len(host) - data_start, dtype=torch.uint8, device=device)
    data.copy_(host[data_start:])
    tensors = {}
    for name, (dtype_name, shape, begin, end) in _entries(path, host, data_start).items():
        dtype: torch.dtype = getattr(torch, _DTYPES[dtype_name])
        piece = data[begin:end]
        if begin % dtype.itemsize:
            piece = piece.clone()
        tensors[name] = piece.view(dtype).view(shape)
    return tensors


def _entries(path: Path, host: torch.Tensor, data_start: int) -> dict[str, tuple[str, list[int], int, int]]:
    """The header: type, shape, first and last byte of each tensor. Raises ContainerError for a broken one."""
    try:
        header = json.loads(bytes(_bytes_of(host)[8:data_start]))
        entries = {
            name: (entry["dtype"], entry["shape"], *entry["data_offsets"])
            for name, entry in header.items()
            if name != "__metadata__"
        }
        for name, (dtype, _, begin, end) in entries.items():
            if dtype not in _DTYPES:
                raise ContainerError(f"{path.name}: {name} has the unknown type {dtype}")
            if not 0 <= begin <= end <= len(host) - data_start:
                raise ContainerError(f"{path.name} is shorter than its header says; download it again")
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        raise ContainerError(f"{path.name} is not a safetensors file: {error!r}") from error
    return entries
