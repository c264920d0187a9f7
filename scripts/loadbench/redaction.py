"""Secrets taken out of text before anybody sees it: the terminal, the log, a summary."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

MASK = "***"

# Where secrets of this process come from: the Hugging Face token, and AWS credentials.
_SECRET_VARIABLES = (
    "HUGGING_FACE_HUB_TOKEN",
    "HF_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
)
_SHORTEST_SECRET = 6  # a shorter value would blank out ordinary words

_SECRET_NAME = re.compile(
    r"SECRET|PASSWORD|PASSWD|CREDENTIAL|ACCESS_?KEY|API_?KEY|PRIVATE_?KEY|(^|_)TOKEN$", re.IGNORECASE
)
# Tokens with a prefix of their own: Hugging Face, AWS key ids, GitHub, OpenAI-like.
_TOKEN_LIKE = re.compile(
    r"\bhf_[A-Za-z0-9]{16,}\b|\b(AKIA|ASIA)[A-Z0-9]{16}\b|\bgh[oprsu]_[A-Za-z0-9]{20,}\b|\bsk-[\w-]{20,}"
)


def redact(text: str) -> str:
    """`text` without this process's secrets and without anything that looks like a token."""
    for name in _SECRET_VARIABLES:
        value = os.environ.get(name, "")
        if len(value) >= _SHORTEST_SECRET:
            text = text.replace(value, MASK)
    return _TOKEN_LIKE.sub(MASK, text)


def redacted_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Names and values, sorted; what a name calls a secret is masked whole, an empty value stays empty."""
    return {
        name: MASK if value and _SECRET_NAME.search(name) else redact(value)
        for name, value in sorted(environment.items())
    }
