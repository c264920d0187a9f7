"""List operations: filters, order and pages, the same for every kind of resource."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Any

from ...errors import AwsError
from ...state.store import Document
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
    key = _sort_key(kind, request.get("SortBy", "CreationTime"))
    # AWS lists the newest first by default.
    descending = request.get("SortOrder", "Descending") == "Descending"
    # Records of the same millisecond keep the order of their creation.
    found.sort(key=lambda record: record[key])
    if descending:
        found.reverse()
    return page(request, found)


def page(
    request: dict[str, Any], items: list[Any], size: int = _DEFAULT_PAGE
) -> tuple[list[Any], str | None]:
    """The part of `items` that MaxResults and NextToken ask for, and the next token.

    Raises ValidationException for a token that is not one of ours.
    """
    start = _offset(request["NextToken"]) if request.get("NextToken") else 0
    end = start + request.get("MaxResults", size)
    token = base64.urlsafe_b64encode(json.dumps({"offset": end}).encode()).decode()
    return items[start:end], token if end < len(items) else None


def _passes(kind: Kind, request: dict[str, Any], record: Document) -> bool:
    name = record[NAME_MEMBER[kind]].lower()
    equals = {
        _STATUS_MEMBER.get(kind, ""): request.get("StatusEquals"),
        "EndpointName": request.get("EndpointNameEquals"),
        "VariantName": request.get("VariantNameEquals"),
    }
    return (
        request.get("NameContains", "").lower() in name
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


def _offset(token: str) -> int:
    try:
        offset = json.loads(base64.urlsafe_b64decode(token))["offset"]
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        raise AwsError("ValidationException", "Invalid NextToken.") from error
    if not isinstance(offset, int) or offset < 0:
        raise AwsError("ValidationException", "Invalid NextToken.")
    return offset
