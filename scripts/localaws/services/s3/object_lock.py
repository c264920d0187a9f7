"""Object lock: retention and legal hold of versions, the bucket's default, and their enforcement."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from ...errors import AwsError
from .model_xml import read_kept, read_payload
from .operation_context import Storage, find_requested, read_document, versioning
from .records import Object
from .request import S3Request
from .supported_members import check_document
from .xml import document, iso_time

_MODE = "x-amz-object-lock-mode"
_UNTIL = "x-amz-object-lock-retain-until-date"
_HOLD = "x-amz-object-lock-legal-hold"
_BYPASS = "x-amz-bypass-governance-retention"
_MODES = ("GOVERNANCE", "COMPLIANCE")
SETTING = "object-lock"


def of_new_object(storage: Storage, request: S3Request) -> dict[str, str]:
    """Lock headers of an object about to be written: its own, or the bucket's default retention."""
    named = {name: request.headers[name] for name in (_MODE, _UNTIL, _HOLD) if name in request.headers}
    kept = storage.index.setting(request.bucket, SETTING)
    if kept is None:
        if named:
            raise AwsError("InvalidRequest", "Bucket is missing Object Lock Configuration")
        return {}
    if (_MODE in named) != (_UNTIL in named):
        text = f"{_UNTIL} and {_MODE} must both be supplied"
        raise AwsError("InvalidArgument", text)
    if named.get(_HOLD, "ON") not in ("ON", "OFF"):
        raise AwsError("InvalidArgument", "Legal Hold must be either of 'ON' or 'OFF'")
    if _MODE in named:
        named[_UNTIL] = iso_time(_checked(named[_MODE], named[_UNTIL]))
        return named
    return {**_default(kept), **named}


def check_deletable(found: Object, request: S3Request) -> None:
    """Raise AccessDenied if a version must not be removed, or not yet."""
    denied = AwsError("AccessDenied", "Access Denied because object protected by object lock.", 403)
    if found.headers.get(_HOLD) == "ON":
        raise denied
    if _is_retained(found) and not (found.headers[_MODE] == "GOVERNANCE" and _bypasses(request)):
        raise denied


async def get_retention(storage: Storage, request: S3Request) -> web.StreamResponse:
    """GetObjectRetention."""
    found = find_requested(storage, _locked(storage, request))
    if _MODE not in found.headers:
        raise _none()
    return document("Retention", [("Mode", found.headers[_MODE]), ("RetainUntilDate", found.headers[_UNTIL])])


async def put_retention(storage: Storage, request: S3Request) -> web.StreamResponse:
    """PutObjectRetention. Compliance can only be extended; shortening governance requires the bypass."""
    value, _ = read_payload("PutObjectRetention", "Retention", await read_document(request))
    check_document("PutObjectRetention", "Retention", value)
    found = find_requested(storage, _locked(storage, request))
    if bool(value.get("Mode")) != bool(value.get("RetainUntilDate")):
        raise AwsError("MalformedXML", "A retention has both a Mode and a RetainUntilDate, or neither.")
    until_s = _checked(value["Mode"], value["RetainUntilDate"]) if value else 0.0
    if _is_retained(found):
        shrinks = until_s < _time_s(found.headers[_UNTIL])
        weaker = value.get("Mode") != found.headers[_MODE] and found.headers[_MODE] == "COMPLIANCE"
        allowed = found.headers[_MODE] == "GOVERNANCE" and _bypasses(request)
        if (shrinks or weaker) and not allowed:
            raise AwsError("AccessDenied", "Access Denied because object protected by object lock.", 403)
    headers = {name: text for name, text in found.headers.items() if name not in (_MODE, _UNTIL)}
    if value:
        headers |= {_MODE: value["Mode"], _UNTIL: iso_time(until_s)}
    storage.index.change(replace(found, headers=headers))
    return web.Response()


async def get_legal_hold(storage: Storage, request: S3Request) -> web.StreamResponse:
    """GetObjectLegalHold."""
    found = find_requested(storage, _locked(storage, request))
    if _HOLD not in found.headers:
        raise _none()
    return document("LegalHold", [("Status", found.headers[_HOLD])])


async def put_legal_hold(storage: Storage, request: S3Request) -> web.StreamResponse:
    """PutObjectLegalHold."""
    value, _ = read_payload("PutObjectLegalHold", "LegalHold", await read_document(request))
    found = find_requested(storage, _locked(storage, request))
    if "Status" not in value:
        raise AwsError("MalformedXML", "A legal hold has a Status.")
    storage.index.change(replace(found, headers={**found.headers, _HOLD: value["Status"]}))
    return web.Response()


def check_configuration(storage: Storage, bucket: str, value: dict[str, Any]) -> None:
    """Raise S3's error if a bucket cannot have this lock configuration."""
    if versioning(storage, bucket) != "Enabled":
        text = "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration"
        raise AwsError("InvalidBucketState", text, 409)
    retention = value.get("Rule", {}).get("DefaultRetention")
    if value.get("ObjectLockEnabled") != "Enabled":
        raise AwsError("MalformedXML", "ObjectLockEnabled must be Enabled.")
    if retention is not None and ("Mode" not in retention or ("Days" in retention) == ("Years" in retention)):
        raise AwsError("MalformedXML", "A default retention has a Mode, and either Days or Years.")
    if retention is not None and not 1 <= retention.get("Days", retention.get("Years")) <= 36_500:
        raise AwsError("InvalidArgument", "Default retention period must be a positive integer value.")


def _locked(storage: Storage, request: S3Request) -> S3Request:
    """The request. Raises InvalidRequest if its bucket has no object lock."""
    if storage.index.setting(request.bucket, SETTING) is None:
        raise AwsError("InvalidRequest", "Bucket is missing Object Lock Configuration")
    return request


def _default(kept: str) -> dict[str, str]:
    value = read_kept("PutObjectLockConfiguration", "ObjectLockConfiguration", kept)
    retention = value.get("Rule", {}).get("DefaultRetention")
    if retention is None:
        return {}
    days = retention.get("Days") or 365 * retention["Years"]
    until = datetime.now(UTC) + timedelta(days=days)
    return {_MODE: retention["Mode"], _UNTIL: iso_time(until.timestamp())}


def _checked(mode: str, until: str) -> float:
    if mode not in _MODES:
        raise AwsError("InvalidArgument", "Unknown wormMode directive.")
    until_s = _time_s(until)
    if until_s <= time.time():
        raise AwsError("InvalidArgument", "The retain until date must be in the future!")
    return until_s


def _time_s(text: str) -> float:
    try:
        # More digits than microseconds are valid and ignored.
        moment = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise AwsError(
            "InvalidArgument", "The retain until date must be provided in ISO 8601 format"
        ) from error


def _is_retained(found: Object) -> bool:
    return _UNTIL in found.headers and _time_s(found.headers[_UNTIL]) > time.time()


def _bypasses(request: S3Request) -> bool:
    return request.headers.get(_BYPASS, "").lower() == "true"


def _none() -> AwsError:
    text = "The specified object does not have a ObjectLock configuration"
    return AwsError("NoSuchObjectLockConfiguration", text, 404)
