"""The neighbours that the gateway hands requests to; each may still be missing while it is being built."""

from __future__ import annotations

import importlib
from typing import Any


class _Missing:
    def __getattr__(self, name: str) -> object:
        async def absent(*_: object) -> None:
            return None

        return (lambda *_: []) if name == "endpoint_report" else absent


def room(name: str) -> Any:
    try:
        return importlib.import_module(f"localaws.{name}")
    except ModuleNotFoundError:
        return _Missing()
