"""The network between S3 and an instance: rate per connection, rate per instance, delay to the first byte.

Only requests signed with an instance's own key pair are shaped; the user's are not. All bytes are counted.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from .instance_types import known_types
from .settings import NetworkShape
from .state.keys import KeyRing

# A sleeper wakes up late, on a busy machine by tens of milliseconds, and catches up. Capacity of a longer
# idle time is lost.
_CATCH_UP_S = 0.1

Direction = Literal["to_client", "from_client"]


class _Line:
    """A link with a fixed rate: bytes are sent one after the other."""

    def __init__(self, bytes_per_s: float) -> None:
        self.bytes_per_s = bytes_per_s
        self._free_s = 0.0

    def reserve(self, size_bytes: int, now_s: float) -> float:
        """Reserve the link for that many bytes; returns the time at which the last one has been sent."""
        start_s = self._free_s if now_s - self._free_s < _CATCH_UP_S else now_s
        self._free_s = start_s + size_bytes / self.bytes_per_s
        return self._free_s


@dataclass
class Transfer:
    """One request's body in one direction, paced and counted."""

    _network: Network
    _access_key_id: str
    _direction: Direction
    _lines: list[_Line]
    first_byte_delay_s: float

    @property
    def shaped(self) -> bool:
        """False if bytes are sent without a limit."""
        return bool(self._lines)

    async def begin(self) -> None:
        """Wait for the latency of the first byte."""
        if self.first_byte_delay_s:
            await self._network.sleep(self.first_byte_delay_s)

    async def admit(self, size_bytes: int) -> None:
        """Wait until that many bytes have passed at the shaped rates, and count them."""
        self._network.count(self._access_key_id, self._direction, size_bytes)
        if not self._lines:
            return
        now_s = self._network.clock()
        wait_s = max(line.reserve(size_bytes, now_s) for line in self._lines) - now_s
        if wait_s > 0:
            await self._network.sleep(wait_s)


class Network:
    """Shapes transfers by the key that signed the request."""

    def __init__(
        self,
        shape: NetworkShape | Literal["none"],
        keys: KeyRing,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.clock = clock
        self.sleep = sleep
        self._keys = keys
        self._lock = threading.Lock()
        self._counters: dict[tuple[str, Direction], int] = {}
        self._lines: dict[tuple[str, Direction], _Line] = {}
        self._shape = shape

    def apply(self, shape: NetworkShape | Literal["none"]) -> None:
        """Shape requests that start from now on differently."""
        self._shape = shape
        self._lines.clear()

    def transfer(self, access_key_id: str, direction: Direction) -> Transfer:
        """The pacing for one request's body."""
        key = self._keys.get(access_key_id)
        shape = self._shape
        if shape == "none" or key is None or key.instance_type is None:
            return Transfer(self, access_key_id, direction, [], 0.0)
        lines = [_Line(shape.connection_bytes_per_s)]
        bytes_per_s = shape.instance_bytes_per_s or instance_bytes_per_s(key.instance_type)
        if bytes_per_s is not None:
            lines.append(self._lines.setdefault((access_key_id, direction), _Line(bytes_per_s)))
        return Transfer(self, access_key_id, direction, lines, shape.first_byte_delay_s)

    def count(self, access_key_id: str, direction: Direction, size_bytes: int) -> None:
        """Add to the byte counter of that key."""
        with self._lock:
            counter = (access_key_id, direction)
            self._counters[counter] = self._counters.get(counter, 0) + size_bytes

    def bytes_sent(self, access_key_id: str) -> int:
        """Body bytes sent to the holder of that key since this server started."""
        return self._counters.get((access_key_id, "to_client"), 0)

    def bytes_received(self, access_key_id: str) -> int:
        """Body bytes received from the holder of that key since this server started."""
        return self._counters.get((access_key_id, "from_client"), 0)


def instance_bytes_per_s(instance_type: str) -> float | None:
    """The instance type's network figure; None where it is unknown: then only connections are limited."""
    known = known_types().get(instance_type)
    return None if known is None else known.network_bytes_per_s
