"""Reads a configuration file: YAML text and `--set` overrides become one document of plain values.

YAML 1.1 guesses types of plain scalars and so changes values: 0755 becomes 493, 1:30 becomes 90. Here such
values stay strings, and inside `container_env_vars` every value is a string, exactly as in the file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from loadbench.errors import ConfigError

TEXT_SECTION = "container_env_vars"

_MAX_FILE_BYTES = 1 << 20
_MAX_DEPTH = 32
_MAX_VALUES = 20_000  # with aliases expanded
_YAML = "tag:yaml.org,2002:"
_GUESSED_TAGS = {_YAML + name for name in ("bool", "int", "float", "null", "timestamp", "value", "merge")}
# Octal numbers with a leading zero, and base-60 numbers.
_NO_NUMBER = re.compile(r"[-+]?0[0-9_]+|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")
_MERGE = "<<"
_NO_TEXT = re.compile("[\x00\ud800-\udfff]")  # YAML escapes can produce both

Places = dict[tuple[str, ...], str]  # where a key is: "line 12", or "--set section.key"


def read_document(path: Path, overrides: Sequence[str] = ()) -> tuple[dict[str, Any], Places]:
    """The document with its overrides applied, and the place of each key.

    Raises ConfigError naming file and line, or every override that cannot be applied.
    """
    try:
        node = _compose(_read(path))
        document = _construct(node) if node is not None else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError(
            f"{path}, {where}{error.problem or 'not valid YAML'}",
            remedy="Fix the YAML; check indentation and colons.",
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError, TypeError) as error:
        raise ConfigError(
            f"{path} is not valid YAML: {_first_line(error)}", remedy="Fix the YAML."
        ) from error
    if node is None or document is None:
        raise ConfigError(f"{path} is empty", remedy="Start from config.yaml of the repository.")
    if not isinstance(document, dict):
        raise ConfigError(
            f"{path} contains a {type(document).__name__} instead of sections with keys",
            remedy="Start from config.yaml of the repository.",
        )
    places: Places = {}
    _collect_lines(node, (), places)
    refused = []
    for override in overrides:
        try:
            keys = _apply(document, override)
        except ConfigError as error:
            refused.append(error)
            continue
        places = {at: place for at, place in places.items() if at[: len(keys)] != keys}
        places[keys] = f"--set {'.'.join(keys)}"
    if refused:
        message = "\n".join(error.message for error in refused)
        raise ConfigError(message, remedy=" ".join(dict.fromkeys(error.remedy for error in refused)))
    return document, places


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_FILE_BYTES + 1)  # a device reports no size
        if len(content) > _MAX_FILE_BYTES:
            raise ConfigError(f"{path} is larger than 1 MiB", remedy="Pass a configuration file.")
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path} is not UTF-8 text: {error.reason} at byte {error.start}",
            remedy="Save the file as UTF-8.",
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            f"cannot read the configuration: {reason}: {path}",
            remedy="Pass CONFIG=file (make) or --config file, or make one here with `loadbench init`.",
        ) from error


class _Loader(yaml.SafeLoader):
    """PyYAML's loader without type guesses, and with an error for duplicate keys."""

    def resolve(self, kind: type[yaml.Node], value: str | None, implicit: Any) -> Any:
        tag = super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]
        if kind is yaml.ScalarNode and implicit[0] and value is not None:
            number = tag in (_YAML + "int", _YAML + "float")
            if tag == _YAML + "timestamp" or (number and _NO_NUMBER.fullmatch(value)):
                return _YAML + "str"
        return tag

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(getattr(key, "value", ""))
            if name in seen and name != _MERGE:
                raise yaml.MarkedYAMLError(None, None, f"duplicate key {name!r}", key.start_mark)
            seen.add(name)
        super().flatten_mapping(node)


def _compose(text: str) -> yaml.Node | None:
    node: yaml.Node | None = yaml.compose(text, Loader=_Loader)
    return node


