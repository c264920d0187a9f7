"""What the model server accepts, and how it refuses the rest."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localaws.container.errors import RequestError
from localaws.container.requests import GenerationRequest, parse_request

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def parse(document: Any) -> GenerationRequest:
    return parse_request(json.dumps(document).encode())


def test_the_sample_input_is_read_as_it_stands() -> None:
    request = parse(
        {
            "inputs": "What is the capital of France?",
            "parameters": {"max_new_tokens": 100, "temperature": 0.7, "do_sample": True},
        }
    )

    assert request.text == "What is the capital of France?"
    assert request.sampling.max_new_tokens == 100
    assert request.sampling.temperature == 0.7
    assert request.sampling.do_sample
    assert not request.stream and not request.chat


def test_a_temperature_of_zero_is_greedy() -> None:
    request = parse({"inputs": "x", "parameters": {"temperature": 0, "do_sample": True}})

    assert not request.sampling.do_sample


def test_chat_messages_keep_their_order_and_text_parts_are_joined() -> None:
    request = parse(
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            ],
            "max_tokens": 7,
            "stream": True,
        }
    )

    assert request.chat and request.stream
    assert request.messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "a\nb"},
    ]
    assert request.sampling.max_new_tokens == 7


def test_a_vision_language_payload_is_refused_with_what_to_do() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,AAAA"}}
    question = {"type": "text", "text": "What do you see in this image?"}

    with pytest.raises(RequestError, match=r"image_url.*vision-language") as refusal:
        parse({"inputs": [{"role": "user", "content": [question, image]}], "parameters": {}})

    assert 400 <= refusal.value.status < 500


def test_a_body_that_is_not_json_is_the_front_ends_error() -> None:
    with pytest.raises(RequestError, match="not JSON") as refusal:
        parse_request(b"{")

    assert refusal.value.status == 400


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ([], "JSON object"),
        ({}, "neither"),
        ({"inputs": 3}, "inputs"),
        ({"inputs": []}, "inputs"),
        ({"inputs": "x", "parameters": []}, "parameters"),
        ({"inputs": "x", "parameters": {"max_new_token": 5}}, "max_new_token"),
        ({"inputs": "x", "parameters": {"max_new_tokens": 0}}, "max_new_tokens"),
        ({"inputs": "x", "parameters": {"max_new_tokens": True}}, "max_new_tokens"),
        ({"inputs": "x", "parameters": {"temperature": -1}}, "temperature"),
        ({"inputs": "x", "stream": "yes"}, "stream"),
        ({"inputs": "x", "parameters": {"stop": [1]}}, "stop"),
        ({"messages": []}, "messages"),
        ({"messages": [{"content": "x"}]}, "role"),
        ({"messages": [{"role": "user", "content": 3}]}, "content"),
    ],
)
def test_a_refusal_names_the_member_that_is_wrong(document: Any, says: str) -> None:
    with pytest.raises(RequestError, match=says) as refusal:
        parse(document)

    assert refusal.value.status == 424


@given(document=st.dictionaries(st.sampled_from(["inputs", "messages", "parameters", "stream"]), JSON_VALUES))
def test_any_json_is_either_read_or_refused(document: Any) -> None:
    try:
        request = parse(document)
    except RequestError:
        return
    assert (request.text is None) != (request.messages is None)


@given(body=st.binary(max_size=64))
def test_any_bytes_are_either_read_or_refused(body: bytes) -> None:
    try:
        parse_request(body)
    except RequestError as refusal:
        assert refusal.status in (400, 424)
