"""Finds the operation of S3's model for a request.

Every operation of the model is recognised, supported or not. Query parameters that the operation does not
have are rejected, because a request for an unknown sub-resource must never act on the object or the bucket.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from botocore.model import OperationModel

from ...errors import AwsError
from ...protocol.service_models import service_model

# Query parameters of any request: those of presigned URLs, and the operation name that SDKs add for logs.
_SIGNING = frozenset(
    (
        *("AWSAccessKeyId", "Signature", "Expires", "content-type", "content-md5"),
        *("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders"),
        *("X-Amz-Signature", "X-Amz-Security-Token", "X-Amz-Content-Sha256", "x-id"),
    )
)
# Older operations at the same URL as a newer one.
_ALIASES = {
    "GetBucketLifecycle",
    "PutBucketLifecycle",
    "GetBucketNotification",
    "PutBucketNotification",
    "ListDirectoryBuckets",
}


@dataclass(frozen=True)
class _Address:
    """What identifies an operation's requests."""

    operation: str
    query: Mapping[str, str]  # an empty value matches any
    headers: Collection[str]


def identify(method: str, bucket: str, key: str, query: Mapping[str, str], headers: Mapping[str, str]) -> str:
    """The operation's name in the model. Raises NotImplemented or MethodNotAllowed."""
    level = "object" if key else "bucket" if bucket else "service"
    if (method, bucket, key) == ("POST", "WriteGetObjectResponse", ""):
        return bucket  # the only operation with its own path
    fitting = [
        address
        for address in _addresses().get((level, method), ())
        if all(name in query and value in ("", query[name]) for name, value in address.query.items())
        and all(name in headers for name in address.headers)
    ]
    if not fitting:
        text = "The specified method is not allowed against this resource."
        raise AwsError("MethodNotAllowed", text, 405, {"Method": method})
    found = max(fitting, key=lambda address: len(address.query) + len(address.headers)).operation
    _refuse_unknown_parameters(found, query)
    return found


def refuse(operation: str) -> AwsError:
    """The error for an S3 operation that is not supported."""
    return AwsError("NotImplemented", f"The embedded AWS does not support S3's operation {operation}.", 501)


def members_at(operation: OperationModel, location: str) -> dict[str, str]:
    """Members of an operation's input in the `querystring` or a `header`, by their name there."""
    shape = operation.input_shape
    return {
        member.serialization["name"]: name
        for name, member in (shape.members.items() if shape else ())
        if member.serialization.get("location") == location
    }


def _refuse_unknown_parameters(operation: str, query: Mapping[str, str]) -> None:
    model = service_model("s3").operation_model(operation)
    known = {*_SIGNING, *_static_query(model), *members_at(model, "querystring")}
    for name in query:
        # Names that start with x- are for the caller's logs, or headers of a presigned URL.
        if name not in known and not name.startswith("x-"):
            text = f"The embedded AWS does not support the parameter {name[:100]!r} of {operation}."
            raise AwsError("NotImplemented", text, 501)


@functools.cache
def _addresses() -> dict[tuple[str, str], tuple[_Address, ...]]:
    service = service_model("s3")
    found: dict[tuple[str, str], tuple[_Address, ...]] = {}
    for name in service.operation_names:
        model = service.operation_model(name)
        path = model.http["requestUri"].partition("?")[0]
        level = {"/": "service", "/{Bucket}": "bucket", "/{Bucket}/{Key+}": "object"}.get(path)
        if level is None or name in _ALIASES:
            continue
        place = (level, model.http["method"])
        found[place] = (*found.get(place, ()), _Address(name, *_required(model)))
    return found


def _required(model: OperationModel) -> tuple[dict[str, str], frozenset[str]]:
    shape = model.input_shape
    required = shape.required_members if shape else ()
    query = dict(_static_query(model))
    query |= {name: "" for name, member in members_at(model, "querystring").items() if member in required}
    headers = members_at(model, "header")
    # Headers distinguish operations at the same URL: only a copy has a source.
    return query, frozenset(name for name in headers if headers[name] == "CopySource")


def _static_query(model: OperationModel) -> dict[str, str]:
    pairs = parse_qsl(model.http["requestUri"].partition("?")[2], keep_blank_values=True)
    return {name: value for name, value in pairs if name != "x-id"}
