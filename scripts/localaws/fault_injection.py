"""Fault injection: which fault applies to which request, and how often."""

from __future__ import annotations

import fnmatch
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .settings import FaultKind, FaultSpec

_MATCH_FIELDS = (
    "service",
    "operation",
    "bucket",
    "key",
    "instance_type",
    "endpoint",
    "inference_component",
    "model",
    "optimization_job",
    "access_key_id",
)

Fault = FaultSpec


@dataclass
class _Armed:
    spec: FaultSpec
    remaining: int | None
    # Token bucket of the faults with a rate: holds at most one second's worth.
    tokens: float = 0.0
    filled_s: float = 0.0


class Faults:
    """The active faults."""

    def __init__(self, specs: Iterable[FaultSpec] = (), clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._armed: list[_Armed] = []
        self.arm(specs)

    def arm(self, specs: Iterable[FaultSpec]) -> None:
        """Replace all faults and reset their counts."""
        now_s = self._clock()
        armed = [_Armed(spec, spec.times, max(1.0, spec.requests_per_s or 0.0), now_s) for spec in specs]
        with self._lock:
            self._armed = armed

    def take(self, kind: FaultKind, **match: str | None) -> Fault | None:
        """Use the first active fault of that kind that matches, and decrease its count; None if there is
        none.

        A fault with a field that the caller did not give does not match.
        """
        if not self._armed:
            return None
        with self._lock:
            for armed in self._armed:
                if armed.spec.kind != kind or armed.remaining == 0 or not _fits(armed.spec, match):
                    continue
                if self._under_rate(armed):
                    continue
                if armed.remaining is not None:
                    armed.remaining -= 1
                return armed.spec
        return None

    def _under_rate(self, armed: _Armed) -> bool:
        requests_per_s = armed.spec.requests_per_s
        if requests_per_s is None:
            return False
        now_s = self._clock()
        capacity = max(1.0, requests_per_s)
        armed.tokens = min(capacity, armed.tokens + (now_s - armed.filled_s) * requests_per_s)
        armed.filled_s = now_s
        if armed.tokens < 1.0:
            return False
        armed.tokens -= 1.0
        return True


def _fits(spec: FaultSpec, match: dict[str, str | None]) -> bool:
    for field in _MATCH_FIELDS:
        pattern = getattr(spec, field)
        if pattern is None:
            continue
        value = match.get(field)
        if value is None or not fnmatch.fnmatchcase(value, pattern):
            return False
    return True
