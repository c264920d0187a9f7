"""Presigned URLs of Signature Version 2, which boto3 and the AWS CLI still create by default.

The string to sign is botocore's. Parameters that this version does not sign are refused, so that a signed URL
cannot be turned into another request.
"""

from __future__ import annotations

import hmac
import re
import time
from urllib.parse import urlsplit

from botocore.auth import HmacV1Auth
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials

from . import sigv4

_NUMBER = re.compile(r"[0-9]{1,12}")
_OWN = ("AWSAccessKeyId", "Signature", "Expires", "x-id")
# botocore repeats these in the address; the signature covers the header alone, which the client has to send.
_REPEATED = ("content-md5", "content-type")


class _Signer(HmacV1Auth):  # type: ignore[misc]
    """Signs with the time of expiry where a header would have its date."""

    def __init__(self, credentials: Credentials, expires: str) -> None:
        super().__init__(credentials)
        self._expires = expires

    def _get_date(self) -> str:
        return self._expires


def access_key_id(request: sigv4.Request) -> str | None:
    """The key pair's id in an address of this version; None for any other request."""
    query = dict(sigv4.parse_query(request.raw_query))
    is_older = {"AWSAccessKeyId", "Signature", "Expires"} <= query.keys()
    return query["AWSAccessKeyId"] if is_older and "authorization" not in request.headers else None


def verify(request: sigv4.Request, key_id: str, secret_access_key: str) -> None:
    """Raise SignatureError unless the key pair's owner signed this address, and it has not expired."""
    pairs = sigv4.parse_query(request.raw_query)
    query = dict(pairs)
    moved = {name: value for name, value in query.items() if name.startswith("x-amz-")}
    unsigned = sorted(set(query) - {*_OWN, *_REPEATED, *HmacV1Auth.QSAOfInterest, *moved})
    if unsigned or len(query) != len(pairs):
        text = f"Signature Version 2 does not cover {', '.join(unsigned) or 'a parameter that comes twice'}."
        raise sigv4.SignatureError("malformed", text)
    if not _NUMBER.fullmatch(query["Expires"]):
        raise sigv4.SignatureError("malformed", "Expires must be a number of seconds since 1970.")
    if int(query["Expires"]) < time.time():
        raise sigv4.SignatureError("expired", "Request has expired")
    headers = HTTPHeaders()
    sent = {name: ",".join(found) for name, found in request.headers.items() if _is_signed_header(name)}
    for name, value in {**moved, **sent}.items():
        headers[name] = value
    kept = "&".join(
        item for item in request.raw_query.split("&") if item.partition("=")[0] in HmacV1Auth.QSAOfInterest
    )
    address = urlsplit(f"http://localhost{request.raw_path}" + (f"?{kept}" if kept else ""))
    signer = _Signer(Credentials(key_id, secret_access_key), query["Expires"])
    expected: str = signer.get_signature(request.method, address, headers)
    if not hmac.compare_digest(expected.encode(), query["Signature"].encode()):
        text = "The request signature we calculated does not match the signature you provided."
        raise sigv4.SignatureError("mismatch", f"{text} Check your key and signing method.")


def _is_signed_header(name: str) -> bool:
    return name in _REPEATED or name.startswith("x-amz-")
