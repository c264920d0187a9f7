"""A Hugging Face safetensors checkpoint, single or indexed: its tensors and where their bytes lie.

Source of the file format: the safetensors README, "Format": 8 bytes little-endian header length, a JSON
header, then the tensors' bytes without holes.
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass
from typing import Any

from fastload.dtypes import ITEM_BYTES, tensor_bytes
from fastload.errors import CheckpointError
from fastload.storage.store import ObjectInfo, Session, Store, read_range

_INDEX_KEY = "model.safetensors.index.json"
_SINGLE_KEY = "model.safetensors"
_LONGEST_HEADER_BYTES = 100_000_000  # safetensors' own limit


@dataclass(frozen=True, slots=True)
class SourceTensor:
    """A tensor in a file; `start_bytes` counts from the start of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: str
    start_bytes: int

    @property
    def size_bytes(self) -> int:
        return tensor_bytes(self.dtype, self.shape)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Tensors in the order of the files, the model's configuration, and a digest of all content."""

    tensors: tuple[SourceTensor, ...]
    files: dict[str, ObjectInfo]
    config: dict[str, Any]
    digest: str


def read_checkpoint(store: Store) -> Checkpoint:
    """Read the headers of a checkpoint, not its tensors (a folder's files are read once, for the digest).

    Raises CheckpointError.
    """
    objects = store.listing()
    session = store.session()
    try:
        names = _weight_files(store, session, objects)
        config = _config(store, session, objects)
        tensors: list[SourceTensor] = []
        identity: list[list[object]] = [["config.json", config]]
        for name in names:
            size_bytes = objects[name].size_bytes
            header = _header(store, session, name, size_bytes)
            tensors += _tensors(store, name, header, size_bytes)
            identity.append(
                [
                    name,
                    size_bytes,
                    hashlib.sha256(header).hexdigest(),
                    store.content_version(name, objects[name]),
                ]
            )
    finally:
        session.close()
    if not tensors:
        raise CheckpointError(f"{store.location} holds no tensor at all; is it the right folder?")
    if len({tensor.name for tensor in tensors}) != len(tensors):
        raise CheckpointError(f"{store.location} holds a tensor name twice; its index and files disagree.")
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return Checkpoint(tuple(tensors), {name: objects[name] for name in names}, config, digest)


def _weight_files(store: Store, session: Session, objects: dict[str, ObjectInfo]) -> list[str]:
    if _INDEX_KEY in objects:
        index = _json(store, session, _INDEX_KEY)
        weight_map = index.get("weight_map")
        if not isinstance(weight_map, dict):
            raise CheckpointError(
                f"{store.location}/{_INDEX_KEY} has no weight_map; download the checkpoint again."
            )
        names = sorted({str(name) for name in weight_map.values()})
    elif _SINGLE_KEY in objects:
        names = [_SINGLE_KEY]
    else:
        names = sorted(name for name in objects if name.endswith(".safetensors") and "/" not in name)
        if len(names) != 1:
            raise CheckpointError(
                f"{store.location} holds neither {_SINGLE_KEY} nor {_INDEX_KEY} "
                f"({len(names)} other .safetensors files); fastload reads Hugging Face checkpoints."
            )
    for name in names:
        if name not in objects:
            raise CheckpointError(
                f"{store.location}/{name} is in the index but missing; upload the checkpoint again."
            )
    return names


def _config(store: Store, session: Session, objects: dict[str, ObjectInfo]) -> dict[str, Any]:
    return _json(store, session, "config.json") if "config.json" in objects else {}


def _json(store: Store, session: Session, key: str) -> dict[str, Any]:
    try:
        document = json.loads(session.read(key))
    except ValueError as error:
        raise CheckpointError(f"{store.location}/{key} is not JSON: {error}.") from error
    if not isinstance(document, dict):
        raise CheckpointError(f"{store.location}/{key} is not a JSON object.")
    return document


def _header(store: Store, session: Session, name: str, size_bytes: int) -> bytes:
    prefix = bytearray(8)
    if size_bytes >= 8:
        read_range(session, name, 0, memoryview(prefix))
    (length,) = struct.unpack("<Q", prefix)
    if size_bytes < 8 or length > min(size_bytes - 8, _LONGEST_HEADER_BYTES):
        raise CheckpointError(f"{store.location}/{name} is not a safetensors file, or was cut short.")
    header = bytearray(length)
    read_range(session, name, 8, memoryview(header))
    return bytes(header)


def _tensors(store: Store, name: str, header: bytes, size_bytes: int) -> list[SourceTensor]:
    try:
        entries = json.loads(header)
        entries.pop("__metadata__", None)
        tensors = [
            (
                int(item["data_offsets"][1]),
                SourceTensor(
                    key,
                    item["dtype"],
                    tuple(int(n) for n in item["shape"]),
                    name,
                    8 + len(header) + int(item["data_offsets"][0]),
                ),
            )
            for key, item in entries.items()
        ]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise CheckpointError(f"{store.location}/{name} has a damaged header ({error!r}).") from error
    for end_bytes, tensor in tensors:
        if tensor.dtype not in ITEM_BYTES:
            raise CheckpointError(
                f"{tensor.name} in {store.location}/{name} has the dtype {tensor.dtype}, unknown here."
            )
        if tensor.start_bytes + tensor.size_bytes != 8 + len(header) + end_bytes:
            raise CheckpointError(f"{tensor.name} in {store.location}/{name}: shape and byte range disagree.")
        if 8 + len(header) + end_bytes > size_bytes:
            raise CheckpointError(
                f"{store.location}/{name} ends before {tensor.name} does; it was cut short."
            )
    return sorted((tensor for _, tensor in tensors), key=lambda tensor: (tensor.start_bytes, tensor.name))
