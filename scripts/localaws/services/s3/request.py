"""A parsed S3 request: bucket, key, sub-resource, and relevant headers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate, parsedate_to_datetime
from urllib.parse import parse_qsl, unquote_to_bytes

from multidict import CIMultiDict

from ...errors import AwsError
from ...protocol.call import Call
from ...protocol.sigv4 import parse_query, split_target
from .receive import Source

_MAX_KEY_BYTES = 1024
_MOST_OBJECT_TAGS = 10
_MAX_METADATA_BYTES = 2048
_BUCKET_NAME = re.compile(r"(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9](?:[a-z0-9.-]{1,61})[a-z0-9]")
_KEPT_HEADERS = (
    "content-type",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "expires",
)
_INTEGER = re.compile(r"-?[0-9]{1,11}")
_MAX_INTEGER = 2**31 - 1
_COPY_RANGE = re.compile(r"bytes=([0-9]{1,19})-([0-9]{1,19})")
_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")


@dataclass(frozen=True)
class S3Request:
    """A call with its parsed path. `key` is empty for buckets, both are empty for S3 itself."""

    call: Call
    bucket: str
    key: str
    query: Mapping[str, str]
    # Names are case-insensitive. A presigned URL may have x-amz-… headers as parameters.
    headers: Mapping[str, str]
    # File and fields of a form upload; other uploads use the request's body.
    file: Source | None = None
    fields: Mapping[str, str] = field(default_factory=dict)

    def number(self, name: str, low: int, high: int, default: int | None = None) -> int:
        """A number from the query, capped if it has a default. Raises InvalidArgument with S3's wording."""
        text = self.query.get(name)
        if text is None and default is not None:
            return default
        value = int(text) if text is not None and _INTEGER.fullmatch(text) else None
        if default is None:
            called = "Part number" if name == "partNumber" else name
            problem = f"{called} must be an integer between {low} and {high}, inclusive"
            highest = high
        elif value is None or value > _MAX_INTEGER:
            problem = f"Provided {name} not an integer or within integer range"
            highest = _MAX_INTEGER
        else:
            problem = f"Argument {name} must be an integer between 0 and {_MAX_INTEGER}"
            highest = _MAX_INTEGER
        if value is None or not low <= value <= highest:
            members = {"ArgumentName": name, "ArgumentValue": text or ""}
            raise AwsError("InvalidArgument", problem, 400, members)
        return min(value, high)


def read_request(call: Call) -> S3Request:
    """Parse the path. Raises InvalidURI or KeyTooLongError."""
    path, raw_query = split_target(call.request.raw_path)
    bucket, _, raw_key = path.removeprefix("/").partition("/")
    try:
        key = unquote_to_bytes(raw_key).decode()
        bucket = unquote_to_bytes(bucket).decode()
    except UnicodeDecodeError as error:
        raise AwsError("InvalidURI", "Couldn't parse the specified URI.") from error
    check_key_length(key)
    query = dict(parse_query(raw_query))
    headers: Mapping[str, str] = call.request.headers
    moved = {name: value for name, value in query.items() if name.startswith("x-amz-")}
    if moved:
        headers = CIMultiDict({**headers, **moved})
    return S3Request(call, bucket, key, query, headers)


def check_key_length(key: str) -> None:
    """Raise KeyTooLongError for a key that S3 cannot store."""
    if len(key.encode()) > _MAX_KEY_BYTES:
        raise AwsError("KeyTooLongError", "Your key is too long")


def check_bucket_name(name: str) -> None:
    """Raise InvalidBucketName unless the name is valid."""
    if not _BUCKET_NAME.fullmatch(name) or ".." in name:
        raise AwsError("InvalidBucketName", "The specified bucket is not valid.")


