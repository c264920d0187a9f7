"""The two request forms of LMI containers: `inputs` with `parameters`, and OpenAI chat messages."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from .errors import RequestError

# LMI's own default for requests that name no length.
_DEFAULT_NEW_TOKENS = 30
_DEFAULT_CHAT_TOKENS = 512

_PARAMETERS = {
    "max_new_tokens",
    "min_new_tokens",
    "temperature",
    "top_k",
    "top_p",
    "do_sample",
    "repetition_penalty",
    "seed",
    "stop",
    "stop_sequences",
    "return_full_text",
    "details",
    "decoder_input_details",
}


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen, and when to stop."""

    max_new_tokens: int
    min_new_tokens: int = 0
    do_sample: bool = False
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True)
class GenerationRequest:
    """One checked request. Exactly one of `text` and `messages` is set."""

    text: str | None
    messages: list[dict[str, str]] | None
    sampling: Sampling
    stream: bool = False
    chat: bool = False
    return_full_text: bool = False
    details: bool = False


def parse_request(body: bytes) -> GenerationRequest:
    """Read a request's JSON. Raises RequestError with the status that the answer gets."""
    try:
        document = json.loads(body)
    except ValueError as error:
        raise RequestError(f"the body is not JSON: {error}", status=400) from error
    if not isinstance(document, dict):
        raise RequestError('the body is a JSON object with "inputs" or "messages"')
    if "messages" in document:
        return _chat(document)
    if "inputs" in document:
        return _plain(document)
    raise RequestError('the body has neither "inputs" nor "messages"')


def _plain(document: dict[str, Any]) -> GenerationRequest:
    parameters = document.get("parameters")
    parameters = {} if parameters is None else parameters
    if not isinstance(parameters, dict):
        raise RequestError('"parameters" is not an object')
    unknown = sorted(set(parameters) - _PARAMETERS)
    if unknown:
        raise RequestError(
            f"unknown parameters: {', '.join(unknown)}; known are {', '.join(sorted(_PARAMETERS))}"
        )
    inputs = document["inputs"]
    text: str | None = None
    messages: list[dict[str, str]] | None = None
    if isinstance(inputs, str):
        text = inputs
    elif isinstance(inputs, list) and inputs and all(isinstance(item, dict) for item in inputs):
        messages = [_message(item) for item in inputs]
    else:
        raise RequestError('"inputs" is neither a text nor a list of messages')
    temperature = _number(parameters, "temperature", 1.0, 0.0)
    sampling = Sampling(
        max_new_tokens=_whole(parameters, "max_new_tokens", _DEFAULT_NEW_TOKENS, 1),
        min_new_tokens=_whole(parameters, "min_new_tokens", 0, 0),
        do_sample=_flag(parameters, "do_sample") and temperature > 0,
        temperature=temperature,
        top_k=_whole(parameters, "top_k", 0, -1),
        top_p=_number(parameters, "top_p", 1.0, 0.0),
        repetition_penalty=_number(parameters, "repetition_penalty", 1.0, 0.01),
        seed=_whole(parameters, "seed", 0, 0) if "seed" in parameters else None,
        stop=_texts(parameters.get("stop", parameters.get("stop_sequences"))),
    )
    return GenerationRequest(
        text,
        messages,
        sampling,
        stream=_flag(document, "stream"),
        return_full_text=_flag(parameters, "return_full_text"),
        details=_flag(parameters, "details"),
    )


def _chat(document: dict[str, Any]) -> GenerationRequest:
    messages = document["messages"]
    if not isinstance(messages, list) or not messages or not all(isinstance(item, dict) for item in messages):
        raise RequestError('"messages" is not a list of messages')
    temperature = _number(document, "temperature", 1.0, 0.0)
    limit = "max_completion_tokens" if "max_completion_tokens" in document else "max_tokens"
    sampling = Sampling(
        max_new_tokens=_whole(document, limit, _DEFAULT_CHAT_TOKENS, 1),
        # OpenAI's form has no do_sample: a temperature says it.
        do_sample="temperature" in document and temperature > 0,
        temperature=temperature,
        top_p=_number(document, "top_p", 1.0, 0.0),
        seed=_whole(document, "seed", 0, 0) if document.get("seed") is not None else None,
        stop=_texts(document.get("stop")),
    )
    return GenerationRequest(
        None, [_message(item) for item in messages], sampling, stream=_flag(document, "stream"), chat=True
    )


def _message(item: dict[str, Any]) -> dict[str, str]:
    role, content = item.get("role"), item.get("content")
    if not isinstance(role, str):
        raise RequestError('a message has no "role"')
    if isinstance(content, str):
        return {"role": role, "content": content}
    if not isinstance(content, list):
        raise RequestError('a message\'s "content" is neither a text nor a list of parts')
    texts = []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind != "text" or not isinstance(part.get("text"), str):
            raise RequestError(
                f"this model reads text only: it cannot take a part of type {kind!r}; "
                "deploy a vision-language model for image inputs"
            )
        texts.append(part["text"])
    return {"role": role, "content": "\n".join(texts)}


def _flag(source: dict[str, Any], name: str) -> bool:
    value = source.get(name, False)
    if not isinstance(value, bool):
        raise RequestError(f'"{name}" is not true or false')
    return value


def _whole(source: dict[str, Any], name: str, default: int, least: int) -> int:
    value = source.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise RequestError(f'"{name}" is not a whole number of at least {least}')
    return value


def _number(source: dict[str, Any], name: str, default: float, least: float) -> float:
    value = source.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < float("inf"):
        raise RequestError(f'"{name}" is not a number of at least {least}')
    return float(value)


def _texts(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list) or not all(isinstance(item, str) and item for item in items):
        raise RequestError('"stop" is neither a text nor a list of texts')
    return tuple(items)
