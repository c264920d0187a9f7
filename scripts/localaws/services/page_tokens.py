"""Page tokens: they name the last item shown, so that pages are stable while items are added and removed."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

Item = TypeVar("Item")
# What items are ordered by, unique among them.
Place = tuple[Any, ...]


def page_of(
    items: Iterable[Item],
    place: Callable[[Item], Place],
    token: str | None,
    limit: int,
    *,
    descending: bool = False,
) -> tuple[list[Item], str | None]:
    """Up to `limit` items behind the token's place, and the token of the next page.

    Items come in any order and leave in that of their places. Raises ValueError for another listing's token.
    """
    ordered = sorted(items, key=place, reverse=descending)
    if token is not None:
        after = _read(token)
        try:
            ordered = [
                item for item in ordered if (place(item) < after if descending else place(item) > after)
            ]
        except TypeError as error:
            raise ValueError("a token of a listing in another order") from error
    shown = ordered[:limit]
    return shown, _write(place(shown[-1])) if shown and len(shown) < len(ordered) else None


def _write(place: Place) -> str:
    return base64.urlsafe_b64encode(json.dumps({"after": place}).encode()).decode()


def _read(token: str) -> Place:
    try:
        after = json.loads(base64.urlsafe_b64decode(token))["after"]
    except (binascii.Error, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError("no token of this server") from error
    if not isinstance(after, list):
        raise ValueError("no token of this server")
    return tuple(after)
