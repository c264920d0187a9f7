"""Asynchronous endpoints: requests with input and output in S3, queued for the copies of a variant.

An accepted request is recorded until its output is written, so the server continues it after a restart.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from typing import Any

import aiohttp

from ...emulator import Emulator
from ...errors import AwsError
from ...machines.model_copy import ModelCopy
from ...state.store import Document
from .. import internal_s3_client
from ..internal_s3_client import PlatformS3Error
from .fleet import least_busy
from .platform import Platform

_KIND = "async-request"
# Limits of InvokeEndpointAsync (API reference): response time of a model, waiting time of a request.
_DEFAULT_TIMEOUT_S = 900
_DEFAULT_TTL_S = 21_600
_LOOK_S = 0.05
# Without this setting SageMaker chooses a value; every model server supports one request at a time.
_DEFAULT_CONCURRENCY = 1


def accept(platform: Platform, region: str, endpoint: Document, headers: dict[str, Any]) -> Document:
    """Record a request and start processing it; returns its record. Raises ValidationError."""
    config = endpoint["AsyncInferenceConfig"]
    output = config["OutputConfig"]
    location = headers["input_location"]
    if not location.startswith("s3://"):
        raise AwsError("ValidationError", f"InputLocation {location!r} is not an S3 URI.")
    if "S3OutputPath" not in output:
        text = f"Endpoint {endpoint['EndpointName']} has no S3OutputPath in its AsyncInferenceConfig."
        raise AwsError("ValidationError", text)
    inference_id = headers["inference_id"] or str(uuid.uuid4())
    file = str(uuid.uuid4())
    failures = output.get("S3FailurePath")
    record = {
        "id": file,
        "inference_id": inference_id,
        "endpoint": endpoint["EndpointName"],
        "input": location,
        "output": f"{output['S3OutputPath'].rstrip('/')}/{file}.out",
        "failure": f"{failures.rstrip('/')}/{file}-error.out" if failures else None,
        "content_type": headers["content_type"],
        "accept": headers["accept"],
        "custom_attributes": headers["custom_attributes"],
        "expires_s": time.time() + (headers["ttl_s"] or _DEFAULT_TTL_S),
        "timeout_s": headers["timeout_s"] or _DEFAULT_TIMEOUT_S,
    }
    platform.emulator.store.put(region, _KIND, file, record)
    platform.in_background(_run(platform, region, record))
    return record


def resume(platform: Platform, region: str) -> None:
    """After a restart: continue accepted requests without output."""
    for record in platform.emulator.store.list(region, _KIND):
        platform.in_background(_run(platform, region, record))


async def _run(platform: Platform, region: str, record: Document) -> None:
    emulator = platform.emulator
    try:
        copy = await _turn(platform, region, record)
        try:
            body, content_type = await _answer(platform, copy, record)
        finally:
            copy.outstanding -= 1
        await internal_s3_client.put(emulator, platform.http, record["output"], body, content_type)
    except (PlatformS3Error, AwsError, aiohttp.ClientError, TimeoutError) as error:
        await _fail(platform, record, error)
    emulator.store.delete(region, _KIND, record["id"])


async def _turn(platform: Platform, region: str, record: Document) -> ModelCopy:
    """Wait for a copy with a free slot and occupy the slot. Raises AwsError if none is free in time."""
    name = record["endpoint"]
    while time.time() < record["expires_s"]:
        endpoint = platform.records(region).find("endpoint", name)
        if endpoint is None:
            raise AwsError("ValidationError", f"Endpoint {name} was deleted before it could answer.")
        if endpoint["EndpointStatus"] == "Failed":
            raise AwsError("ValidationError", f"Endpoint {name} failed before it could answer.")
        most = _concurrency(endpoint)
        fleets = platform.fleets.get((region, name), {}).values()
        copies = [copy for fleet in fleets if not fleet.is_shadow for copy in fleet.copies()]
        copy = least_busy([copy for copy in copies if copy.outstanding < most])
        if copy is not None:
            copy.outstanding += 1
            copy.served += 1
            return copy
        await asyncio.sleep(_LOOK_S)
    raise AwsError("ValidationError", "The request expired in the queue (RequestTTLSeconds).")


async def _answer(platform: Platform, copy: ModelCopy, record: Document) -> tuple[bytes, str]:
    """The container's response. Raises AwsError if the model returns an error."""
    body, kept_type = await internal_s3_client.get(platform.emulator, platform.http, record["input"])
    headers = {"Content-Type": record["content_type"] or kept_type, "Accept": record["accept"] or "*/*"}
    if record["custom_attributes"]:
        headers["X-Amzn-SageMaker-Custom-Attributes"] = record["custom_attributes"]
    url = f"http://127.0.0.1:{copy.port}/invocations"
    timeout = aiohttp.ClientTimeout(total=record["timeout_s"])
    async with platform.http.post(url, data=body, headers=headers, timeout=timeout) as answer:
        found = await answer.read()
        if answer.status >= 400:
            text = found.decode(errors="replace")[:1024]
            raise AwsError("ModelError", f'Received error ({answer.status}) from primary: "{text}".')
        return found, answer.headers.get("Content-Type", "application/octet-stream")


async def _fail(platform: Platform, record: Document, error: Exception) -> None:
    """Write the reason for a failure, if the endpoint has a failure path."""
    if record["failure"] is None:
        return
    reason = str(error) or type(error).__name__
    body = json.dumps({"inferenceId": record["inference_id"], "failureReason": reason}).encode()
    await internal_s3_client.put(
        platform.emulator, platform.http, record["failure"], body, "application/json"
    )


def _concurrency(endpoint: Document) -> int:
    config = endpoint.get("AsyncInferenceConfig") or {}
    most: int = config.get("ClientConfig", {}).get(
        "MaxConcurrentInvocationsPerInstance", _DEFAULT_CONCURRENCY
    )
    return most


def pending(emulator: Emulator, region: str) -> int:
    """The number of accepted requests without output."""
    return len(emulator.store.list(region, _KIND))
