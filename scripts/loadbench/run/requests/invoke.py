"""Requests to the endpoint: the first, warm ones, a streaming one; latency by the client's clock."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from loadbench.errors import RunError
from loadbench.progress import OnProgress, Progress, ignore_progress
from loadbench.results.run_record import Invocation, ResourceNames
from loadbench.run.explain_failure import explain

RequestKind = Literal["first", "warm", "streaming"]

# SageMaker ends a request after 60 s. No retries: a second attempt would be part of the measured time.
_CLIENT_CONFIG = Config(read_timeout=70, retries={"mode": "standard", "total_max_attempts": 1})
_CONTENT_TYPE = "application/json"


def run_invocations(
    session: Any,
    names: ResourceNames,
    payload: Mapping[str, Any],
    warm_count: int,
    on_progress: OnProgress = ignore_progress,
    clock: Callable[[], float] = time.time,
) -> list[Invocation]:
    """The first request, `warm_count` warm ones and a streaming one, one after the other.

    A failed request is recorded with its reason; after a failed first one no more are sent.
    """
    done: list[Invocation] = []
    warm: list[RequestKind] = ["warm"] * warm_count
    kinds: list[RequestKind] = ["first", *warm, "streaming"]
    client = _client(session)
    for number, kind in enumerate(kinds):
        on_progress(Progress(f"{kind} request", number, len(kinds), "requests"))
        send = _invoke_streaming if kind == "streaming" else _invoke
        done.append(send(client, names, payload, kind, clock))
        if kind == "first" and not done[0].ok:
            break
    on_progress(Progress("requests completed", len(done), len(kinds), "requests"))
    return done


def invoke(
    session: Any,
    names: ResourceNames,
    payload: Mapping[str, Any],
    *,
    kind: RequestKind = "warm",
    clock: Callable[[], float] = time.time,
) -> Invocation:
    """One request without streaming."""
    return _invoke(_client(session), names, payload, kind, clock)


def open_requests(
    session: Any, names: ResourceNames, payload: Mapping[str, Any], clock: Callable[[], float] = time.time
) -> Callable[[], Invocation]:
    """A function that sends one warm request each time it is called, over one client."""
    client = _client(session)
    return lambda: _invoke(client, names, payload, "warm", clock)


def stream_text(session: Any, names: ResourceNames, payload: Mapping[str, Any]) -> Iterator[str]:
    """The answer piece by piece, as it is generated. Raises RunError with the model's message."""
    try:
        yield from _pieces(_client(session), names, payload)
    except (ClientError, BotoCoreError) as error:
        raise RunError(
            failure_text(error), remedy="Read the container's log: loadbench local logs, or CloudWatch."
        ) from error


def failure_text(error: ClientError | BotoCoreError) -> str:
    """Why a request failed: the model's message if there is one, otherwise the service's."""
    if not isinstance(error, ClientError):
        return str(error)
    response = error.response
    # ModelError has the container's response; an event of the stream has it in Message.
    words = response.get("OriginalMessage") or response["Error"].get("Message") or str(error)
    status = response.get("OriginalStatusCode")
    text = f"the model answered {status}: {_unwrapped(str(words))}" if status else _unwrapped(str(words))
    known = explain(text)
    return f"{text} ({known.cause})" if known else text


def _client(session: Any) -> Any:
    return session.client("sagemaker-runtime", config=_CLIENT_CONFIG)


def _invoke(
    client: Any,
    names: ResourceNames,
    payload: Mapping[str, Any],
    kind: RequestKind,
    clock: Callable[[], float],
) -> Invocation:
    body = json.dumps(payload).encode()
    start_s = clock()
    try:
        answer = client.invoke_endpoint(
            **_address(names), ContentType=_CONTENT_TYPE, Accept=_CONTENT_TYPE, Body=body
        )["Body"].read()
    except (ClientError, BotoCoreError) as error:
        return _failed(kind, start_s, clock(), error)
    latency_s = clock() - start_s
    document = _parsed(answer)
    return Invocation(
        kind=kind,
        start_s=start_s,
        latency_s=latency_s,
        ok=True,
        output_text=answer_text(document),
        output_tokens=answer_tokens(document),
    )


