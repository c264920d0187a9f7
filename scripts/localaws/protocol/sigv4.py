"""AWS Signature Version 4: verifies requests of clients, and signs this package's own control calls.

Source: "AWS Signature Version 4 for API requests" in the IAM User Guide; S3's differences in "Authenticating
Requests" of the S3 API Reference (the path is encoded once and never normalised).
"""

from __future__ import annotations

import hashlib
import hmac
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from urllib.parse import quote, unquote

from ..errors import LocalAwsError
from ..state.keys import Credentials

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
MAX_CLOCK_SKEW = timedelta(minutes=15)
_MAX_PRESIGNED_S = 604_800
_UNRESERVED = "-_.~"
_NUMBER = re.compile(r"[0-9]{1,9}")
_TIMESTAMP = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_AUTHORIZATION_PART = re.compile(r"\s*(Credential|SignedHeaders|Signature)=([^,\s]+)\s*")

Headers = Mapping[str, Sequence[str]]


class SignatureError(LocalAwsError):
    """A request with an invalid signature. `reason` is a code of this module; services report it
    differently.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Request:
    """The signed parts of a request. `raw_path` and `raw_query` are from the request line."""

    method: str
    raw_path: str
    raw_query: str
    headers: Headers  # names in lower case, every value in the order of arrival


@dataclass(frozen=True)
class Signed:
    """The signature of a request, and its parameters."""

    access_key_id: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str
    timestamp: str
    expires_s: int | None  # presigned requests only

    @property
    def scope(self) -> str:
        """The credential scope."""
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


@cache
def known_regions() -> frozenset[str]:
    """Every region of every partition, as botocore lists them."""
    # Only the server verifies signatures; signing must not wait for this import.
    from botocore.loaders import Loader

    partitions = Loader().load_data("partitions")["partitions"]
    return frozenset(name for partition in partitions for name in partition["regions"])


def split_target(raw_target: str) -> tuple[str, str]:
    """Path and query of a request line's target; an absolute form loses its scheme and host."""
    if not raw_target.startswith("/") and "://" in raw_target:
        raw_target = "/" + raw_target.split("://", 1)[1].partition("/")[2]
    path, _, query = raw_target.partition("?")
    return path, query


def parse_query(raw_query: str) -> list[tuple[str, str]]:
    """Decoded names and values; a plus sign stays one, as S3 takes it."""
    pairs = (item.partition("=") for item in raw_query.split("&") if item)
    return [(unquote(name), unquote(value)) for name, _, value in pairs]


def read_signature(request: Request) -> Signed:
    """Find the signature in the headers or the query. Raises SignatureError if there is none."""
    authorization = request.headers.get("authorization")
    if authorization:
        return _from_header(authorization[0], request.headers)
    query = dict(parse_query(request.raw_query))
    if "X-Amz-Signature" in query:
        return _from_query(query)
    raise SignatureError(
        "missing", "The request carries no signature. Sign it with the key pair of `localaws env`."
    )


def read_form_signature(fields: Mapping[str, str], now: datetime) -> Signed:
    """The signature of a form upload's policy, by the names of its fields. Raises SignatureError."""
    if fields["x-amz-algorithm"] != ALGORITHM:
        raise SignatureError("malformed", "X-Amz-Algorithm must be AWS4-HMAC-SHA256.")
    credential, timestamp = fields["x-amz-credential"], fields["x-amz-date"]
    signed = _signed(credential, "", fields["x-amz-signature"], timestamp, _MAX_PRESIGNED_S)
    if signed.service != "s3":
        raise SignatureError("malformed", "The credential's service must be s3.")
    _check_age(signed, now)
    return signed


def verify(
    signed: Signed, request: Request, secret_access_key: str, payload_hash: str, now: datetime
) -> None:
    """Raise SignatureError unless the key pair's owner signed this request, and did so recently."""
    _check_age(signed, now)
    if "host" not in signed.signed_headers:
        raise SignatureError("malformed", "The host header must be signed.")
    expected = sign(signed, canonical_request(request, signed, payload_hash), secret_access_key)
    if not hmac.compare_digest(expected, signed.signature):
        raise SignatureError(
            "mismatch",
            "The request signature we calculated does not match the signature you provided. "
            "Check your key and signing method.",
        )


def canonical_request(request: Request, signed: Signed, payload_hash: str) -> str:
    """The canonical request."""
    path = unquote(request.raw_path) if signed.service == "s3" else _normalised(request.raw_path)
    pairs = sorted(
        (quote(name, safe=_UNRESERVED), quote(value, safe=_UNRESERVED))
        for name, value in parse_query(request.raw_query)
        if name != "X-Amz-Signature"
    )
    headers = [
        f"{name}:{','.join(' '.join(value.split()) for value in request.headers.get(name, ['']))}\n"
        for name in signed.signed_headers
    ]
    return "\n".join(
        (
            request.method,
            quote(path, safe="/" + _UNRESERVED) or "/",
            "&".join(f"{name}={value}" for name, value in pairs),
            "".join(headers),
            ";".join(signed.signed_headers),
            payload_hash,
        )
    )


