"""Supported request members. Every member of a served operation is honoured or rejected, never ignored.

The members are those of botocore's model. Members not on an operation's list of honoured names are rejected,
including new ones in later versions of botocore.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

# Dotted names of members; `A.*` means A and all members inside it.
Names = Collection[str]


def is_honoured(name: str, honoured: Names) -> bool:
    """Whether a dotted name is on the list, directly or by a `.*`."""
    parts = name.split(".")
    return name in honoured or any(
        f"{'.'.join(parts[:length])}.*" in honoured for length in range(1, len(parts) + 1)
    )


def refused_in(shape: Shape, value: Any, honoured: Names) -> list[str]:
    """The dotted names of a parsed request's members that are not honoured, each once."""
    found: dict[str, None] = {}
    _walk(shape, value, "", honoured, found)
    return list(found)


def member_names(shape: Shape | None) -> Iterator[str]:
    """Every dotted name of a shape's members, parents before their children."""
    if shape is not None:
        yield from _names(shape, "", ())


def split(shape: Shape | None, honoured: Names) -> tuple[list[str], list[str]]:
    """(honoured, refused): every member of the shape is in exactly one of them.

    Members inside a rejected member, or inside one honoured as a whole, are not listed.
    """
    kept: list[str] = []
    refused: list[str] = []
    for name in member_names(shape):
        parent = name.rpartition(".")[0]
        if parent and (parent in refused or _is_whole(parent, honoured) or _inside(parent, refused)):
            continue
        (kept if is_honoured(name, honoured) else refused).append(name)
    return kept, refused


def _inside(name: str, names: list[str]) -> bool:
    return any(name.startswith(f"{other}.") for other in names)


def _is_whole(name: str, honoured: Names) -> bool:
    parts = name.split(".")
    return any(f"{'.'.join(parts[:length])}.*" in honoured for length in range(1, len(parts) + 1))


def _walk(shape: Shape, value: Any, path: str, honoured: Names, found: dict[str, None]) -> None:
    if isinstance(shape, StructureShape) and isinstance(value, Mapping):
        for name, item in value.items():
            here = f"{path}.{name}" if path else name
            if name not in shape.members or not is_honoured(here, honoured):
                found[here] = None
            else:
                _walk(shape.members[name], item, here, honoured, found)
    elif isinstance(shape, ListShape) and isinstance(value, list):
        for item in value:
            _walk(shape.member, item, path, honoured, found)
    elif isinstance(shape, MapShape) and isinstance(value, Mapping):
        for item in value.values():
            _walk(shape.value, item, path, honoured, found)


def _names(shape: Shape, path: str, seen: tuple[str, ...]) -> Iterator[str]:
    if isinstance(shape, ListShape):
        yield from _names(shape.member, path, seen)
    elif isinstance(shape, MapShape):
        yield from _names(shape.value, path, seen)
    elif isinstance(shape, StructureShape) and shape.name not in seen:
        for name, member in shape.members.items():
            here = f"{path}.{name}" if path else name
            yield here
            yield from _names(member, here, (*seen, shape.name))
