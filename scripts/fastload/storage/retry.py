"""Retries after transient errors: how often, and after which pause."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from fastload.errors import StorageError, TransientError

_T = TypeVar("_T")
MOST_ATTEMPTS = 8
# The limit for attempts that fail slowly; each one has its own timeout.
MOST_S = 60.0
# A throttling store works, so retries last longer.
MOST_THROTTLED_S = 300.0
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 3.0
_LONGEST_THROTTLED_PAUSE_S = 20.0


class Backoff:
    """Counts the failures of one operation; not shared between threads."""

    def __init__(
        self,
        sleep: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._failures = self._throttled = 0
        self._sleep, self._clock = sleep, clock
        self._first_failure_s: float | None = None

    def after(self, error: TransientError) -> None:
        """Pause before the next attempt, or raise StorageError after too many.

        Pauses double, with full jitter, so that refused connections do not retry together; they are never
        shorter than the store's Retry-After. Source: "Exponential Backoff And Jitter", AWS Architecture Blog,
        full jitter.
        """
        now_s = self._clock()
        if self._first_failure_s is None:
            self._first_failure_s = now_s
        waited_s = now_s - self._first_failure_s
        if error.throttled:
            self._throttled += 1
            longest_s = min(_FIRST_PAUSE_S * 2 ** min(self._throttled, 20), _LONGEST_THROTTLED_PAUSE_S)
            if waited_s + error.retry_after_s > MOST_THROTTLED_S:
                raise self._enough(error, f"the store throttles for {waited_s:.0f} s") from error
        else:
            self._failures += 1
            longest_s = min(_FIRST_PAUSE_S * 2**self._failures, _LONGEST_PAUSE_S)
            if self._failures == MOST_ATTEMPTS or waited_s > MOST_S:
                attempts = self._failures + self._throttled
                raise self._enough(error, f"gave up after {attempts} attempts") from error
        self._sleep(error.retry_after_s + random.uniform(0, longest_s))  # noqa: S311

    def attempt(self, work: Callable[[], _T]) -> _T:
        """Do `work` until it succeeds, fails permanently, or has been retried often enough."""
        while True:
            try:
                return work()
            except TransientError as error:
                self.after(error)

    @staticmethod
    def _enough(error: TransientError, reason: str) -> StorageError:
        asked = f" and asks for {error.retry_after_s:.0f} s more" if error.retry_after_s else ""
        return StorageError(f"{error}; {reason}{asked}. Check the network and the store.")