def sign(signed: Signed, canonical: str, secret_access_key: str) -> str:
    """The hex signature of a canonical request."""
    digest = hashlib.sha256(canonical.encode("utf-8", "surrogateescape")).hexdigest()
    text = f"{ALGORITHM}\n{signed.timestamp}\n{signed.scope}\n{digest}"
    key = signing_key(secret_access_key, signed.date, signed.region, signed.service)
    return hmac.digest(key, text.encode("utf-8", "surrogateescape"), "sha256").hex()


@lru_cache(maxsize=256)
def signing_key(secret_access_key: str, date: str, region: str, service: str) -> bytes:
    """The derived key of one day, region and service."""
    key = ("AWS4" + secret_access_key).encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode("utf-8", "surrogateescape"), "sha256")
    return key


def signed_headers(
    credentials: Credentials, request: Request, service: str, region: str, body: bytes | None, now: datetime
) -> dict[str, str]:
    """The headers that make a request valid; `request.headers` must hold the host.

    A body of None is left out of the signature, which S3 alone allows.
    """
    timestamp = now.strftime("%Y%m%dT%H%M%SZ")
    headers = {**request.headers, "x-amz-date": [timestamp]}
    names = tuple(sorted(headers))
    signed = Signed(credentials.access_key_id, timestamp[:8], region, service, names, "", timestamp, None)
    payload_hash = UNSIGNED_PAYLOAD if body is None else hashlib.sha256(body).hexdigest()
    request = Request(request.method, request.raw_path, request.raw_query, headers)
    signature = sign(signed, canonical_request(request, signed, payload_hash), credentials.secret_access_key)
    return {
        "x-amz-date": timestamp,
        "authorization": f"{ALGORITHM} Credential={credentials.access_key_id}/{signed.scope}, "
        f"SignedHeaders={';'.join(names)}, Signature={signature}",
    }


def _from_header(authorization: str, headers: Headers) -> Signed:
    algorithm, _, rest = authorization.partition(" ")
    matches = map(_AUTHORIZATION_PART.fullmatch, rest.split(","))
    parts: dict[str, str] = {match[1]: match[2] for match in matches if match}
    if algorithm != ALGORITHM or len(parts) != 3:
        raise SignatureError("malformed", "The authorization header is not Signature Version 4.")
    dates = headers.get("x-amz-date")
    if not dates:
        raise SignatureError("malformed", "The request has no x-amz-date header.")
    return _signed(parts["Credential"], parts["SignedHeaders"], parts["Signature"], dates[0], None)


def _from_query(query: Mapping[str, str]) -> Signed:
    try:
        if query["X-Amz-Algorithm"] != ALGORITHM:
            raise SignatureError("malformed", "X-Amz-Algorithm must be AWS4-HMAC-SHA256.")
        expires = query["X-Amz-Expires"]
        if not _NUMBER.fullmatch(expires) or not 0 < (expires_s := int(expires)) <= _MAX_PRESIGNED_S:
            raise SignatureError("malformed", "X-Amz-Expires must lie between 1 and 604800 seconds.")
        return _signed(
            query["X-Amz-Credential"],
            query["X-Amz-SignedHeaders"],
            query["X-Amz-Signature"],
            query["X-Amz-Date"],
            expires_s,
        )
    except (KeyError, ValueError) as error:
        raise SignatureError(
            "malformed", "The presigned address lacks a parameter, or has a wrong one."
        ) from error


def _signed(credential: str, names: str, signature: str, timestamp: str, expires_s: int | None) -> Signed:
    parts = credential.rsplit("/", 4)
    if len(parts) != 5 or parts[4] != "aws4_request" or not all(parts):
        raise SignatureError(
            "malformed", "The credential is not <key>/<date>/<region>/<service>/aws4_request."
        )
    if parts[1] != timestamp[:8]:
        raise SignatureError("malformed", "The date of the credential scope is not that of the request.")
    if not signature.isascii():
        raise SignatureError("malformed", "The signature is not hexadecimal.")
    access_key_id, date, region, service, _ = parts
    if region not in known_regions():
        text = f"Credential should be scoped to a valid region, not {region[:50]!r}."
        raise SignatureError("unknown region", text)
    names_signed = tuple(names.lower().split(";"))
    return Signed(access_key_id, date, region, service, names_signed, signature, timestamp, expires_s)


def _check_age(signed: Signed, now: datetime) -> None:
    try:
        if not _TIMESTAMP.fullmatch(signed.timestamp):
            raise ValueError(signed.timestamp)
        made = datetime.strptime(signed.timestamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError as error:
        raise SignatureError("malformed", "The date is not of the form 20260102T030405Z.") from error
    if made - now > MAX_CLOCK_SKEW or (signed.expires_s is None and now - made > MAX_CLOCK_SKEW):
        raise SignatureError(
            "skewed", "The difference between the request time and the current time is too large."
        )
    if signed.expires_s is not None and now > made + timedelta(seconds=signed.expires_s):
        raise SignatureError("expired", "Request has expired")


def _normalised(raw_path: str) -> str:
    path = posixpath.normpath("/" + raw_path.lstrip("/"))
    return path + "/" if raw_path.endswith("/") and path != "/" else path
