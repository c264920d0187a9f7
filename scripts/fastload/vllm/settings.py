"""The settings: keys of vLLM's `--model-loader-extra-config`, or environment variables.

    location      FASTLOAD_LOCATION      s3://bucket/prefix/ or a folder; default: the model's own folder
    locations     FASTLOAD_LOCATIONS     JSON object: locations of additional models (a draft model) by name
    connections   FASTLOAD_CONNECTIONS   number of connections to S3; by default it adapts to the link

The variables exist because the start scripts of some containers break JSON in an argument, and because only
variables are available before vLLM has parsed its arguments, which loading before the engine requires.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fastload.errors import StreamError
from fastload.reader import MOST_CONNECTIONS

_KEYS = ("location", "locations", "connections")


@dataclass(frozen=True)
class Settings:
    """Checked."""

    location: str | None = None
    locations: Mapping[str, str] = field(default_factory=dict)
    connections: int | None = None

    def request(self, location: str) -> dict[str, Any]:
        """The request to the prefetching process."""
        asked: dict[str, Any] = {"location": location}
        if self.connections is not None:
            asked["connections"] = self.connections
        return asked


def read_settings(extra_config: Mapping[str, Any] | None, environment: Mapping[str, str]) -> Settings:
    """Settings from both sources; the argument takes precedence. Raises StreamError for invalid values."""
    given = dict(extra_config or {})
    if unknown := sorted(set(given) - set(_KEYS)):
        raise StreamError(
            f"model_loader_extra_config has unknown keys for the load format fastload:"
            f" {', '.join(unknown)}. Known keys: {', '.join(_KEYS)}."
        )
    for key in _KEYS:
        text = environment.get(f"FASTLOAD_{key.upper()}")
        if text and key not in given:
            given[key] = text if key == "location" else _parsed(key, text)
    location, locations = given.get("location"), given.get("locations") or {}
    if location is not None and not isinstance(location, str):
        raise StreamError(f"location is {location!r}; use s3://bucket/prefix/ or the path of a folder.")
    if not isinstance(locations, dict) or not all(isinstance(item, str) for item in locations.values()):
        raise StreamError('locations must be an object: {"model as named to vLLM": "s3://bucket/prefix/"}.')
    connections = given.get("connections")
    if connections is not None and (
        isinstance(connections, bool)
        or not isinstance(connections, int)
        or not 1 <= connections <= MOST_CONNECTIONS
    ):
        raise StreamError(f"connections is {connections!r}; choose 1 to {MOST_CONNECTIONS}, or omit it.")
    return Settings(location or None, locations, connections)


def _parsed(key: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise StreamError(f"FASTLOAD_{key.upper()}={text} is not JSON: {error}.") from error
