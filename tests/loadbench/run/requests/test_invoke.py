"""Requests go where they should, answers are read whatever their form, and failures say why.

The runtime's wire format comes from a small server here: errors and cut streams cannot be made to happen
otherwise.
"""

from __future__ import annotations

import json
import struct
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadbench.errors import RunError
from loadbench.progress import Progress
from loadbench.results.run_record import ResourceNames
from loadbench.run.requests.invoke import (
    answer_text,
    answer_tokens,
    invoke,
    run_invocations,
    stream_text,
    streamed_text,
)

PAYLOAD = {"inputs": "What is the capital of France?", "parameters": {"max_new_tokens": 5}}
MODEL_BASED = ResourceNames(endpoint="the-endpoint", endpoint_configuration="c", model="m")
WORDS = ["generated_text", "choices", "message", "delta", "content", "text", "token", "usage", "details"]
COMPONENT = MODEL_BASED.model_copy(update={"inference_component": "the-component"})


@dataclass
class Runtime:
    """A server that gives configured answers and records its requests."""

    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    requests: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)

    def says(self, document: object, status: int = 200, **headers: str) -> None:
        self.answers.append((status, headers, json.dumps(document).encode()))

    def streams(self, *parts: bytes) -> None:
        headers = {"content-type": "application/vnd.amazon.eventstream"}
        self.answers.append((200, headers, b"".join(map(event, parts))))


