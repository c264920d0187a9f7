"""Form uploads (presigned POST): fields, a signed policy, then the file.

Source: "POST Object" and "Browser-based uploads" in the S3 API Reference. HTTP headers of such a request are
not signed and change nothing: fields take their place.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import re
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar
from urllib.parse import quote, urlencode, urlsplit

from aiohttp import BodyPartReader, MultipartReader, web
from aiohttp.http import HttpProcessingError
from multidict import CIMultiDict

from ...emulator import Emulator
from ...errors import AwsError
from ...protocol import sigv4
from ...protocol.body import accept_body
from ...protocol.call import Call
from ...protocol.service_models import service_model
from .model_xml import read_payload
from .operations import members_at
from .post_policy import check_policy
from .receive import MAX_BODY_BYTES
from .request import S3Request, check_key_length, read_request
from .xml import document

_IDLE_S = 30.0
_MAX_FIELDS_BYTES = 20 << 10
_CHUNK_BYTES = 256 << 10
_SIGNING = ("x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature", "x-amz-security-token")

_Read = TypeVar("_Read")


@dataclass(frozen=True)
class FormFile:
    """The file of a form, as a source of an upload's bytes."""

    part: BodyPartReader
    headers: Mapping[str, str]
    sizes_bytes: tuple[int, int] | None

    async def next_chunk(self) -> bytes:
        """The next bytes of the file, empty at the end."""
        # An empty chunk may precede the boundary's recognition.
        while not self.part.at_eof():
            if chunk := await _reading(self.part.read_chunk(_CHUNK_BYTES)):
                return chunk
        return b""


@dataclass(frozen=True)
class Form:
    """The fields by lower-case name, and the file after them."""

    fields: Mapping[str, str]
    part: BodyPartReader


def is_form(sent: sigv4.Request) -> bool:
    """Whether a request is a form upload (its signature is in a field)."""
    kind = sent.headers.get("content-type", [""])[0].lower()
    is_signed = "authorization" in sent.headers or "Signature=" in sent.raw_query
    return sent.method == "POST" and kind.startswith("multipart/form-data") and not is_signed


async def read_form_upload(emulator: Emulator, request: web.BaseRequest) -> S3Request:
    """The verified PutObject of a form; its file has not been read yet."""
    address = read_request(Call(emulator, "s3", "", "", request, None))
    if not address.bucket or address.key:
        text = "The specified method is not allowed against this resource."
        raise AwsError("MethodNotAllowed", text, 405, {"Method": "POST"})
    if address.query:
        raise AwsError("InvalidArgument", "Query String Parameters not allowed on POST requests.")
    form = await _read_form(request)
    if "policy" not in form.fields:
        raise AwsError("AccessDenied", "Access Denied: the form carries no signed policy.", 403)
    now = datetime.now(UTC)
    signed = _check_signature(emulator, form.fields, now)
    allowed = {**form.fields, "bucket": address.bucket}
    sizes_bytes = check_policy(form.fields["policy"], allowed, now, MAX_BODY_BYTES)
    headers = _headers(form.fields)
    by_version_4 = signed if signed.region else None
    region = signed.region or "us-east-1"
    call = Call(emulator, "s3", region, signed.access_key_id, request, None, signed=by_version_4)
    file = FormFile(form.part, headers, sizes_bytes)
    return S3Request(call, address.bucket, _key(form), {}, headers, file, form.fields)


def form_response(request: S3Request, stored: web.StreamResponse) -> web.Response:
    """The response to a successful upload that the form's fields request."""
    fields, etag = request.fields, stored.headers["ETag"]
    target = fields.get("success_action_redirect", fields.get("redirect", ""))
    if urlsplit(target).scheme in ("http", "https"):
        query = urlencode({"bucket": request.bucket, "key": request.key, "etag": etag}, quote_via=quote)
        location = f"{target}{'&' if '?' in target else '?'}{query}"
        return web.Response(status=303, headers={**stored.headers, "Location": location})
    location = f"{request.call.emulator.endpoint_url}/{request.bucket}/{quote(request.key, safe='/-_.~')}"
    status = fields.get("success_action_status")
    answer = web.Response(status=200 if status == "200" else 204)
    if status == "201":
        members = [("Location", location), ("Bucket", request.bucket), ("Key", request.key), ("ETag", etag)]
        answer = document("PostResponse", members)
        answer.set_status(201)
    answer.headers.update({name: value for name, value in stored.headers.items() if name != "Content-Type"})
    answer.headers["Location"] = location
    return answer


