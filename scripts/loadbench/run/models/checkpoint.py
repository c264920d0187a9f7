"""The content of a model folder: the files to serve, and their tensors."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

from fastload.dtypes import DTYPE_BITS
from fastload.errors import CheckpointError
from fastload.weight_files import SUFFIX, Weights, read_weights
from loadbench.errors import UsageError

# Other formats of the same weights, which hubs store in addition to safetensors; they are not served.
_DUPLICATE_SUFFIXES = {".bin", ".pth", ".pt", ".h5", ".msgpack", ".gguf", ".onnx", ".ot"}
_DTYPE_NAMES = {"BF16": "bf16", "F16": "fp16", "F32": "fp32", "F64": "fp64", "F8_E4M3": "fp8", "I8": "int8"}
# Types that a server converts while it loads; other types belong to quantized formats and are not converted.
FLOATS = frozenset({"F64", "F32", "F16", "BF16"})
_FLOAT_BYTES = {"fp32": 4, "fp8": 1, "int8": 1}
_HALF_BYTES = 2  # bf16, fp16, and every float type with dtype auto


@dataclass(frozen=True)
class Stored:
    """Totals of the tensors of one dtype."""

    elements: int
    size_bytes: int


@dataclass(frozen=True)
class StoredWeights:
    """Totals of the weight files by dtype, under safetensors' dtype names."""

    by_dtype: Mapping[str, Stored]

    @property
    def elements(self) -> int:
        """Elements of all tensors: the number of parameters, unless several are packed into one element."""
        return sum(stored.elements for stored in self.by_dtype.values())

    @property
    def is_quantized(self) -> bool:
        """Whether some tensors have packed or narrow types, which servers do not convert."""
        return not set(self.by_dtype) <= FLOATS

    @property
    def size_bytes(self) -> int:
        return sum(stored.size_bytes for stored in self.by_dtype.values())

    @property
    def dtype(self) -> str:
        """The dtype with the most bytes, under LMI's short name."""
        name = max(self.by_dtype, key=lambda name: self.by_dtype[name].size_bytes)
        return _DTYPE_NAMES.get(name, name.lower())

    def loaded_bytes(self, dtype: str) -> int:
        """Bytes in a server's memory with `dtype` (a short name, or "auto")."""
        width_bytes = _FLOAT_BYTES.get(dtype, _HALF_BYTES)
        return sum(
            stored.elements * width_bytes if name in FLOATS else stored.size_bytes
            for name, stored in self.by_dtype.items()
        )


@dataclass(frozen=True)
class Checkpoint:
    """Facts of a model folder, read from its files."""

    folder: Path
    files: tuple[Path, ...]
    size_bytes: int
    weights: StoredWeights


def inspect_checkpoint(folder: Path) -> Checkpoint:
    """Inspect a model folder, reading only the safetensors headers.

    Raises UsageError if the folder is not a model that can be served.
    """
    weights = _read_weights(folder)
    if not (folder / "config.json").is_file():
        raise UsageError(
            f"{folder} has no config.json", remedy="Set hf_model_id to a folder in Hugging Face's layout."
        )
    files = model_files(folder, weights.files)
    return Checkpoint(
        folder=folder,
        files=files,
        size_bytes=sum(path.stat().st_size for path in files),
        weights=_stored(weights),
    )


def inspect_headers(folder: Path) -> StoredWeights:
    """Sizes of a folder's weights, also while the files are still incomplete. Raises UsageError."""
    return _stored(_read_weights(folder, whole=False))


def _read_weights(folder: Path, *, whole: bool = True) -> Weights:
    try:
        return read_weights(folder, whole=whole)
    except CheckpointError as error:
        raise UsageError(error.fault, remedy=f"{error.remedy}.") from error


def _stored(weights: Weights) -> StoredWeights:
    return stored_weights((tensor.dtype, tensor.shape) for tensor in weights.tensors())


def stored_weights(tensors: Iterable[tuple[str, tuple[int, ...]]]) -> StoredWeights:
    """Sums over tensors, given as dtype and shape."""
    elements: dict[str, int] = {}
    for dtype, shape in tensors:
        elements[dtype] = elements.get(dtype, 0) + prod(shape)
    return StoredWeights(
        {name: Stored(count, count * DTYPE_BITS[name] // 8) for name, count in elements.items()}
    )


def model_files(folder: Path, weights: Collection[str] = ()) -> tuple[Path, ...]:
    """The files that a container needs, sorted by name: no hidden files, and of the weight files only those
    named.

    Loaders load every file that they find, so a second copy of the weights (Mistral's
    consolidated*.safetensors, an adapter, files of an earlier export) must not be uploaded with them.
    """
    found = []
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if any(part.startswith(".") for part in parts) or "original" in parts[:-1] or not path.is_file():
            continue
        is_weight = path.suffix == SUFFIX and not (len(parts) == 1 and path.name in weights)
        is_duplicate = path.suffix in _DUPLICATE_SUFFIXES and weights
        if not (is_weight or is_duplicate or _is_index_of_others(path.name, weights)):
            found.append(path)
    return tuple(found)


def _is_index_of_others(name: str, weights: Collection[str]) -> bool:
    is_consolidated = any(weight.startswith("consolidated") for weight in weights)
    return name == "consolidated.safetensors.index.json" and not is_consolidated