def event(payload: bytes, **more: str) -> bytes:
    """One message of the event stream encoding: lengths, checksums, headers, payload."""
    headers = b""
    for name, value in {":message-type": "event", ":event-type": "PayloadPart", **more}.items():
        headers += (
            bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        )
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return message + struct.pack(">I", zlib.crc32(message))


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    reported = Runtime()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            reported.requests.append(
                (self.path, {k.lower(): v for k, v in self.headers.items()}, json.loads(body))
            )
            status, headers, answer = reported.answers.pop(0)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(answer)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:
            """Keep the test's output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    yield reported
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def session() -> Any:
    return boto3.Session(region_name="us-west-2")


def tokens(*texts: str) -> bytes:
    return b"".join(json.dumps({"token": {"id": 1, "text": text}}).encode() + b"\n" for text in texts)


def test_a_component_is_named_in_the_request_and_an_endpoint_alone_is_not(
    runtime: Runtime, session: Any
) -> None:
    runtime.says({"generated_text": "Paris"})
    runtime.says({"generated_text": "Paris"})
    invoke(session, MODEL_BASED, PAYLOAD)
    invoke(session, COMPONENT, PAYLOAD)
    (path, plain, body), (_, component, _) = runtime.requests
    assert path == "/endpoints/the-endpoint/invocations"
    assert body == PAYLOAD
    assert "x-amzn-sagemaker-inference-component" not in plain
    assert component["x-amzn-sagemaker-inference-component"] == "the-component"


def test_first_then_warm_then_streaming(runtime: Runtime, session: Any) -> None:
    for _ in range(3):
        runtime.says({"generated_text": "The capital of France is Paris."})
    runtime.streams(tokens("The", " capital"), tokens(" is Paris."))
    reported: list[Progress] = []
    done = run_invocations(session, MODEL_BASED, PAYLOAD, 2, reported.append)
    assert [request.kind for request in done] == ["first", "warm", "warm", "streaming"]
    assert all(request.ok for request in done)
    assert done[0].output_text == "The capital of France is Paris."
    assert done[-1].output_text == "The capital is Paris."
    assert done[-1].output_tokens == 3
    assert done[-1].time_to_first_token_s is not None
    assert 0 < done[-1].time_to_first_token_s <= done[-1].latency_s
    assert [request.start_s for request in done] == sorted(request.start_s for request in done)
    assert (reported[-1].done, reported[-1].total) == (4, 4)


def test_a_failed_first_request_is_recorded_with_the_models_words_and_ends_the_series(
    runtime: Runtime, session: Any
) -> None:
    runtime.says(
        {
            "Message": "Received server error (500) from primary with message",
            "OriginalMessage": json.dumps({"error": "CUDA out of memory. Tried to allocate 1 GiB"}),
            "OriginalStatusCode": 500,
        },
        status=424,
        **{"x-amzn-errortype": "ModelError"},
    )
    (first,) = run_invocations(session, MODEL_BASED, PAYLOAD, 5)
    assert not first.ok
    assert first.error is not None
    assert first.error.startswith("the model answered 500: CUDA out of memory.")
    assert "ran out of memory" in first.error
    assert len(runtime.requests) == 1


def test_a_request_is_never_sent_twice(runtime: Runtime, session: Any) -> None:
    runtime.says({"Message": "busy"}, status=503, **{"x-amzn-errortype": "ServiceUnavailable"})
    assert not invoke(session, MODEL_BASED, PAYLOAD).ok
    assert len(runtime.requests) == 1


def test_text_comes_piece_by_piece_whatever_the_events_cut(runtime: Runtime, session: Any) -> None:
    whole = tokens("Par", "is ", "é🚀")
    runtime.streams(*(whole[start : start + 7] for start in range(0, len(whole), 7)))
    assert list(stream_text(session, MODEL_BASED, PAYLOAD)) == ["Par", "is ", "é🚀"]
    assert runtime.requests[0][2]["stream"] is True


def test_an_error_in_the_middle_of_a_stream_is_reported_with_the_models_message(
    runtime: Runtime, session: Any
) -> None:
    broken = event(
        json.dumps({"Message": "the worker died", "ErrorCode": "ModelInvocationTimeExceeded"}).encode(),
        **{":message-type": "exception", ":exception-type": "ModelStreamError", ":event-type": ""},
    )
    headers = {"content-type": "application/vnd.amazon.eventstream"}
    runtime.answers.append((200, headers, event(tokens("Par")) + broken))
    pieces = stream_text(session, MODEL_BASED, PAYLOAD)
    assert next(pieces) == "Par"
    with pytest.raises(RunError, match="the worker died"):
        next(pieces)


def test_an_endpoint_that_cannot_be_reached_is_a_failed_request(
    session: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    done = invoke(session, MODEL_BASED, PAYLOAD, kind="first")
    assert not done.ok
    assert done.error is not None
    assert "127.0.0.1:9" in done.error


@pytest.mark.parametrize(
    ("document", "text", "count"),
    [
        ({"generated_text": "a"}, "a", None),
        ([{"generated_text": "a", "details": {"generated_tokens": 7}}], "a", 7),
        ({"choices": [{"message": {"content": "a"}}], "usage": {"completion_tokens": 3}}, "a", 3),
        ({"choices": [{"text": "a"}]}, "a", None),
        ({"predictions": [1]}, '{"predictions": [1]}', None),
        ("plain", "plain", None),
        (None, None, None),
        ([], "[]", None),
    ],
)
def test_every_form_of_answer_is_read(document: object, text: str | None, count: int | None) -> None:
    assert answer_text(document) == text
    assert answer_tokens(document) == count


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b'{"token": {"text": " a"}}', " a"),
        (b'{"token": {"text": "b"}, "generated_text": "all of it"}', "b"),
        (b'data: {"choices": [{"delta": {"content": "c"}}]}', "c"),
        (b'data: {"choices": [{"delta": {}}]}', ""),
        (b"data: [DONE]", ""),
        (b"", ""),
        (b"not JSON", ""),
        (b"[1]", ""),
    ],
)
def test_every_form_of_streamed_line_is_read(line: bytes, text: str) -> None:
    assert streamed_text(line) == text


documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    max_leaves=12,
)


@given(documents)
def test_no_answer_that_is_json_breaks_the_reading(document: object) -> None:
    answer_text(document)
    answer_tokens(document)
    assert isinstance(streamed_text(json.dumps(document).encode()), str)


@given(st.binary(max_size=60))
def test_no_bytes_break_the_reading_of_a_stream(line: bytes) -> None:
    assert isinstance(streamed_text(line), str)
