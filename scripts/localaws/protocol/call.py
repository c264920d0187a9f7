"""A verified request, as passed to a service."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from ..emulator import Emulator
from ..errors import AwsError
from .sigv4 import Signed


@dataclass(frozen=True)
class Call:
    """A request whose signature was verified.

    `body` is None for S3 objects: the service reads it from `request.content` itself.
    """

    emulator: Emulator
    service: str
    region: str
    access_key_id: str
    request: web.BaseRequest
    body: bytes | None
    # Present on every request that came through the gateway; S3 checks its chunks' signatures with it.
    signed: Signed | None = None

    @property
    def operation(self) -> str:
        """The operation that X-Amz-Target names; empty if the protocol has no such header."""
        return self.request.headers.get("X-Amz-Target", "").rpartition(".")[2]

    def json(self) -> dict[str, Any]:
        """The body as a JSON object. Raises SerializationException for anything else."""
        try:
            document = json.loads(self.body or b"{}")
        except (ValueError, RecursionError) as error:
            raise AwsError("SerializationException", "The request body is not valid JSON.") from error
        if not isinstance(document, dict):
            raise AwsError("SerializationException", "The request body is not a JSON object.")
        return document


Handler = Callable[[Call], Awaitable[web.StreamResponse]]
