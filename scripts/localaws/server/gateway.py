"""The HTTP endpoint: verifies signatures, and passes requests to the service in the credential scope."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import logging
import shutil
import sqlite3
import time
import uuid
from datetime import UTC, datetime
from functools import partial

from aiohttp import web

from ..emulator import Emulator
from ..errors import AwsError
from ..protocol import sigv2, sigv4
from ..protocol.body import leaves_body_unsent, read_body
from ..protocol.call import Call, Handler
from ..protocol.responses import Protocol, error_response, protocol_of
from ..protocol.service_models import service_model
from ..services import cloudcontrol, cloudwatch, cloudwatch_logs, moto_bridge, s3, sagemaker_runtime
from ..services.autoscaling import api as autoscaling_api
from ..services.s3.transfer_faults import close_connection
from ..services.sagemaker import api as sagemaker_api
from . import control
from .request_log import Recorder

_log = logging.getLogger(__name__)

# Outside S3 no body is larger than InvokeEndpoint's 6 MB (docs/facts/sagemaker.md#request-limits), and that
# service refuses what is over it.
MAX_BODY_BYTES = 16 << 20
_MAX_HEADERS = 100
# Headers that change what a request does: the operation, its protocol, its parameters.
_MUST_BE_SIGNED = ("x-amz-", "x-amzn-sagemaker-", "smithy-protocol")

# Services that look up the roles of their requests.
_NEED_ROLES = ("sagemaker", "cloudcontrolapi")

# Error codes of refused signatures: for S3, for JSON and CBOR services, for query services.
_REFUSALS = {
    "missing": ("AccessDenied", "MissingAuthenticationTokenException", "MissingAuthenticationToken"),
    "unknown key": ("InvalidAccessKeyId", "UnrecognizedClientException", "InvalidClientTokenId"),
    "mismatch": ("SignatureDoesNotMatch", "InvalidSignatureException", "SignatureDoesNotMatch"),
    "malformed": ("AuthorizationHeaderMalformed", "IncompleteSignatureException", "IncompleteSignature"),
    "skewed": ("RequestTimeTooSkewed", "InvalidSignatureException", "SignatureDoesNotMatch"),
    "unsigned": ("AccessDenied", "InvalidSignatureException", "SignatureDoesNotMatch"),
    "unknown region": ("AuthorizationHeaderMalformed", "InvalidSignatureException", "SignatureDoesNotMatch"),
    "expired": ("AccessDenied", "InvalidSignatureException", "RequestExpired"),
}


class Gateway:
    """Serves HTTP/1.1 requests of any AWS service for one emulator."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._s3 = s3.ObjectStore(s3.Index(emulator.database, emulator.state_dir / "objects"))
        self._moto = moto_bridge.MotoBridge(emulator.database)
        self._recorder = Recorder(emulator.keys)
        self._handlers: dict[str, Handler] = {
            "s3": self._s3.handle,
            "logs": cloudwatch_logs.handle,
            "monitoring": cloudwatch.handle,
            "application-autoscaling": autoscaling_api.handle,
            "localaws": control.handle,
        }

    def server(self) -> web.Server:
        """The protocol factory for the event loop's `create_server`."""
        # Bodies go to disk as they came, whatever their Content-Encoding says.
        return web.Server(
            self._serve, auto_decompress=False, access_log=None, read_bufsize=1 << 20, keepalive_timeout=75.0
        )

    def start(self) -> None:
        """Start the background work."""
        self._moto.preload()
        for name in ("s3", "sagemaker"):
            asyncio.get_running_loop().run_in_executor(None, service_model, name)

    async def close(self) -> None:
        """End the background work."""
        self._moto.close()
        self._s3.close()
        self._recorder.close()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        started_s = time.monotonic()
        request_id = uuid.uuid4().hex[:16].upper()
        path, raw_query = sigv4.split_target(request.raw_path)
        sent = sigv4.Request(request.method, path, raw_query, _headers(request))
        service = ""
        try:
            if s3.is_form(sent):
                service = "s3"
                response = await self._form_upload(request)
            elif (older_key_id := sigv2.access_key_id(sent)) is not None:
                service = "s3"
                response = await self._answer(self._verified_older(sent, request, older_key_id), path)
            else:
                signed = self._signed(sent, request)
                service = signed.service
                response = await self._answer(await self._verified(sent, request, signed), path)
        except AwsError as error:
            response = self._failed(request, error, request_id, path, service)
        except (ConnectionError, asyncio.CancelledError):
            raise
        except (OSError, sqlite3.OperationalError) as error:
            response = self._failed(request, self._of_system(error, request_id), request_id, path, service)
        except Exception:  # noqa: BLE001 (the last line of defence: the client gets a 500, the log the cause)
            _log.exception("request %s to %s failed", request_id, service)
            failure = AwsError("InternalFailure", "Internal error; `localaws logs` shows the cause.", 500)
            response = self._failed(request, failure, request_id, path, service)
        if not response.prepared:
            name = "x-amz-request-id" if service in ("s3", "") else "x-amzn-RequestId"
            response.headers.setdefault(name, request_id)
            if leaves_body_unsent(request):
                response.force_close()
        if service != "s3" or response.status >= 400:
            elapsed_ms = (time.monotonic() - started_s) * 1e3
            what = _operation(request, b"") or request.method
            _log.info("%s %s %s %d %.1f ms", service or "?", what, path, response.status, elapsed_ms)
        return response

    async def _form_upload(self, request: web.BaseRequest) -> web.StreamResponse:
        upload = await s3.read_form_upload(self._emulator, request)
        self._recorder.note(upload.call)
        return await self._s3.handle_form(upload)

    async def _answer(self, call: Call, path: str) -> web.StreamResponse:
        """The service's response to a verified call."""
        self._recorder.note(call)
        # S3 strikes itself; our own calls arm and disarm faults.
        if call.service not in ("s3", "localaws"):
            self._strike(call)
        if call.service in _NEED_ROLES:
            await self._moto.load("iam")
        return await self._handler(call, path)(call)

    def _of_system(self, error: OSError | sqlite3.OperationalError, request_id: str) -> AwsError:
        """The error that a client gets for an error of the operating system."""
        is_full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "is full" in str(error)
        if is_full:
            folder = self._emulator.state_dir
            free_mib = shutil.disk_usage(folder).free >> 20
            _log.error("request %s: the disk of %s is full", request_id, folder)
            text = (
                f"The disk of the embedded AWS is full: {free_mib} MiB are free in {folder}. Free some space."
            )
            # Not a code that clients try again at once: it would not help.
            return AwsError("InsufficientStorage", text, 507)
        _log.exception("request %s failed", request_id)
        return AwsError("InternalFailure", "The request failed inside; `localaws logs` has the cause.", 500)

    def _failed(
        self, request: web.BaseRequest, error: AwsError, request_id: str, path: str, service: str
    ) -> web.Response:
        """The response to a failed request. Raises ConnectionResetError if a response has already started."""
        if request.writer.output_size:
            _log.warning("%s %s broke off: %s", service, path, error)
            close_connection(request)
        return error_response(error, protocol_of(request, path, service), request_id)

    def _signed(self, sent: sigv4.Request, request: web.BaseRequest) -> sigv4.Signed:
        if len(request.headers) > _MAX_HEADERS:
            raise AwsError("RequestHeaderSectionTooLarge", f"More than {_MAX_HEADERS} headers.", 431)
        if _is_older_signature(sent):
            text = (
                "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256 "
                "(in boto3: Config(signature_version='s3v4'))."
            )
            raise AwsError("InvalidRequest", text)
        try:
            return sigv4.read_signature(sent)
        except sigv4.SignatureError as error:
            raise _refusal(error, protocol_of(request, sent.raw_path, "")) from error

    async def _verified(self, sent: sigv4.Request, request: web.BaseRequest, signed: sigv4.Signed) -> Call:
        """The call after its signature was verified. S3 verifies the body itself, while it arrives."""
        try:
            key = self._emulator.keys.get(signed.access_key_id)
            if key is None:
                raise sigv4.SignatureError("unknown key", "The access key ID is not one of this server's.")
            _check_signed_headers(sent, signed)
            if signed.service == "s3":
                body = None
                payload_hash = _s3_payload_hash(sent, signed)
            else:
                body = await read_body(request, MAX_BODY_BYTES)
                payload_hash = hashlib.sha256(body).hexdigest()
            sigv4.verify(signed, sent, key.secret_access_key, payload_hash, datetime.now(UTC))
        except sigv4.SignatureError as error:
            raise _refusal(error, protocol_of(request, sent.raw_path, signed.service)) from error
        return Call(
            self._emulator, signed.service, signed.region, signed.access_key_id, request, body, signed=signed
        )

    def _verified_older(self, sent: sigv4.Request, request: web.BaseRequest, key_id: str) -> Call:
        """The call of an address that was presigned by Signature Version 2, which only S3 takes."""
        try:
            key = self._emulator.keys.get(key_id)
            if key is None:
                raise sigv4.SignatureError("unknown key", "The access key ID is not one of this server's.")
            sigv2.verify(sent, key_id, key.secret_access_key)
        except sigv4.SignatureError as error:
            raise _refusal(error, "s3") from error
        return Call(self._emulator, "s3", "us-east-1", key_id, request, None)

    def _strike(self, call: Call) -> None:
        match = {
            "service": call.service,
            "operation": _operation(call.request, call.body or b""),
            "access_key_id": call.access_key_id,
        }
        is_query = protocol_of(call.request, "", call.service) == "query"
        if self._emulator.faults.take("expired_token", **match):
            code = "ExpiredToken" if is_query else "ExpiredTokenException"
            raise AwsError(code, "The security token included in the request is expired", 403)
        if self._emulator.faults.take("access_denied", **match):
            code = "AccessDenied" if is_query else "AccessDeniedException"
            raise AwsError(code, "User is not authorized to perform this action.", 403)
        if self._emulator.faults.take("throttling", **match):
            raise AwsError("Throttling" if is_query else "ThrottlingException", "Rate exceeded")

    def _handler(self, call: Call, path: str) -> Handler:
        if call.service == "sagemaker":
            return sagemaker_runtime.handle if path.startswith("/endpoints/") else sagemaker_api.handle
        if call.service == "cloudcontrolapi":
            return cloudcontrol.handle
        if call.service == "cloudformation" and _operation(call.request, call.body or b"") == "DescribeType":
            return cloudcontrol.handle_describe_type
        if call.service == "monitoring" and protocol_of(call.request, path, call.service) == "query":
            return lambda call: self._moto.run(partial(cloudwatch.handle_form, call))
        return self._handlers.get(call.service, self._moto.handle)


