"""The context of an operation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .platform import Platform
from .records import Records


@dataclass(frozen=True)
class Context:
    """The running platform, and the records of the region the request came to."""

    platform: Platform
    records: Records

    @property
    def region(self) -> str:
        """The region the request was signed for."""
        return self.records.region


Operation = Callable[[Context, dict[str, Any]], dict[str, Any]]
"""Gives the document whose members the operation's output shape names."""
