"""A request with an image: the chat form, the type from the content, the limit said before sending."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from loadbench.errors import UsageError
from loadbench.run.requests.images import MAX_BODY_BYTES, image_payload

SAMPLE = {"inputs": "x", "parameters": {"max_new_tokens": 7, "temperature": 0.5, "do_sample": True}}
STARTS = {
    "image/jpeg": b"\xff\xd8\xff\xe0",
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/gif": b"GIF89a",
    "image/webp": b"RIFF\x10\0\0\0WEBPVP8 ",
    "image/bmp": b"BM6\0",
}


@pytest.mark.parametrize("kind", list(STARTS))
def test_the_type_comes_from_the_content_not_from_the_name(tmp_path: Path, kind: str) -> None:
    content = STARTS[kind] + b"\0\1\2"
    file = tmp_path / "photo.txt"
    file.write_bytes(content)
    payload = image_payload(str(file), "What is it?", SAMPLE)
    question, image = payload["messages"][0]["content"]
    assert question == {"type": "text", "text": "What is it?"}
    head, _, body = image["image_url"]["url"].partition(",")
    assert head == f"data:{kind};base64"
    assert base64.b64decode(body) == content
    assert (payload["max_tokens"], payload["temperature"]) == (7, 0.5)


def test_a_url_is_left_to_the_container_and_a_question_is_asked_without_a_prompt() -> None:
    payload = image_payload("https://example.com/cat.jpg", None, {})
    question, image = payload["messages"][0]["content"]
    assert image["image_url"]["url"] == "https://example.com/cat.jpg"
    assert question["text"]


def test_the_largest_image_that_fits_is_taken_and_one_byte_group_more_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "photo.jpg"
    file.write_bytes(STARTS["image/jpeg"] + bytes(4_700_000))
    assert len(json.dumps(image_payload(str(file), None, SAMPLE)).encode()) <= MAX_BODY_BYTES
    file.write_bytes(STARTS["image/jpeg"] + bytes(4_720_000))
    with pytest.raises(UsageError, match=r"6\.3 MB"):
        image_payload(str(file), None, SAMPLE)


@pytest.mark.parametrize("content", [b"", b"GIF", b"%PDF-1.7", b"<svg/>"])
def test_what_is_no_image_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "photo.jpg"
    file.write_bytes(content)
    with pytest.raises(UsageError, match="not a supported image"):
        image_payload(str(file), None, SAMPLE)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"absent\.png"):
        image_payload(str(tmp_path / "absent.png"), None, SAMPLE)