async def _read_form(request: web.BaseRequest) -> Form:
    """All fields before the file. Raises MalformedPOSTRequest and S3's errors for missing fields."""
    await accept_body(request)
    reader = await _reading(request.multipart())
    fields: dict[str, str] = {}
    size_bytes = 0
    while (part := await _next_part(reader)) is not None:
        name = (part.name or "").lower()
        if name == "file":
            if "key" not in fields:
                text = "Bucket POST must contain a field named 'key', before the file."
                raise AwsError("InvalidArgument", text, 400, {"ArgumentName": "key"})
            return Form(fields, part)
        content = b""
        while not part.at_eof():
            content += await _reading(part.read_chunk())
            if size_bytes + len(content) > _MAX_FIELDS_BYTES:
                text = "Your POST request fields preceding the upload file were too large."
                raise AwsError("MaxPostPreDataLengthExceeded", text)
        size_bytes += len(content)
        if name in fields:
            raise AwsError("InvalidArgument", f"The form has the field {name[:50]!r} more than once.")
        try:
            fields[name] = content.decode()
        except UnicodeDecodeError as error:
            raise _malformed(f"the field {name[:50]!r} is not UTF-8") from error
    raise AwsError("InvalidArgument", "POST requires exactly one file upload per request.")


async def _next_part(reader: MultipartReader) -> BodyPartReader | None:
    part = await _reading(reader.next())
    if isinstance(part, MultipartReader):
        raise _malformed("a part contains further parts")
    return part


async def _reading(work: Coroutine[None, None, _Read]) -> _Read:
    """The result of reading from the client; invalid input is raised as S3's errors."""
    try:
        async with asyncio.timeout(_IDLE_S):
            return await work
    except TimeoutError as error:
        raise AwsError("RequestTimeout", "The form did not arrive within the timeout period.") from error
    except (ValueError, AssertionError, RuntimeError, HttpProcessingError, web.RequestPayloadError) as error:
        raise _malformed(str(error)[:100]) from error


def _malformed(reason: str) -> AwsError:
    text = f"The body of your POST request is not well-formed multipart/form-data ({reason})."
    return AwsError("MalformedPOSTRequest", text)


def _check_signature(emulator: Emulator, fields: Mapping[str, str], now: datetime) -> sigv4.Signed:
    """Raise S3's error unless the policy was signed with a key pair of this server."""
    is_older = "awsaccesskeyid" in fields
    if is_older:
        key_id, signature = fields["awsaccesskeyid"], fields.get("signature", "")
        # Signature Version 2 names neither a region nor a date.
        signed = sigv4.Signed(key_id, "", "", "s3", (), signature, "", None)
    else:
        signed = _signed(fields, now)
    key = emulator.keys.get(signed.access_key_id)
    if key is None:
        raise AwsError("InvalidAccessKeyId", "The access key ID is not one of this server's.", 403)
    policy = fields["policy"].encode()
    if is_older:
        digest = hmac.digest(key.secret_access_key.encode(), policy, "sha1")
        expected = base64.b64encode(digest).decode()
    else:
        derived = sigv4.signing_key(key.secret_access_key, signed.date, signed.region, "s3")
        expected = hmac.digest(derived, policy, "sha256").hex()
    if not hmac.compare_digest(expected.encode(), signed.signature.encode()):
        text = "The request signature we calculated does not match the signature you provided."
        raise AwsError("SignatureDoesNotMatch", f"{text} Check your key and signing method.", 403)
    return signed


def _signed(fields: Mapping[str, str], now: datetime) -> sigv4.Signed:
    missing = [name for name in _SIGNING[:4] if name not in fields]
    if missing:
        text = f"Bucket POST must contain a field named '{missing[0]}'."
        raise AwsError("InvalidArgument", text, 400, {"ArgumentName": missing[0]})
    try:
        return sigv4.read_form_signature(fields, now)
    except sigv4.SignatureError as error:
        status = 403 if error.reason in ("expired", "skewed") else 400
        code = "AccessDenied" if status == 403 else "InvalidArgument"
        raise AwsError(code, str(error), status) from error


def _key(form: Form) -> str:
    """The object's key, with the file name inserted if the form requests it."""
    name = re.split(r"[/\\]", form.part.filename or "")[-1]
    key = form.fields["key"].replace("${filename}", name)
    if not key:
        raise AwsError("InvalidArgument", "User key must have a length greater than 0.")
    try:
        check_key_length(key)
    except UnicodeEncodeError as error:
        raise _malformed("the file's name is not UTF-8") from error
    return key


def _headers(fields: Mapping[str, str]) -> CIMultiDict[str]:
    """The headers of the PutObject that the fields describe. Unknown fields are omitted."""
    known = {name.lower() for name in members_at(service_model("s3").operation_model("PutObject"), "header")}
    headers: CIMultiDict[str] = CIMultiDict()
    for name, value in fields.items():
        if name == "acl":
            headers["x-amz-acl"] = value
        elif name == "tagging":
            headers["x-amz-tagging"] = _tags(value)
        elif name.startswith("x-amz-meta-") or (name in known and name != "content-length"):
            headers[name] = value
        elif name.startswith("x-amz-") and name not in _SIGNING:
            text = f"The embedded AWS does not support the field {name[:50]!r} of a form upload."
            raise AwsError("NotImplemented", text, 501)
    return headers


def _tags(text: str) -> str:
    value, _ = read_payload("PutObjectTagging", "Tagging", text.encode())
    return urlencode([(tag["Key"], tag["Value"]) for tag in value["TagSet"]])
