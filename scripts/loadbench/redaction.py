"""Removes secrets from text before it is shown or stored: on the terminal, in the log, in a summary."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MASK = "***"

# Variables that hold secrets of this process: the Hugging Face token, and AWS credentials.
_SECRET_VARIABLES = (
    "HUGGING_FACE_HUB_TOKEN",
    "HF_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
)
_SHORTEST_SECRET = 6  # masking shorter values would mask ordinary words

_SECRET_NAME = re.compile(
    r"SECRET|PASSWORD|PASSWD|CREDENTIAL|ACCESS_?KEY|API_?KEY|PRIVATE_?KEY|(^|_)TOKEN$", re.IGNORECASE
)
# Tokens with a known prefix: Hugging Face, AWS key ids, GitHub, OpenAI-like.
_TOKEN_LIKE = re.compile(
    r"\bhf_[A-Za-z0-9]{16,}\b|\b(AKIA|ASIA)[A-Z0-9]{16}\b|\bgh[oprsu]_[A-Za-z0-9]{20,}\b|\bsk-[\w-]{20,}"
)
_SETTING = re.compile(r"(?P<section>(?:.*\.)?)(?P<name>\w+)=(?P<value>.+)", re.DOTALL)
_REMEMBERED: set[str] = set()


def redact(text: str) -> str:
    """`text` without this process's secrets and without anything that looks like a token."""
    for name in _SECRET_VARIABLES:
        value = os.environ.get(name, "")
        if len(value) >= _SHORTEST_SECRET:
            text = text.replace(value, MASK)
    for value in _REMEMBERED:
        text = text.replace(value, MASK)
    return _TOKEN_LIKE.sub(MASK, text)


def is_secret(name: str, value: str) -> bool:
    """Whether a variable's name says that it is a secret, or its value looks like a token."""
    return bool(value) and (bool(_SECRET_NAME.search(name)) or _TOKEN_LIKE.search(value) is not None)


def remember_secrets(values: Iterable[str]) -> None:
    """Mask these values in everything that this process shows or stores from now on."""
    _REMEMBERED.update(value for value in values if len(value) >= _SHORTEST_SECRET)


def redacted_command(words: Sequence[str]) -> list[str]:
    """A command line without secrets, those in `--set section.NAME=value` included."""
    return [redact(_SETTING.sub(_masked_setting, word, count=1)) for word in words]


def _masked_setting(setting: re.Match[str]) -> str:
    name, value = setting["name"], setting["value"]
    return f"{setting['section']}{name}={MASK}" if is_secret(name, value) else setting[0]


def redacted_document(value: Any) -> Any:
    """A configuration without secrets, found by name in `container_env_vars` and by value elsewhere."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, list):
        return [redacted_document(item) for item in value]
    if isinstance(value, dict):
        return {
            key: redacted_environment(item)
            if key == "container_env_vars" and isinstance(item, dict)
            else redacted_document(item)
            for key, item in value.items()
        }
    return value


def redacted_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Names and values, sorted; a variable with the name of a secret is masked, an empty value stays
    empty.
    """
    return {
        name: MASK if value and _SECRET_NAME.search(name) else redact(value)
        for name, value in sorted(environment.items())
    }
