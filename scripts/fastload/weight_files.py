"""Which files of a model folder are its weights, and whether they fit each other.

Every way of loading asks here, so that all load the same tensors or refuse with the same sentence. Needs
neither torch nor a connection.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fastload.dtypes import TORCH_NAMES
from fastload.errors import CheckpointError
from fastload.json_text import parse_json
from fastload.safetensors_header import HeaderTensor, printable, read_header

SUFFIX = ".safetensors"
INDEX_NAME = "model.safetensors.index.json"
SINGLE_NAME = "model.safetensors"
MOST_INDEX_BYTES = 64 << 20
_SERIES = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.safetensors")
_AGAIN = "Fetch the checkpoint again"


@dataclass(frozen=True, slots=True)
class WeightFiles:
    """The sorted names of the files, and the index's map from tensors to files, if there is an index."""

    names: tuple[str, ...]
    weight_map: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Weights:
    """The tensors of every file, in the order of their bytes."""

    files: Mapping[str, tuple[HeaderTensor, ...]]

    def tensors(self) -> Iterable[HeaderTensor]:
        """All of them, file by file."""
        return (tensor for tensors in self.files.values() for tensor in tensors)


def read_weights(folder: Path, *, whole: bool = True) -> Weights:
    """The weights of a folder on this disk, from the headers; with `whole` their bytes must all be there.

    Raises CheckpointError.
    """
    try:
        names = [path.name for path in folder.iterdir()]
        index = None
        if INDEX_NAME in names:
            if not (folder / INDEX_NAME).is_file() or (folder / INDEX_NAME).stat().st_size > MOST_INDEX_BYTES:
                raise CheckpointError(f"{folder / INDEX_NAME} is not an index of weights", _AGAIN)
            index = (folder / INDEX_NAME).read_bytes()
    except OSError as error:
        raise CheckpointError(f"{folder} cannot be read: {error.strerror}", "Check the folder") from error
    chosen = choose_files(names, index, str(folder))
    files = {name: read_header(folder / name, whole=whole) for name in chosen.names}
    return checked(chosen, files, str(folder))


def choose_files(names: Collection[str], index: bytes | None, origin: str) -> WeightFiles:
    """The files to load, from the names in a folder and the content of its index, if it has one.

    What the index names; else `model.safetensors`; else a complete series, or the one file there is.
    Mistral's `consolidated*` hold the same weights once more and count only where they are alone. `origin`
    names the folder in errors. Raises CheckpointError.
    """
    present = {name for name in names if name.endswith(SUFFIX) and "/" not in name}
    if index is not None:
        weight_map = _weight_map(index, f"{origin}/{INDEX_NAME}")
        wanted = sorted(set(weight_map.values()))
        if missing := [name for name in wanted if name not in present]:
            raise CheckpointError(
                f"{origin}/{INDEX_NAME} names {_listed(missing)}, which the folder does not hold", _AGAIN
            )
        return WeightFiles(tuple(wanted), weight_map)
    if SINGLE_NAME in present:
        return WeightFiles((SINGLE_NAME,))
    whole = sorted(name for name in present if not name.startswith("adapter"))
    names = [name for name in whole if not name.startswith("consolidated")] or whole
    if not names:
        if present:
            raise CheckpointError(
                f"{origin} holds only an adapter ({_listed(sorted(present))}), no model",
                "Merge it into its base model and save that",
            )
        raise CheckpointError(
            f"{origin} holds no *{SUFFIX}", "Convert the checkpoint with transformers' save_pretrained"
        )
    _check_series(names, origin)
    return WeightFiles(tuple(names))


def checked(chosen: WeightFiles, files: Mapping[str, tuple[HeaderTensor, ...]], origin: str) -> Weights:
    """The files' headers, once they agree with each other and with the index. Raises CheckpointError."""
    place: dict[str, str] = {}
    for name, tensors in files.items():
        for tensor in tensors:
            if tensor.name in place:
                raise CheckpointError(
                    f"{origin}: {place[tensor.name]} and {name} both hold {printable(tensor.name)}",
                    _AGAIN,
                )
            place[tensor.name] = name
            _check_type(tensor, f"{origin}/{name}")
    if not place:
        raise CheckpointError(
            f"{origin} holds no tensor: {_listed(sorted(files))} has a header and nothing else",
            "Export the model again; its weights were not written",
        )
    for tensor_name, name in (chosen.weight_map or {}).items():
        if place.get(tensor_name) != name:
            raise CheckpointError(
                f"{origin}/{INDEX_NAME} places {tensor_name!r} in {name}, which does not hold it: the file "
                "is of another version than the index",
                _AGAIN,
            )
    return Weights(files)


def _check_type(tensor: HeaderTensor, origin: str) -> None:
    if tensor.dtype not in TORCH_NAMES:
        raise CheckpointError(
            f"{origin}: {printable(tensor.name)} is {tensor.dtype}, for which torch has no type",
            "Convert the checkpoint to another type",
        )
    if tensor.dtype == "F4" and (not tensor.shape or tensor.shape[-1] % 2):
        raise CheckpointError(
            f"{origin}: {printable(tensor.name)} is F4 with rows of no whole bytes, which torch cannot hold",
            "Convert the checkpoint to another type",
        )


def _weight_map(index: bytes, origin: str) -> dict[str, str]:
    if index.startswith(b"version https://git-lfs"):
        raise CheckpointError(
            f"{origin} is a Git LFS pointer, not an index", "Run `git lfs pull` where it was cloned"
        )
    try:
        document = parse_json(index)
    except ValueError as error:
        raise CheckpointError(f"{origin} is not JSON: {error}", _AGAIN) from error
    weight_map = document.get("weight_map") if isinstance(document, dict) else None
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{origin} has no weight_map", _AGAIN)
    for name in weight_map.values():
        if not isinstance(name, str) or not name.endswith(SUFFIX) or "/" in name or not name.isprintable():
            raise CheckpointError(f"{origin} names {str(name)[:80]!r}, no {SUFFIX} file beside it", _AGAIN)
    return weight_map


def _check_series(names: list[str], origin: str) -> None:
    """Several files without an index are a checkpoint if their names count them, `x-00001-of-00002`."""
    found = [_SERIES.fullmatch(name) for name in names]
    first = next((match for match in found if match), None)
    if first is None:
        if len(names) > 1:
            raise CheckpointError(
                f"{origin} holds {_listed(names)} and no {INDEX_NAME} that says which to load",
                "Fetch the index, or remove the files that do not belong to the model",
            )
        return
    count = int(first[3])
    if count > 10_000:
        raise CheckpointError(f"{origin}/{first[0]} is one of {count} files", _AGAIN)
    whole = [f"{first[1]}-{number:05d}-of-{count:05d}{SUFFIX}" for number in range(1, count + 1)]
    if missing := sorted(set(whole) - set(names)):
        raise CheckpointError(f"{origin} lacks {_listed(missing)}", _AGAIN)
    if extra := sorted(set(names) - set(whole)):
        raise CheckpointError(
            f"{origin} holds {_listed(extra)} beside {first[0]}, and no {INDEX_NAME} that says which to load",
            "Fetch the index, or remove the files that do not belong to the model",
        )


def _listed(names: list[str]) -> str:
    shown = ", ".join(repr(name)[1:-1] for name in names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown
