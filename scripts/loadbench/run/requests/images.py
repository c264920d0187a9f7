"""A request with an image, in the chat format for vision-language models (OpenAI's, as LMI documents it)."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loadbench.errors import UsageError
from loadbench.sample_request import as_chat

# The largest body of InvokeEndpoint (docs/facts/sagemaker.md#request-limits).
MAX_BODY_BYTES = 6_291_456
_QUESTION = "What do you see in this image?"
_KINDS = {
    b"\xff\xd8\xff": "image/jpeg",
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
    b"BM": "image/bmp",
}


def image_payload(image: str, prompt: str | None, sample: Mapping[str, Any]) -> dict[str, Any]:
    """The request for one image and one question, with the sample's temperature and length.

    `image` is a file, sent inside the request, or an http(s) or data: URL, which the container fetches.
    Raises UsageError for a file that is not an image, and for a request larger than the limit.
    """
    payload = {
        **as_chat(sample),
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": prompt or _QUESTION},
                    {"type": "image_url", "image_url": {"url": _url_of(image)}},
                ],
            }
        ],
    }
    size_bytes = len(json.dumps(payload).encode())
    if size_bytes > MAX_BODY_BYTES:
        raise UsageError(
            f"with {image} the request has {size_bytes / 1e6:.1f} MB,"
            f" but InvokeEndpoint's limit is {MAX_BODY_BYTES / 1e6:.1f} MB",
            remedy="Use an image below 4.7 MB; base64 adds a third to its size.",
        )
    return payload


def _url_of(image: str) -> str:
    if image.startswith(("http://", "https://", "data:")):
        return image
    try:
        content = Path(image).read_bytes()
    except OSError as error:
        raise UsageError(
            f"cannot read the image {image}: {error.strerror}", remedy="Name a file, or an http(s) URL."
        ) from error
    return f"data:{_kind_of(content, image)};base64,{base64.b64encode(content).decode()}"


def _kind_of(content: bytes, name: str) -> str:
    """The type from the file's first bytes; its name may be wrong."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    for start, kind in _KINDS.items():
        if content.startswith(start):
            return kind
    raise UsageError(f"{name} is not a supported image", remedy="Convert it to JPEG, PNG, WebP, GIF or BMP.")
