"""Checks requests against botocore's service model; errors have AWS's wording.

The service model is part of botocore (docs/facts/sagemaker.md#service-model) and contains members, types,
patterns, bounds and enums of every operation.
"""

from __future__ import annotations

import functools
import math
import re
from datetime import UTC, datetime
from typing import Any

from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape

from ...errors import AwsError

# Patterns are not applied to longer texts, because some of the model's patterns backtrack.
_LONGEST_MATCHED = 20_000
# Java's character classes that Python's re does not have; \w and \s are sufficient for the model's patterns.
# Java's surrogate pairs are one character each in Python.
_JAVA_CLASSES = {
    r"\uD800\uDC00-\uDBFF\uDFFF": r"\U00010000-\U0010FFFF",
    r"\p{Print}": r"[\x20-\x7e]",
    r"\p{L}": r"\w",
    r"\p{N}": r"\w",
    r"\p{Z}": r"\s",
}


def checked_input(operation: OperationModel, document: dict[str, Any]) -> dict[str, Any]:
    """The request with only the members of the model, timestamps as epoch seconds.

    Raises ValidationException that lists every broken constraint, SerializationException for wrong types.
    """
    shape = operation.input_shape
    if shape is None:
        return {}
    broken: list[str] = []
    checked: dict[str, Any] = _structure(shape, document, "", broken)
    if broken:
        noun = "error" if len(broken) == 1 else "errors"
        raise AwsError(
            "ValidationException", f"{len(broken)} validation {noun} detected: {'; '.join(broken)}"
        )
    return checked


def shaped_output(operation: OperationModel, document: dict[str, Any]) -> dict[str, Any]:
    """The members of `document` that are in the operation's output, at every depth; None means absent."""
    shape = operation.output_shape
    return {} if shape is None else shaped(shape, document)


def shaped(shape: Shape, value: Any) -> Any:
    """The part of a value that belongs to a shape."""
    if isinstance(shape, StructureShape):
        return {
            name: shaped(member, value[name])
            for name, member in shape.members.items()
            if value.get(name) is not None
        }
    if isinstance(shape, ListShape):
        return [shaped(shape.member, item) for item in value]
    return value


def _check(shape: Shape, value: Any, path: str, broken: list[str]) -> Any:
    if isinstance(shape, StructureShape):
        return _structure(shape, value, path, broken)
    if isinstance(shape, ListShape):
        return _list(shape, value, path, broken)
    if isinstance(shape, MapShape):
        return _map(shape, value, path, broken)
    if shape.type_name == "string":
        return _string(shape, value, path, broken)
    if shape.type_name in ("integer", "long", "float", "double"):
        return _number(shape, value, path, broken)
    if shape.type_name == "boolean":
        if not isinstance(value, bool):
            raise _wrong_type(path, "a boolean")
        return value
    if shape.type_name == "timestamp":
        return _timestamp(value, path)
    raise _wrong_type(path, f"a {shape.type_name}")


def _structure(shape: StructureShape, value: Any, path: str, broken: list[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong_type(path, "a structure")
    checked = {}
    for name, member in shape.members.items():
        here = _join(path, name)
        if value.get(name) is not None:
            checked[name] = _check(member, value[name], here, broken)
        elif name in shape.required_members:
            broken.append(_broken(None, here, "Member must not be null"))
    return checked


def _list(shape: ListShape, value: Any, path: str, broken: list[str]) -> list[Any]:
    if not isinstance(value, list):
        raise _wrong_type(path, "a list")
    _length(shape, value, path, broken)
    return [
        _check(shape.member, item, f"{path}.{number}.member", broken) for number, item in enumerate(value, 1)
    ]


def _map(shape: MapShape, value: Any, path: str, broken: list[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong_type(path, "a map")
    _length(shape, value, path, broken)
    checked = {}
    for key, item in value.items():
        _string(shape.key, key, path, broken)
        checked[key] = _check(shape.value, item, f"{path}.{key}.member", broken)
    return checked


def _string(shape: Shape, value: Any, path: str, broken: list[str]) -> str:
    if not isinstance(value, str):
        raise _wrong_type(path, "a string")
    enum = shape.metadata.get("enum")
    if enum and value not in enum:
        broken.append(_broken(value, path, f"Member must satisfy enum value set: [{', '.join(enum)}]"))
    _length(shape, value, path, broken)
    pattern = shape.metadata.get("pattern")
    longest = min(shape.metadata.get("max", _LONGEST_MATCHED), _LONGEST_MATCHED)
    if pattern and len(value) <= longest and not compiled(pattern).fullmatch(value):
        broken.append(_broken(value, path, f"Member must satisfy regular expression pattern: {pattern}"))
    return value


def _number(shape: Shape, value: Any, path: str, broken: list[str]) -> int | float:
    whole = shape.type_name in ("integer", "long")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong_type(path, "a number")
    if not math.isfinite(value) or (whole and value != int(value)):
        raise _wrong_type(path, "a whole number" if whole else "a finite number")
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and value < least:
        broken.append(_broken(value, path, f"Member must have value greater than or equal to {least}"))
    if most is not None and value > most:
        broken.append(_broken(value, path, f"Member must have value less than or equal to {most}"))
    return int(value) if whole else value


def _timestamp(value: Any, path: str) -> float:
    """Epoch seconds, from a number or from ISO 8601 text."""
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            raise _wrong_type(path, "a timestamp") from None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _wrong_type(path, "a timestamp")
    return float(value)


def _length(shape: Shape, value: Any, path: str, broken: list[str]) -> None:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and len(value) < least:
        broken.append(_broken(value, path, f"Member must have length greater than or equal to {least}"))
    if most is not None and len(value) > most:
        broken.append(_broken(value, path, f"Member must have length less than or equal to {most}"))


def _broken(value: Any, path: str, constraint: str) -> str:
    shown = (
        "null" if value is None else f"'{value}'" if len(str(value)) <= 256 else f"'{str(value)[:256]}...'"
    )
    return f"Value {shown} at '{path}' failed to satisfy constraint: {constraint}"


def _join(path: str, name: str) -> str:
    own = name[:1].lower() + name[1:]
    return f"{path}.{own}" if path else own


def _wrong_type(path: str, wanted: str) -> AwsError:
    return AwsError("SerializationException", f"'{path or 'the request'}' is not {wanted}.")


@functools.cache
def compiled(pattern: str) -> re.Pattern[str]:
    """A pattern of the service model as Python understands it."""
    for java, python in _JAVA_CLASSES.items():
        pattern = pattern.replace(java, python)
    return re.compile(pattern, re.ASCII if pattern.isascii() and r"\w" not in pattern else 0)
