"""A Hugging Face safetensors checkpoint in a store: its tensors and the positions of their bytes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from fastload.dtypes import tensor_bytes
from fastload.errors import CheckpointError
from fastload.json_text import parse_json
from fastload.safetensors_header import LENGTH_BYTES, header_length, parse_header
from fastload.storage.store import ObjectInfo, Session, Store, read_range
from fastload.weight_files import INDEX_NAME, checked, choose_files

_CONFIG_NAME = "config.json"
# Read at once: the header's length and, of most files, the whole header.
_FIRST_READ_BYTES = 128 << 10


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


def read_checkpoint(store: Store, *, with_digest: bool = True) -> Checkpoint:
    """Read the headers of a checkpoint, not its tensors (a folder's files are read once, for the digest).

    Without `with_digest` there is no digest, and no file is read completely. Raises CheckpointError.
    """
    objects = store.listing()
    session = store.session()
    try:
        index = session.read(INDEX_NAME) if INDEX_NAME in objects else None
        chosen = choose_files(objects, index, store.location)
        config = _config(store, session, objects)
        headers = {name: _header(store, session, name, objects[name]) for name in chosen.names}
    finally:
        session.close()
    files = {
        name: parse_header(header, objects[name].size_bytes, f"{store.location}/{name}")
        for name, header in headers.items()
    }
    weights = checked(chosen, files, store.location)
    tensors = tuple(
        SourceTensor(tensor.name, tensor.dtype, tensor.shape, name, tensor.start_bytes)
        for name in chosen.names
        for tensor in sorted(weights.files[name], key=lambda tensor: (tensor.start_bytes, tensor.name))
    )
    found = {name: objects[name] for name in chosen.names}
    if not with_digest:
        return Checkpoint(tensors, found, config, "")
    identity: list[list[object]] = [[_CONFIG_NAME, config]]
    for name, header in headers.items():
        listed = objects[name]
        header_digest = hashlib.sha256(header).hexdigest()
        identity.append([name, listed.size_bytes, header_digest, store.content_version(name, listed)])
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return Checkpoint(tensors, found, config, digest)


def _config(store: Store, session: Session, objects: dict[str, ObjectInfo]) -> dict[str, Any]:
    if _CONFIG_NAME not in objects:
        return {}
    origin = f"{store.location}/{_CONFIG_NAME}"
    try:
        document = parse_json(session.read(_CONFIG_NAME))
    except ValueError as error:
        raise CheckpointError(f"{origin} is not JSON: {error}", "Download the file again") from error
    if not isinstance(document, dict):
        raise CheckpointError(f"{origin} is not a JSON object", "Download the file again")
    return document


def _header(store: Store, session: Session, name: str, listed: ObjectInfo) -> bytes:
    start = bytearray(min(_FIRST_READ_BYTES, listed.size_bytes))
    read_range(session, name, 0, memoryview(start), listed.version)
    length = header_length(bytes(start[:64]), listed.size_bytes, f"{store.location}/{name}")
    header = bytearray(start[LENGTH_BYTES : LENGTH_BYTES + length])
    rest = bytearray(length - len(header))
    read_range(session, name, LENGTH_BYTES + len(header), memoryview(rest), listed.version)
    return bytes(header + rest)
