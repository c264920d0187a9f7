"""Requests without what differs every time: names, times, tokens, the bucket. The rest must not differ."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.account.recorded_calls import Asked

_RUN_ID = re.compile(r"\d{8}-\d{6}-(\w+?)-[0-9a-f]{4}\b")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_BUCKET = re.compile(r"same-requests-(local|aws)")
_INSTANCE = re.compile(r"\bi-[0-9a-f]{8,}\b|(?<=/)[0-9a-f]{16}\b")  # also the copy of a component
# Made by the client or the service for one request or one pass.
_TOKENS = {"ClientToken", "RequestToken", "UploadId", "NextToken", "nextToken", "ContinuationToken"}
# Bytes that hold a run's name, and so their checksums.
_OF_THE_BODY = {"ContentMD5", "ContentLength", "ETag"}
_TIMES = {"StartTime", "EndTime"}


def normal(value: Any, key: str = "") -> Any:
    """A parameter, a document, a list of them: with marks instead of what is different every time."""
    if isinstance(value, dict):
        return {
            name: normal(item, name) for name, item in value.items() if name not in _OF_THE_BODY | _TOKENS
        }
    if isinstance(value, (list, tuple)):
        items = [normal(item) for item in value]
        return sorted(items, key=str) if key == "Tags" else items  # Terraform's tags are a map
    if key in _TIMES:
        return "<time>"
    if isinstance(value, str):
        return _text(value)
    return value


def line(asked: Asked) -> str:
    """One request as text, for sets and for reading."""
    parameters = {name: value for name, value in asked.parameters.items() if not name.startswith("Checksum")}
    words = json.dumps(normal(parameters), sort_keys=True, default=str)
    return f"{asked.client} {asked.service} {asked.operation} {words}"


def _text(text: str) -> str:
    text = _RUN_ID.sub(r"<run \1>", text)
    text = _TIME.sub("<time>", text)
    text = _INSTANCE.sub("<instance>", text)
    return _BUCKET.sub("<bucket>", text)
