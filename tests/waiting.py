"""Waiting for something that another process or thread does."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(is_true: Callable[[], object], within_s: float = 20.0) -> None:
    """Return when it is true; fail if it is not after `within_s`."""
    deadline_s = time.monotonic() + within_s
    while not is_true():
        assert time.monotonic() < deadline_s, "it did not become true"
        time.sleep(0.02)
