"""Data capture: writes requests and responses of an endpoint to S3 as JSON lines.

Source: "Data capture" in SageMaker's developer guide (format of keys and lines).
"""

from __future__ import annotations

import base64
import json
import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ...state.store import Document
from .. import internal_s3_client
from .platform import Platform

_CSV = ("text/csv",)
_JSON = ("application/json",)


@dataclass(frozen=True)
class Exchange:
    """A request and its response."""

    endpoint: str
    variant: str
    request: bytes
    request_type: str
    answer: bytes
    answer_type: str
    inference_id: str | None
    custom_attributes: str | None


def capture(platform: Platform, config: Document | None, exchange: Exchange) -> None:
    """Write the exchange in the background, if the endpoint captures and this request is in the sample."""
    if config is None or not config.get("EnableCapture"):
        return
    # Sampling does not need a cryptographic generator.
    if random.random() * 100 >= config["InitialSamplingPercentage"]:  # noqa: S311
        return
    platform.in_background(_write(platform, config, exchange))


async def _write(platform: Platform, config: Document, exchange: Exchange) -> None:
    moment = datetime.now(UTC)
    event_id = str(uuid.uuid4())
    folder = f"{config['DestinationS3Uri'].rstrip('/')}/{exchange.endpoint}/{exchange.variant}"
    name = f"{moment:%M-%S}-{moment.microsecond // 1000:03d}-{event_id}.jsonl"
    modes = {item["CaptureMode"] for item in config["CaptureOptions"]}
    types = config.get("CaptureContentTypeHeader", {})
    csv, lines = types.get("CsvContentTypes", _CSV), types.get("JsonContentTypes", _JSON)
    data: Document = {}
    if modes & {"Input", "InputAndOutput"}:
        data["endpointInput"] = _part("INPUT", exchange.request, exchange.request_type, csv, lines)
    if modes & {"Output", "InputAndOutput"}:
        data["endpointOutput"] = _part("OUTPUT", exchange.answer, exchange.answer_type, csv, lines)
    metadata: Document = {"eventId": event_id, "inferenceTime": f"{moment:%Y-%m-%dT%H:%M:%SZ}"}
    if exchange.inference_id is not None:
        metadata["inferenceId"] = exchange.inference_id
    if exchange.custom_attributes is not None:
        metadata["customAttributes"] = [exchange.custom_attributes]
    line = json.dumps({"captureData": data, "eventMetadata": metadata, "eventVersion": "0"})
    uri = f"{folder}/{moment:%Y/%m/%d/%H}/{name}"
    await internal_s3_client.put(
        platform.emulator, platform.http, uri, f"{line}\n".encode(), "application/x-jsonlines"
    )


def _part(
    mode: str, body: bytes, content_type: str, csv: Sequence[str], lines: Sequence[str]
) -> dict[str, str]:
    """One side of an exchange: unchanged text if its content type is listed, otherwise base64."""
    kind = content_type.partition(";")[0].strip()
    encoding = "CSV" if kind in csv else "JSON" if kind in lines else "BASE64"
    text = base64.b64encode(body).decode() if encoding == "BASE64" else body.decode(errors="replace")
    return {"observedContentType": content_type, "mode": mode, "data": text, "encoding": encoding}
