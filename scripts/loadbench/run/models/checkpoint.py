"""What lies in a model folder: the files that are served, their tensors, and a digest of their content."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadbench.errors import UsageError
from loadbench.progress import OnProgress, Progress, ignore_progress
from loadbench.results.run_record import write_atomically

WEIGHT_SUFFIX = ".safetensors"

# Other formats of the same weights, which hubs keep beside the safetensors; serving them twice helps nobody.
_DUPLICATE_SUFFIXES = {".bin", ".pth", ".pt", ".h5", ".msgpack", ".gguf", ".onnx", ".ot"}
# https://github.com/huggingface/safetensors#format: eight bytes of length, then that many bytes of JSON.
_MAX_HEADER_BYTES = 100_000_000
_DTYPE_NAMES = {"BF16": "bf16", "F16": "fp16", "F32": "fp32", "F64": "fp64", "F8_E4M3": "fp8", "I8": "int8"}
_DIGEST_HEX_DIGITS = 32


@dataclass(frozen=True)
class Checkpoint:
    """A model folder, as its files say."""

    folder: Path
    files: tuple[Path, ...]
    size_bytes: int
    dtype: str
    parameters: int


def inspect_checkpoint(folder: Path) -> Checkpoint:
    """Read what a model folder holds, from the safetensors headers only.

    Raises UsageError when the folder is not a model that can be served.
    """
    files = model_files(folder)
    weights = [path for path in files if path.suffix == WEIGHT_SUFFIX]
    if not (folder / "config.json").is_file():
        raise UsageError(
            f"{folder} holds no config.json", remedy="Point hf_model_id at a folder in Hugging Face's layout."
        )
    if not weights:
        raise UsageError(
            f"{folder} holds no *{WEIGHT_SUFFIX}",
            remedy="Convert the checkpoint with transformers' save_pretrained.",
        )
    parameters_by_dtype: Counter[str] = Counter()
    for path in weights:
        for name, tensor in read_header(path).items():
            if name != "__metadata__":
                parameters_by_dtype[tensor["dtype"]] += math.prod(tensor["shape"])
    dtype = max(parameters_by_dtype, key=parameters_by_dtype.__getitem__)
    return Checkpoint(
        folder=folder,
        files=files,
        size_bytes=sum(path.stat().st_size for path in files),
        dtype=_DTYPE_NAMES.get(dtype, dtype.lower()),
        parameters=parameters_by_dtype.total(),
    )


def model_files(folder: Path) -> tuple[Path, ...]:
    """The files that a container needs, sorted by name: no hidden ones, no second copy of the weights."""
    found = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    if any(path.suffix == WEIGHT_SUFFIX for path in found):
        found = [path for path in found if path.suffix not in _DUPLICATE_SUFFIXES]
    return tuple(path for path in found if "original" not in path.relative_to(folder).parts[:-1])


def read_header(path: Path) -> dict[str, Any]:
    """The header of a safetensors file: tensor name to dtype, shape and offsets. Raises UsageError."""
    try:
        with path.open("rb") as file:
            size_bytes = int.from_bytes(file.read(8), "little")
            if not 2 <= size_bytes <= _MAX_HEADER_BYTES:
                raise ValueError(f"a header of {size_bytes} bytes")
            header = json.loads(file.read(size_bytes))
        if not isinstance(header, dict) or not header:
            raise ValueError("an empty header")
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path} is not a safetensors file: {error}", remedy="Fetch the file again; it may be cut short."
        ) from error
    return header


def content_digest(checkpoint: Checkpoint, cache_dir: Path, on_progress: OnProgress = ignore_progress) -> str:
    """Hex digest over names and bytes of all files.

    A file whose size and modification time are those of the last time is not read again: the digests of
    2.5 GB take seconds, and every run asks.
    """
    place = hashlib.sha256(str(checkpoint.folder.resolve()).encode()).hexdigest()[:_DIGEST_HEX_DIGITS]
    cache_file = cache_dir / "digests" / f"{place}.json"
    known = _read_cache(cache_file)
    done_bytes = 0

    def digest_of(path: Path) -> tuple[str, int, int, str]:
        nonlocal done_bytes
        name, facts = path.relative_to(checkpoint.folder).as_posix(), path.stat()
        if (before := known.get(name)) and before[:2] == [facts.st_size, facts.st_mtime_ns]:
            sha256 = str(before[2])
        else:
            sha256 = file_sha256(path)
        done_bytes += facts.st_size
        on_progress(Progress("reading the model", done_bytes, checkpoint.size_bytes, "bytes"))
        return name, facts.st_size, facts.st_mtime_ns, sha256

    with ThreadPoolExecutor(2) as pool:  # hashlib works outside the interpreter's lock
        digests = list(pool.map(digest_of, checkpoint.files))
    entries = {name: [size_bytes, mtime_ns, sha256] for name, size_bytes, mtime_ns, sha256 in digests}
    if entries != known:
        write_atomically(cache_file, json.dumps(entries, indent=1) + "\n")
    total = hashlib.sha256()
    for name, size_bytes, _, sha256 in digests:
        total.update(f"{name}\0{size_bytes}\0{sha256}\n".encode())
    return total.hexdigest()[:_DIGEST_HEX_DIGITS]


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of one file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_cache(path: Path) -> dict[str, list[int | str]]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # no cache yet, or cut short: the files are read again
        return {}
    return document if isinstance(document, dict) else {}