def _headers(request: web.BaseRequest) -> dict[str, list[str]]:
    headers: dict[str, list[str]] = {}
    for name, value in request.headers.items():
        headers.setdefault(name.lower(), []).append(value)
    return headers


def _is_older_signature(sent: sigv4.Request) -> bool:
    """Whether a request has a header of Signature Version 2, which AWS takes in old buckets only."""
    return sent.headers.get("authorization", [""])[0].startswith("AWS ")


def _check_signed_headers(sent: sigv4.Request, signed: sigv4.Signed) -> None:
    """Raise SignatureError for an unsigned header that changes what a request does."""
    unsigned = [
        name
        for name in sent.headers
        if name.startswith(_MUST_BE_SIGNED) and name not in signed.signed_headers
    ]
    if unsigned:
        text = "There were headers present in the request which were not signed"
        raise sigv4.SignatureError("unsigned", f"{text}: {', '.join(sorted(unsigned))}")


def _s3_payload_hash(sent: sigv4.Request, signed: sigv4.Signed) -> str:
    if signed.expires_s is not None:
        return sigv4.UNSIGNED_PAYLOAD
    values = sent.headers.get("x-amz-content-sha256")
    if values is None:
        raise sigv4.SignatureError("malformed", "The request lacks its required header x-amz-content-sha256")
    return values[0]


def _refusal(error: sigv4.SignatureError, protocol: Protocol) -> AwsError:
    words = _REFUSALS[error.reason]
    return AwsError(words[{"s3": 0, "query": 2}.get(protocol, 1)], str(error), 403)


def _operation(request: web.BaseRequest, body: bytes) -> str:
    """The operation's name, if the protocol has it; empty if only the service knows it."""
    if target := request.headers.get("X-Amz-Target"):
        return target.rpartition(".")[2]
    if request.headers.get("smithy-protocol"):
        return request.raw_path.rpartition("/")[2]
    return dict(sigv4.parse_query(body.decode("latin-1"))).get("Action", "") if b"Action=" in body else ""