def _construct(node: yaml.Node) -> Any:
    _check_size(node, {}, 1)
    _keep_text(node, {})
    loader = _Loader("")
    try:
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _check_size(node: yaml.Node, known: dict[int, int], depth: int) -> int:
    """Count the values with every alias expanded: a few lines of aliases can expand to billions."""
    if depth > _MAX_DEPTH:  # also ends an alias that contains itself
        raise yaml.MarkedYAMLError(None, None, f"nested deeper than {_MAX_DEPTH} levels", node.start_mark)
    if isinstance(node, yaml.ScalarNode) and _NO_TEXT.search(node.value):
        raise yaml.MarkedYAMLError(None, None, "a character that is not text", node.start_mark)
    if id(node) not in known:
        known[id(node)] = 1 + sum(_check_size(child, known, depth + 1) for child in _children(node))
    if known[id(node)] > _MAX_VALUES:
        raise yaml.MarkedYAMLError(None, None, f"more than {_MAX_VALUES:,} values", node.start_mark)
    return known[id(node)]


def _keep_text(node: yaml.Node, texts: dict[int, yaml.Node]) -> None:
    """Replace the value of every key `container_env_vars` by a copy whose scalars are strings."""
    if isinstance(node, yaml.MappingNode):
        node.value = [
            (key, _as_text(value, texts) if key.value == TEXT_SECTION else value) for key, value in node.value
        ]
    for child in _children(node):
        _keep_text(child, texts)


def _as_text(node: yaml.Node, texts: dict[int, yaml.Node]) -> yaml.Node:
    """A copy, because an alias elsewhere may use the same node as a number."""
    if id(node) in texts:
        return texts[id(node)]
    copy = node
    if isinstance(node, yaml.MappingNode):
        pairs = [
            (key if key.value == _MERGE else _as_text(key, texts), _as_text(value, texts))
            for key, value in node.value
        ]
        copy = yaml.MappingNode(node.tag, pairs, node.start_mark, node.end_mark)
    elif isinstance(node, yaml.SequenceNode):  # of a merge: several mappings
        items = [_as_text(item, texts) for item in node.value]
        copy = yaml.SequenceNode(node.tag, items, node.start_mark, node.end_mark)
    elif node.tag in _GUESSED_TAGS:
        copy = yaml.ScalarNode(_YAML + "str", node.value, node.start_mark, node.end_mark)
    texts[id(node)] = copy
    return copy


def _collect_lines(node: yaml.Node, at: tuple[str, ...], places: Places) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            where = (*at, str(key.value))
            places[where] = f"line {key.start_mark.line + 1}"
            _collect_lines(value, where, places)


def _apply(document: dict[str, Any], override: str) -> tuple[str, ...]:
    """Apply one override to the document; returns its keys."""
    name, equals, text = override.partition("=")
    keys = name.strip().split(".")
    if not equals or not all(keys):
        raise ConfigError(
            f"--set {override!r} does not have the form section.key=value",
            remedy="For example: --set benchmark.warm_invocations=10",
        )
    value = _override_value(name, keys, text)
    place: Any = document
    for key in keys[:-1]:
        if place.get(key) is None:
            place[key] = {}
        place = place[key]
        if not isinstance(place, dict):
            raise ConfigError(
                f"--set {name}: {key!r} is a value, not a section", remedy="Check the key's name."
            )
    place[keys[-1]] = value
    return tuple(keys)


def _override_value(name: str, keys: list[str], text: str) -> Any:
    """The value of an override, parsed as it would be at that place of the file."""
    try:
        node: Any = _compose(text) or yaml.ScalarNode(_YAML + "null", "")
        for key in reversed(keys):
            node = yaml.MappingNode(_YAML + "map", [(yaml.ScalarNode(_YAML + "str", key), node)])
        value = _construct(node)
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError, TypeError) as error:
        raise ConfigError(
            f"--set {name}: the value {text[:80]!r} is not valid YAML: {_first_line(error)}",
            remedy="Quote it as YAML requires.",
        ) from error
    for key in keys:
        value = value[key]
    return value


def _first_line(error: Exception) -> str:
    problem = getattr(error, "problem", None)
    return problem or (str(error).splitlines() or [type(error).__name__])[0]
