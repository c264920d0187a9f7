"""The `aws-chunked` encoding of upload bodies: chunks with or without signatures, and trailing checksums.

Source: "Signature calculations for the authorization header: transferring payload in multiple chunks" and the
page on trailing headers after it, S3 API Reference.
"""

from __future__ import annotations

import hashlib
import hmac

from ...errors import AwsError
from ...protocol.sigv4 import Signed, signing_key

_EMPTY_HASH = hashlib.sha256(b"").hexdigest()
_MAX_LINE_BYTES = 4096
_MAX_TRAILER_BYTES = 16_384


class ChunkSignatures:
    """The chain of chunk signatures, seeded by the request's own."""

    def __init__(self, signed: Signed, secret_access_key: str) -> None:
        self._signed = signed
        self._key = signing_key(secret_access_key, signed.date, signed.region, signed.service)
        self._previous = signed.signature

    def check(self, kind: str, digest: str, signature: str) -> None:
        """Verify the next link; `kind` is PAYLOAD or TRAILER. Raises SignatureDoesNotMatch."""
        lines = [f"AWS4-HMAC-SHA256-{kind}", self._signed.timestamp, self._signed.scope, self._previous]
        lines += [_EMPTY_HASH, digest] if kind == "PAYLOAD" else [digest]
        expected = hmac.digest(self._key, "\n".join(lines).encode(), "sha256").hex()
        if not hmac.compare_digest(expected.encode(), signature.encode()):
            raise AwsError("SignatureDoesNotMatch", "The signature of a chunk does not match.", 403)
        self._previous = expected


class ChunkDecoder:
    """Decodes the body as it arrives into its payload. Raises IncompleteBody or InvalidRequest."""

    def __init__(self, signatures: ChunkSignatures | None) -> None:
        self._signatures = signatures
        self._pending = b""
        self._state = "size"
        self._remaining_bytes = 0
        self._signature = ""
        self._hash = hashlib.sha256()
        self.trailers: dict[str, str] = {}

    def feed(self, data: bytes) -> list[memoryview]:
        """The payload in these bytes."""
        view = memoryview(self._pending + data if self._pending else data)
        self._pending = b""
        payload: list[memoryview] = []
        while view:
            if self._state == "data":
                piece, view = view[: self._remaining_bytes], view[self._remaining_bytes :]
                payload.append(piece)
                self._take(piece)
            elif self._state == "trailer":
                if len(view) > _MAX_TRAILER_BYTES:
                    raise _malformed("the trailer is too long")
                self._pending = bytes(view)
                break
            else:
                end = bytes(view[:_MAX_LINE_BYTES]).find(b"\r\n")
                if end < 0:
                    if len(view) >= _MAX_LINE_BYTES:
                        raise _malformed("a chunk's size line is too long")
                    self._pending = bytes(view)
                    break
                line, view = bytes(view[:end]), view[end + 2 :]
                self._line(line)
        return payload

    def finish(self) -> None:
        """End the body: check that it is complete, and read the trailers."""
        if self._state != "trailer":
            raise AwsError("IncompleteBody", "The request body terminated unexpectedly")
        signature = ""
        canonical = b""
        for line in self._pending.split(b"\r\n"):
            if not line:
                continue
            name, _, value = line.decode("latin-1").partition(":")
            if name.lower() == "x-amz-trailer-signature":
                signature = value.strip()
            else:
                self.trailers[name.lower().strip()] = value.strip()
                canonical += f"{name.lower().strip()}:{value.strip()}\n".encode("latin-1")
        if self._signatures is not None and self.trailers:
            self._signatures.check("TRAILER", hashlib.sha256(canonical).hexdigest(), signature)

    def _line(self, line: bytes) -> None:
        if self._state == "end of data":
            if line:
                raise _malformed("a chunk is longer than its size")
            self._state = "size"
            return
        size, _, extension = line.partition(b";")
        try:
            self._remaining_bytes = int(size, 16)
        except ValueError as error:
            raise _malformed("a chunk's size is not a number") from error
        if self._remaining_bytes < 0:
            raise _malformed("a chunk's size is negative")
        self._signature = extension.partition(b"=")[2].decode("latin-1").strip()
        self._state = "data"
        if self._remaining_bytes == 0:
            self._check()
            self._state = "trailer"

    def _take(self, piece: memoryview) -> None:
        if self._signatures is not None:
            self._hash.update(piece)
        self._remaining_bytes -= len(piece)
        if self._remaining_bytes == 0:
            self._check()
            self._state = "end of data"

    def _check(self) -> None:
        if self._signatures is not None:
            self._signatures.check("PAYLOAD", self._hash.hexdigest(), self._signature)
            self._hash = hashlib.sha256()


def _malformed(why: str) -> AwsError:
    return AwsError("InvalidRequest", f"The aws-chunked body is malformed: {why}.")
