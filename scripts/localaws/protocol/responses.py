"""Errors and responses in the four formats of AWS services."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal
from xml.sax.saxutils import escape

from aiohttp import web

from ..errors import AwsError
from . import cbor

Protocol = Literal["s3", "json", "rest-json", "query", "cbor"]


def protocol_of(request: web.BaseRequest, path: str, service: str) -> Protocol:
    """The protocol of the response."""
    headers = request.headers
    if headers.get("smithy-protocol") == "rpc-v2-cbor":
        return "cbor"
    if "X-Amz-Target" in headers:
        return "json"
    if headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded"):
        return "query"
    # Without a target and a form it is S3, or a service that is addressed by its paths.
    return "s3" if service in ("s3", "s3express", "") else "rest-json"


def json_response(document: Mapping[str, Any], status: int = 200) -> web.Response:
    """An answer of a JSON 1.1 or 1.0 service."""
    return web.Response(
        body=json.dumps(document).encode(), status=status, content_type="application/x-amz-json-1.1"
    )


def error_response(error: AwsError, protocol: Protocol, request_id: str) -> web.Response:
    """The error as that protocol writes it."""
    response = _error_response(error, protocol, request_id)
    response.headers.update(error.headers)
    return response


def _error_response(error: AwsError, protocol: Protocol, request_id: str) -> web.Response:
    if protocol == "s3":
        return _s3_error(error, request_id)
    if protocol == "query":
        return _query_error(error, request_id)
    if protocol == "cbor":
        body = cbor.dumps({"__type": error.code, "message": error.message, **error.members})
        return web.Response(
            body=body,
            status=error.status,
            headers={"smithy-protocol": "rpc-v2-cbor"},
            content_type="application/cbor",
        )
    # Services disagree on the case of this member, and clients on which they read: both are sent.
    document = {"__type": error.code, "message": error.message, "Message": error.message, **error.members}
    response = json_response(document, error.status)
    if protocol == "rest-json":
        response.content_type = "application/json"
        response.headers["x-amzn-ErrorType"] = error.code
    return response


def _s3_error(error: AwsError, request_id: str) -> web.Response:
    members = "".join(f"<{name}>{xml_text(value)}</{name}>" for name, value in error.members.items())
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{error.code}</Code><Message>{xml_text(error.message)}</Message>{members}"
        f"<RequestId>{request_id}</RequestId></Error>"
    )
    if error.status == 304:
        return web.Response(status=304)
    return web.Response(body=body.encode(), status=error.status, content_type="application/xml")


def _query_error(error: AwsError, request_id: str) -> web.Response:
    kind = "Sender" if error.status < 500 else "Receiver"
    body = (
        f"<ErrorResponse><Error><Type>{kind}</Type><Code>{error.code}</Code>"
        f"<Message>{xml_text(error.message)}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
    )
    return web.Response(body=body.encode(), status=error.status, content_type="text/xml")


def xml_text(value: object) -> str:
    """Text for XML: markup escaped, and characters that XML 1.0 cannot carry replaced."""
    kept = (c if c in "\t\n\r" or "\x20" <= c <= "\ud7ff" or c >= "\ue000" else "\ufffd" for c in str(value))
    return escape("".join(kept))
