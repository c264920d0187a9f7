"""The sample request in the two formats that servers accept: LMI's `inputs`, and OpenAI chat messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DEFAULT: dict[str, Any] = {
    "inputs": "What is the capital of France?",
    "parameters": {"max_new_tokens": 100},
}
_SAME_NAME = ("top_p", "seed", "stop")
_LMI_DEFAULT_TOKENS = 30


def as_chat(request: Mapping[str, Any]) -> dict[str, Any]:
    """An LMI request converted to the equivalent chat request; a chat request is returned as it is."""
    if "messages" in request:
        return dict(request)
    parameters = request.get("parameters") or {}
    # OpenAI's format has no do_sample; temperature 0 selects the likeliest token.
    temperature = parameters.get("temperature", 1.0) if parameters.get("do_sample") else 0.0
    return {
        "messages": [{"role": "user", "content": request.get("inputs")}],
        "max_tokens": parameters.get("max_new_tokens", _LMI_DEFAULT_TOKENS),
        "temperature": temperature,
        **{name: parameters[name] for name in _SAME_NAME if name in parameters},
    }


def with_prompt(request: Mapping[str, Any], prompt: str) -> dict[str, Any]:
    """The same request with another prompt."""
    if "messages" in request:
        return {**request, "messages": [{"role": "user", "content": prompt}]}
    return {**request, "inputs": prompt}
