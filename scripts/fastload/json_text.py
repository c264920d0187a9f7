"""Untrusted JSON: every problem is a ValueError with a reason."""

from __future__ import annotations

import json
from typing import Any, NoReturn


def parse_json(data: bytes) -> Any:
    """Decode JSON in UTF-8. Raises ValueError, also for text that is nested too deeply."""
    try:
        return json.loads(data.decode())
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def parse_strict_json(data: bytes) -> Any:
    """The same for formats without negative numbers, fractions and objects that name a member twice."""
    try:
        return json.loads(
            data.decode(),
            object_pairs_hook=_members,
            parse_int=_unsigned,
            parse_float=_refuse,
            parse_constant=_refuse,
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("an object names a member twice")
    return members


def _unsigned(digits: str) -> int:
    # Longer numbers are always invalid, and parsing them takes quadratic time.
    if digits.startswith("-") or len(digits) > 20:
        _refuse(digits)
    return int(digits)


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text[:20]} is not a whole number from 0 up")