def object_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers of an upload that are stored with the object. Raises MetadataTooLarge."""
    kept = {name: headers[name] for name in _KEPT_HEADERS if name in headers}
    encodings = [item.strip() for item in kept.pop("content-encoding", "").split(",")]
    if encoding := ",".join(item for item in encodings if item and item != "aws-chunked"):
        kept["content-encoding"] = encoding
    metadata = {
        name.lower(): value for name, value in headers.items() if name.lower().startswith("x-amz-meta-")
    }
    if sum(len(name) + len(value.encode("utf-8", "surrogateescape")) for name, value in metadata.items()) > (
        _MAX_METADATA_BYTES + len("x-amz-meta-") * len(metadata)
    ):
        raise AwsError("MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size")
    return {"content-type": "binary/octet-stream", **kept, **metadata}


def tags_of(headers: Mapping[str, str]) -> dict[str, str]:
    """The tags of the x-amz-tagging header. Raises InvalidTag."""
    tags = dict(parse_qsl(headers.get("x-amz-tagging", ""), keep_blank_values=True))
    check_tags(tags)
    return tags


def check_tags(tags: Mapping[str, str], most: int = _MOST_OBJECT_TAGS) -> None:
    """Raise BadRequest or InvalidTag if there are too many tags, or one is too long."""
    if len(tags) > most == _MOST_OBJECT_TAGS:
        raise AwsError("BadRequest", f"Object tags cannot be greater than {most}")
    if len(tags) > most or any(not 1 <= len(name) <= 128 or len(value) > 256 for name, value in tags.items()):
        raise AwsError("InvalidTag", f"{most} tags at most, names of 1 to 128, values up to 256 characters")
    if any(name.lower().startswith("aws:") for name in tags):
        is_object = most == _MOST_OBJECT_TAGS
        system = "System tags cannot be added/updated by requester"
        raise AwsError("InvalidTag", "Your TagKey cannot be prefixed with aws:" if is_object else system)


def range_of(header: str | None, size_bytes: int) -> tuple[int, int] | None:
    """(start, bytes) of a Range header, None for the whole object. Raises InvalidRange.

    Like S3, several ranges or an unknown unit get the whole object.
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        length = min(int(match[2]), size_bytes)
        start = size_bytes - length
    else:
        start = int(match[1])
        last = min(int(match[2]) if match[2] else size_bytes - 1, size_bytes - 1)
        if match[2] and int(match[2]) < start:
            return None
        length = last - start + 1
    if length <= 0:
        members = {"RangeRequested": header, "ActualObjectSize": size_bytes}
        raise AwsError("InvalidRange", "The requested range is not satisfiable", 416, members)
    return start, length


def copied_range(header: str | None, size_bytes: int) -> tuple[int, int]:
    """(start, bytes) of the copied part of a source; unlike a read's it is exact. Raises InvalidArgument."""
    if header is None:
        return 0, size_bytes
    match = _COPY_RANGE.fullmatch(header)
    if match is None or int(match[1]) > int(match[2]):
        text = (
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are "
            "the zero-based offsets of the first and last bytes to copy"
        )
        raise AwsError("InvalidArgument", text)
    start, last = int(match[1]), int(match[2])
    if last >= size_bytes:
        text = f"Range specified is not valid for source object of size: {size_bytes}"
        raise AwsError("InvalidArgument", text)
    return start, last - start + 1


def check_conditions(
    headers: Mapping[str, str], etag: str, modified_s: float, prefix: str = "", reading: bool = True
) -> None:
    """Raise NotModified (304) or PreconditionFailed (412) by the conditional headers, in RFC 9110's order."""
    if (wanted := headers.get(f"{prefix}if-match")) is not None:
        if not _etag_in(wanted, etag):
            raise precondition_failed(f"{prefix}If-Match")
    elif (since := _date_s(headers.get(f"{prefix}if-unmodified-since"))) is not None and int(
        modified_s
    ) > since:
        raise precondition_failed(f"{prefix}If-Unmodified-Since")
    same = {"ETag": f'"{etag}"', "Last-Modified": formatdate(modified_s, usegmt=True)}
    unchanged = AwsError("NotModified", "Not Modified", 304, headers=same) if reading else None
    if (unwanted := headers.get(f"{prefix}if-none-match")) is not None:
        if _etag_in(unwanted, etag):
            raise unchanged or precondition_failed(f"{prefix}If-None-Match")
    elif (since := _date_s(headers.get(f"{prefix}if-modified-since"))) is not None and int(
        modified_s
    ) <= since:
        raise unchanged or precondition_failed(f"{prefix}If-Modified-Since")


def precondition_failed(condition: str) -> AwsError:
    """S3's error for a failed condition of the request."""
    text = "At least one of the pre-conditions you specified did not hold"
    return AwsError("PreconditionFailed", text, 412, {"Condition": condition})


def _etag_in(header: str, etag: str) -> bool:
    wanted = [item.strip().removeprefix("W/").strip('"') for item in header.split(",")]
    return etag in wanted or "*" in wanted


def _date_s(header: str | None) -> float | None:
    if header is None:
        return None
    try:
        return parsedate_to_datetime(header).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