def _invoke_streaming(
    client: Any,
    names: ResourceNames,
    payload: Mapping[str, Any],
    kind: RequestKind,
    clock: Callable[[], float],
) -> Invocation:
    start_s = clock()
    first_s: float | None = None
    pieces: list[str] = []
    try:
        for piece in _pieces(client, names, payload):
            if first_s is None:
                first_s = clock()
            pieces.append(piece)
    except (ClientError, BotoCoreError) as error:
        return _failed(kind, start_s, clock(), error)
    return Invocation(
        kind=kind,
        start_s=start_s,
        latency_s=clock() - start_s,
        ok=True,
        time_to_first_token_s=None if first_s is None else first_s - start_s,
        output_text="".join(pieces),
        # LMI sends one event per token.
        output_tokens=len(pieces) or None,
    )


def _failed(
    kind: RequestKind, start_s: float, end_s: float, error: ClientError | BotoCoreError
) -> Invocation:
    return Invocation(
        kind=kind, start_s=start_s, latency_s=end_s - start_s, ok=False, error=failure_text(error)
    )


def _address(names: ResourceNames) -> dict[str, str]:
    address = {"EndpointName": names.endpoint}
    if names.inference_component:
        address["InferenceComponentName"] = names.inference_component
    return address


def _pieces(client: Any, names: ResourceNames, payload: Mapping[str, Any]) -> Iterator[str]:
    body = json.dumps({**payload, "stream": True}).encode()
    response = client.invoke_endpoint_with_response_stream(
        **_address(names), ContentType=_CONTENT_TYPE, Body=body
    )
    buffer = b""
    for event in response["Body"]:
        # Events may split lines anywhere, even inside a character.
        *lines, buffer = (buffer + event["PayloadPart"]["Bytes"]).split(b"\n")
        for line in lines:
            if piece := streamed_text(line):
                yield piece
    if piece := streamed_text(buffer):
        yield piece


def streamed_text(line: bytes) -> str:
    """The text of one streamed line: LMI's JSON lines, or OpenAI's chunks after `data:`; '' for other
    lines.
    """
    document = _parsed(line.removeprefix(b"data:").strip())
    if not isinstance(document, dict):
        return ""
    if isinstance(token := document.get("token"), dict):
        return str(token.get("text") or "")
    choice = _first_choice(document)
    return _text_of(choice, "delta") if choice else ""


def answer_text(document: object) -> str | None:
    """The generated text of an LMI or OpenAI answer; other answers unchanged."""
    if isinstance(document, list) and document:
        return answer_text(document[0])
    if isinstance(document, dict):
        if isinstance(text := document.get("generated_text"), str):
            return text
        if choice := _first_choice(document):
            return _text_of(choice, "message")
        return json.dumps(document, ensure_ascii=False)
    return None if document is None else str(document)


def answer_tokens(document: object) -> int | None:
    """The number of tokens, if the answer reports it."""
    if isinstance(document, list) and document:
        return answer_tokens(document[0])
    if not isinstance(document, dict):
        return None
    for section, key in (("usage", "completion_tokens"), ("details", "generated_tokens")):
        if isinstance(facts := document.get(section), dict) and isinstance(facts.get(key), int):
            return int(facts[key])
    return None


def _first_choice(document: dict[str, Any]) -> dict[str, Any] | None:
    choices = document.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        return choices[0]
    return None


def _text_of(choice: dict[str, Any], part: str) -> str:
    """The text of a choice: in `delta` or `message` of a chat answer, in `text` of a completion."""
    message = choice.get(part)
    content = message.get("content") if isinstance(message, dict) else None
    return str(content or choice.get("text") or "")


def _parsed(answer: bytes) -> object:
    try:
        return json.loads(answer) if answer else None
    except ValueError:  # a container may answer plain text
        return answer.decode(errors="replace")


def _unwrapped(words: str) -> str:
    """The message inside a JSON error, or the whole text."""
    document = _parsed(words.encode())
    if isinstance(document, dict):
        for key in ("error", "message"):
            if isinstance(text := document.get(key), str):
                return text
    return words.strip()
