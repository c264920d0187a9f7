"""Page tokens. A token names the last item returned, so pages stay stable if items are added or removed."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

Item = TypeVar("Item")
# The sort key of an item, unique among the items.
Place = tuple[Any, ...]


def page_of(
    items: Iterable[Item],
    place: Callable[[Item], Place],
    token: str | None,
    limit: int,
    *,
    descending: bool = False,
) -> tuple[list[Item], str | None]:
    """Up to `limit` items after the token's position, and the token of the next page.

    Items may be passed in any order; the page is sorted. Raises ValueError for a token of another listing.
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
