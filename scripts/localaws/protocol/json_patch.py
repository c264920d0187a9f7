"""JSON Patch (RFC 6902), as far as Cloud Control's UpdateResource uses it: add, remove, replace, test."""

from __future__ import annotations

import copy
from typing import Any

from ..errors import LocalAwsError


class PatchError(LocalAwsError):
    """A patch that is malformed or does not fit the document."""


def apply(patch: Any, document: Any) -> Any:
    """A patched copy of the document. Raises PatchError; then nothing is patched."""
    if not isinstance(patch, list):
        raise PatchError("a JSON patch is a list of operations")
    result = copy.deepcopy(document)
    for step in patch:
        if not isinstance(step, dict) or not isinstance(step.get("path"), str):
            raise PatchError("an operation of a JSON patch is an object with a path")
        result = _step(result, step)
    return result


def _step(document: Any, step: dict[str, Any]) -> Any:
    operation, path = step.get("op"), step["path"]
    if operation not in ("add", "remove", "replace", "test"):
        raise PatchError(f"the operation {operation!r} is not one of add, remove, replace, test")
    if operation != "remove" and "value" not in step:
        raise PatchError(f"the operation {operation} at {path!r} has no value")
    if path == "":
        return step.get("value")
    if not path.startswith("/"):
        raise PatchError(f"the path {path!r} does not start with a slash")
    *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:]]
    target = document
    for part in parents:
        target = _child(target, part, path)
    if operation == "test":
        if _child(target, last, path) != step["value"]:
            raise PatchError(f"the value at {path!r} is another one")
    elif isinstance(target, list):
        _change_list(target, last, step)
    elif isinstance(target, dict):
        if operation == "remove":
            _child(target, last, path)
            del target[last]
        else:
            target[last] = step["value"]
    else:
        raise PatchError(f"nothing at {path!r}")
    return document


def _change_list(target: list[Any], last: str, step: dict[str, Any]) -> None:
    if step["op"] == "add":
        index = len(target) if last == "-" else _index(last, len(target) + 1, step["path"])
        target.insert(index, step["value"])
        return
    index = _index(last, len(target), step["path"])
    if step["op"] == "remove":
        del target[index]
    else:
        target[index] = step["value"]


def _child(target: Any, part: str, path: str) -> Any:
    if isinstance(target, dict) and part in target:
        return target[part]
    if isinstance(target, list):
        return target[_index(part, len(target), path)]
    raise PatchError(f"nothing at {path!r}")


def _index(part: str, length: int, path: str) -> int:
    if not part.isdecimal() or int(part) >= length:
        raise PatchError(f"nothing at {path!r}")
    return int(part)
