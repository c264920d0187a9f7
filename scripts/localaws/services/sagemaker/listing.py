"""List operations: filters, order and pages, the same for every kind of resource."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ...errors import AwsError
from ...state.store import Document
from ..page_tokens import Item, Place, page_of
from .records import NAME_MEMBER, Kind

_STATUS_MEMBER: dict[Kind, str] = {
    "endpoint": "EndpointStatus",
    "inference-component": "InferenceComponentStatus",
    "optimization-job": "OptimizationJobStatus",
}
_DEFAULT_PAGE = 10


def listed(
    kind: Kind, request: dict[str, Any], records: Sequence[Document]
) -> tuple[list[Document], str | None]:
    """One page of records that pass the request's filters, and the token of the next page."""
    found = [record for record in records if _passes(kind, request, record)]
    member = _sort_key(kind, request.get("SortBy", "CreationTime"))
    # AWS lists newest first by default. Equal times are ordered by name.
    descending = request.get("SortOrder", "Descending") == "Descending"

    def place(record: Document) -> Place:
        return (record[member], record[NAME_MEMBER[kind]])

    return page(request, found, place, descending=descending)


def page(
    request: dict[str, Any],
    items: Iterable[Item],
    place: Callable[[Item], Place],
    size: int = _DEFAULT_PAGE,
    *,
    descending: bool = False,
) -> tuple[list[Item], str | None]:
    """The sorted items selected by MaxResults and NextToken, and the next token.

    Raises ValidationException for an invalid token.
    """
    try:
        token, limit = request.get("NextToken"), request.get("MaxResults", size)
        return page_of(items, place, token or None, limit, descending=descending)
    except ValueError as error:
        raise AwsError("ValidationException", "Invalid NextToken.") from error


def _passes(kind: Kind, request: dict[str, Any], record: Document) -> bool:
    name = record[NAME_MEMBER[kind]].lower()
    wanted_type = request.get("OptimizationContains", "").lower()
    equals = {
        _STATUS_MEMBER.get(kind, ""): request.get("StatusEquals"),
        "EndpointName": request.get("EndpointNameEquals"),
        "VariantName": request.get("VariantNameEquals"),
    }
    return (
        request.get("NameContains", "").lower() in name
        and any(wanted_type in item.lower() for item in record.get("OptimizationTypes", [""]))
        and request.get("CreationTimeAfter", 0) <= record["CreationTime"]
        and record["CreationTime"] <= request.get("CreationTimeBefore", float("inf"))
        and request.get("LastModifiedTimeAfter", 0) <= record["LastModifiedTime"]
        and record["LastModifiedTime"] <= request.get("LastModifiedTimeBefore", float("inf"))
        and all(wanted is None or record.get(member) == wanted for member, wanted in equals.items())
    )


def _sort_key(kind: Kind, sort_by: str) -> str:
    if sort_by == "Name":
        return NAME_MEMBER[kind]
    if sort_by == "Status":
        return _STATUS_MEMBER[kind]
    return sort_by
