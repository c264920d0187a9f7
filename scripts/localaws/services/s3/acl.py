"""Access control lists: stored and returned, subject to the bucket's ownership setting; the only
caller is the owner.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from aiohttp import web

from ...errors import AwsError
from .model_xml import read_kept, read_payload
from .operation_context import Storage, find_requested, read_document
from .request import S3Request
from .supported_members import check_document
from .xml import Element, element_text

_GROUPS = "http://acs.amazonaws.com/groups"
_EVERYBODY = f"{_GROUPS}/global/AllUsers"
_AUTHENTICATED = f"{_GROUPS}/global/AuthenticatedUsers"
_LOG_DELIVERY = f"{_GROUPS}/s3/LogDelivery"
# Grants of each canned ACL in addition to the owner's full control.
_CANNED: dict[str, list[tuple[str, str]]] = {
    "private": [],
    "public-read": [(_EVERYBODY, "READ")],
    "public-read-write": [(_EVERYBODY, "READ"), (_EVERYBODY, "WRITE")],
    "authenticated-read": [(_AUTHENTICATED, "READ")],
    "aws-exec-read": [],
    "bucket-owner-read": [],
    "bucket-owner-full-control": [],
    "log-delivery-write": [(_LOG_DELIVERY, "WRITE"), (_LOG_DELIVERY, "READ_ACP")],
}
_GRANT_HEADERS = {
    "x-amz-grant-full-control": "FULL_CONTROL",
    "x-amz-grant-read": "READ",
    "x-amz-grant-read-acp": "READ_ACP",
    "x-amz-grant-write": "WRITE",
    "x-amz-grant-write-acp": "WRITE_ACP",
}
_GRANTEE = re.compile(r'\s*(id|uri|emailAddress)\s*=\s*"?([^",]+)"?\s*')
_ENFORCED = "BucketOwnerEnforced"
SETTING = "acl"


def of_request(storage: Storage, request: S3Request) -> str:
    """The ACL requested by the headers of a write, as a document; empty if only the owner has full control.

    Raises AccessControlListNotSupported if the bucket's ownership rule leaves no lists.
    """
    return _from_headers(request, _ownership(storage, request.bucket)) or ""


def of_new_bucket(request: S3Request, ownership: str) -> str:
    """The ACL of a new bucket."""
    return _from_headers(request, ownership) or ""


async def get_bucket_acl(storage: Storage, request: S3Request) -> web.StreamResponse:
    """GetBucketAcl."""
    return _answer(request, storage.index.setting(request.bucket, SETTING) or "")


async def put_bucket_acl(storage: Storage, request: S3Request) -> web.StreamResponse:
    """PutBucketAcl."""
    storage.index.put_setting(request.bucket, SETTING, await _wanted(storage, request, "PutBucketAcl"))
    return web.Response()


async def get_object_acl(storage: Storage, request: S3Request) -> web.StreamResponse:
    """GetObjectAcl."""
    return _answer(request, find_requested(storage, request).acl)


async def put_object_acl(storage: Storage, request: S3Request) -> web.StreamResponse:
    """PutObjectAcl."""
    wanted = await _wanted(storage, request, "PutObjectAcl")
    storage.index.change(replace(find_requested(storage, request), acl=wanted))
    return web.Response()


async def _wanted(storage: Storage, request: S3Request, operation: str) -> str:
    body = await read_document(request)
    ownership = _ownership(storage, request.bucket)
    from_headers = _from_headers(request, ownership)
    if from_headers is not None and body.strip():
        raise AwsError("UnexpectedContent", "This request does not support content")
    if from_headers is not None:
        return from_headers
    if not body.strip():
        text = "Your request was missing a required header: x-amz-acl"
        raise AwsError("MissingSecurityHeader", text)
    value, kept = read_payload(operation, "AccessControlPolicy", body)
    check_document(operation, "AccessControlPolicy", value)
    if ownership == _ENFORCED and value != read_kept(
        operation, "AccessControlPolicy", _document(request, [])
    ):
        raise _not_supported()
    return kept


def _from_headers(request: S3Request, ownership: str) -> str | None:
    """The ACL for a canned name or grants, None if the headers request none."""
    canned = request.headers.get("x-amz-acl")
    grants = {name: request.headers[name] for name in _GRANT_HEADERS if name in request.headers}
    if canned is None and not grants:
        return None
    if canned is not None and grants:
        raise AwsError("InvalidRequest", "Specifying both Canned ACLs and Header Grants is not allowed")
    if canned is not None and canned not in _CANNED:
        raise AwsError("InvalidArgument", "", 400, {"ArgumentName": "x-amz-acl", "ArgumentValue": canned})
    if ownership == _ENFORCED:
        if canned in ("bucket-owner-full-control", "private"):
            return ""
        raise _not_supported()
    if canned is not None:
        return _document(request, [_grant(("URI", uri), permission) for uri, permission in _CANNED[canned]])
    return _document(request, _granted(grants), owner=False)


def _granted(grants: Mapping[str, str]) -> list[Element]:
    found: list[Element] = []
    for header, text in grants.items():
        for item in text.split(","):
            match = _GRANTEE.fullmatch(item)
            if match is None or match[1] == "emailAddress":
                raise AwsError("InvalidArgument", f"Argument format not recognized: {header}")
            grantee = ("ID" if match[1] == "id" else "URI", match[2])
            found.append(_grant(grantee, _GRANT_HEADERS[header]))
    return found


def _answer(request: S3Request, kept: str) -> web.Response:
    body = '<?xml version="1.0" encoding="UTF-8"?>\n' + (kept or _document(request, []))
    return web.Response(body=body.encode(), content_type="application/xml")


def _document(request: S3Request, grants: list[Element], owner: bool = True) -> str:
    account = request.call.emulator.account_id
    own = [_grant(("ID", account), "FULL_CONTROL")] if owner else []
    return element_text(
        "AccessControlPolicy",
        [
            ("Owner", [("ID", account), ("DisplayName", account)]),
            ("AccessControlList", [*own, *grants]),
        ],
    )


def _grant(grantee: tuple[str, str], permission: str) -> Element:
    kind = "CanonicalUser" if grantee[0] == "ID" else "Group"
    tag = f'Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="{kind}"'
    named = [grantee, ("DisplayName", grantee[1])] if kind == "CanonicalUser" else [grantee]
    return ("Grant", [(tag, [*named]), ("Permission", permission)])


def _ownership(storage: Storage, bucket: str) -> str:
    kept = storage.index.setting(bucket, "ownershipControls")
    if kept is None:
        return "ObjectWriter"
    value = read_kept("PutBucketOwnershipControls", "OwnershipControls", kept)
    ownership: str = value["Rules"][0]["ObjectOwnership"]
    return ownership


def _not_supported() -> AwsError:
    return AwsError("AccessControlListNotSupported", "The bucket does not allow ACLs")
