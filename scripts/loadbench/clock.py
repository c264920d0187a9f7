"""A clock for measuring durations: it starts at the time of day and then follows the monotonic clock.

People and time services change the time of day, and it jumps when a machine wakes up. If that happens during
a run, its times are meaningless; on the embedded AWS the services' own times come from the same clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable

_TOLERATED_S = 1.0
# A time service slews a clock by up to 500 millionths of the time that passes (adjtimex).
_TOLERATED_SHARE = 0.001
# By how much the service's duration of a deployment may exceed the time that the client waited for it.
_SERVICE_TOLERATED_S = 5.0


class SteadyClock:
    """Epoch seconds that advance like the monotonic clock."""

    def __init__(
        self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._wall, self._monotonic = wall, monotonic
        self._started_s = monotonic()
        self._offset_s = wall() - self._started_s

    def __call__(self) -> float:
        """Epoch seconds now."""
        return self._offset_s + self._monotonic()

    def problem(self) -> str | None:
        """Describes a change of the time of day since this clock started; None if there was none."""
        moved_s = self._wall() - self()
        passed_s = self._monotonic() - self._started_s
        if abs(moved_s) <= max(_TOLERATED_S, _TOLERATED_SHARE * passed_s):
            return None
        return f"the clock was set by {moved_s:+.1f} s during the run, or the machine slept"


def service_clock_problem(service_s: float | None, waited_s: float | None) -> str | None:
    """Why a service's duration is impossible (negative, or longer than the client waited); None if it
    is not.
    """
    if service_s is None or waited_s is None or 0 <= service_s <= waited_s + _SERVICE_TOLERATED_S:
        return None
    return f"the service's clock says {service_s:.1f} s for a deployment that took {waited_s:.1f} s"
