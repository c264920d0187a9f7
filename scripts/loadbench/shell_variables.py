"""Checks environment variables that would make requests invalid, before any is sent, without showing
values.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from loadbench.errors import UsageError

# Each becomes part of a header: a line break would start another header.
_IN_HEADERS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "HUGGING_FACE_HUB_TOKEN",
    "HF_TOKEN",
)
_VISIBLE = re.compile(r"[!-~]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def check_variables(variables: Mapping[str, str] = os.environ) -> None:
    """Raise UsageError naming a variable with characters that are not allowed in it."""
    for name in _IN_HEADERS:
        require_visible(variables.get(name, ""), name)
    for name, value in sorted(variables.items()):
        if name.startswith("AWS_") and _CONTROL.search(value):
            raise _stray(name)
        if name.startswith("AWS_ENDPOINT_URL") and value and not _is_address(value):
            raise UsageError(
                f"{name} is not an address like https://host:port",
                remedy=f"Correct it, or remove it from the environment: unset {name}",
            )


def require_visible(value: str, name: str) -> None:
    """Raise UsageError for spaces, line breaks and characters outside ASCII, without showing the value."""
    if not _VISIBLE.fullmatch(value):
        raise _stray(name)


def _stray(name: str) -> UsageError:
    return UsageError(
        f"{name} contains a space, a line break or another invalid character",
        remedy="Copy it again; values from files and secret stores often end with a line break.",
    )


def _is_address(value: str) -> bool:
    try:
        parts = urlsplit(value)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # an invalid port, or brackets that do not match
        return False
