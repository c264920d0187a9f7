"""How often, and after what pause, something that failed for a passing reason is tried again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from fastload.errors import StorageError, TransientError

_T = TypeVar("_T")
MOST_ATTEMPTS = 8
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 3.0


class Backoff:
    """Counts the failures of one piece of work; not shared between threads."""

    def __init__(self, sleep: Callable[[float], None] = time.sleep) -> None:
        self._failures = 0
        self._sleep = sleep

    def after(self, error: TransientError) -> None:
        """Pause before the next attempt, or raise StorageError when there were enough.

        Pauses double and are drawn from zero up, so that connections refused together do not come back
        together. Source: "Exponential Backoff And Jitter", AWS Architecture Blog, full jitter.
        """
        self._failures += 1
        if self._failures == MOST_ATTEMPTS:
            message = f"{error}; gave up after {MOST_ATTEMPTS} attempts. Check the network and the store."
            raise StorageError(message) from error
        longest_s = min(_FIRST_PAUSE_S * 2**self._failures, _LONGEST_PAUSE_S)
        self._sleep(random.uniform(0, longest_s))  # noqa: S311

    def attempt(self, work: Callable[[], _T]) -> _T:
        """Do `work` until it succeeds, fails for good, or has been tried often enough."""
        while True:
            try:
                return work()
            except TransientError as error:
                self.after(error)
