"""Discrete-event simulation: requests, copies that start and stop, a policy evaluated every period.

Events are kept in `heapq` heaps. A general framework (SimPy 4.1) was measured at a tenth of the requests per
second, too slow for a day with ten thousand copies: docs/what-if.md#speed.
"""

from __future__ import annotations

import heapq
import math
from array import array
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from loadbench.what_if.distributions import Distribution, Seconds
from loadbench.what_if.scaling import SECONDS_PER_MINUTE, Policy, Scaler

Routing = Literal["least-outstanding", "random"]
_CHUNK = 100_000  # requests converted to Python numbers at a time
_COPY_BITS = 22
_MOST_COPIES = (1 << _COPY_BITS) - 1
_FOREVER_S = 1e12
# A departure is encoded as one integer, time (about microseconds) in the high bits, copy in the low bits: a
# heap of integers is five times as fast as one of pairs. The rounding affects routing only; waits are exact.
_UNITS_PER_S = 1 << 20


@dataclass(frozen=True)
class Serving:
    """How a copy serves: up to `concurrency` requests concurrently; others wait at it until they time out."""

    request: Distribution
    concurrency: int = 1
    routing: Routing = "least-outstanding"
    timeout_s: float = 60.0


@dataclass
class Trace:
    """The result of a simulation. `waits_s` is in order of arrival, infinite for a failed request."""

    duration_s: float
    arrivals_s: Seconds
    waits_s: Seconds
    timed_out: int
    without_copy: int
    copy_seconds: float
    cold_starts: int
    counts: list[tuple[float, int, int]] = field(repr=False)
    """(seconds, copies in service, copies paid for); each entry holds until the next."""


def simulate(
    arrivals_s: Seconds, serving: Serving, loading: Distribution, policy: Policy, duration_s: float, seed: int
) -> Trace:
    """Serve the arrivals until `duration_s`, starting with the policy's minimum of copies in service."""
    return _Simulation(arrivals_s, serving, loading, policy, duration_s, seed).run()


class _Simulation:
    """Copies are numbered in order of start. `_load[copy]`: the number of its requests, -1 once removed."""

    def __init__(
        self,
        arrivals_s: Seconds,
        serving: Serving,
        loading: Distribution,
        policy: Policy,
        duration_s: float,
        seed: int,
    ) -> None:
        self._arrivals_s, self._serving, self._policy = arrivals_s, serving, policy
        self._loading, self._duration_s = loading, duration_s
        # Separate generators, so that every policy and loading method gets the same requests.
        request_seed, loading_seed, routing_seed = np.random.SeedSequence(seed).spawn(3)
        self._request_generator = np.random.default_rng(request_seed)
        self._loading_generator = np.random.default_rng(loading_seed)
        self._routing_generator = np.random.default_rng(routing_seed)
        self._scaler = Scaler(policy)

        self._free_s: list[list[float]] = []  # one heap per copy: when each of its slots is free
        self._load: list[int] = []
        self._by_load: list[list[int]] = [[]]  # copies in service, indexed by their number of requests
        self._place: list[int] = []  # index of a copy in its list of `_by_load`
        self._departures: list[int] = []  # encoded time and copy, see _UNITS_PER_S
        self._waits_s = array("d")
        self._next = 0  # index of the next arrival
        self._chunk: tuple[list[float], list[float]] = ([], [])
        self._chunk_start = self._chunk_end = 0

        self._events: list[tuple[float, int]] = []  # (seconds, kind of event)
        self._ready = self._starting = self._draining = 0
        self._timed_out = self._without_copy = self._cold_starts = 0
        self._copy_seconds, self._paid_since_s, self._counts = 0.0, 0.0, [(0.0, 0, 0)]
        self._period_s = 0.0  # start of the period
        self._at_copies = 0  # requests at copies, at the start of the period
        self._came = self._left = self._failed = 0
        self._came_s = self._left_s = 0.0  # sums of arrival and departure times in the period

    def run(self) -> Trace:
        """Process all events."""
        for _ in range(self._policy.min_copies):
            self._put_in_service(0.0)
        self._counts = [(0.0, self._ready, self._ready)]
        if self._policy.kind != "none":
            self._at(self._policy.period_s, _PERIOD)
        while self._events and self._events[0][0] <= self._duration_s:
            now_s, what = heapq.heappop(self._events)
            self._serve(now_s)
            if what == _PERIOD:
                self._end_period(now_s)
                self._at(now_s + self._policy.period_s, _PERIOD)
                continue
            if what == _READY:
                self._starting -= 1
                self._put_in_service(now_s)
            else:
                self._draining -= 1
            self._note_counts(now_s)
        self._serve(_FOREVER_S)
        self._without_copy += self._failed
        self._note_counts(self._duration_s)
        return Trace(
            self._duration_s,
            self._arrivals_s,
            np.frombuffer(self._waits_s, dtype=np.float64) if self._waits_s else np.empty(0),
            self._timed_out,
            self._without_copy,
            self._copy_seconds,
            self._cold_starts,
            self._counts,
        )

    def _at(self, time_s: float, what: int) -> None:
        heapq.heappush(self._events, (time_s, what))

    def _serve(self, until_s: float) -> None:
        """Process arrivals and departures before `until_s`; the copies in service stay the same."""
        while self._next < self._chunk_end or self._fill_chunk():
            times_s, requests_s = self._chunk
            first = self._next - self._chunk_start
            last = bisect_left(times_s, until_s, first)
            count = last - first
            self._next += count
            if self._ready:
                self._came += count
                self._came_s += math.fsum(times_s[first:last]) - count * self._period_s
                self._admit(times_s[first:last], requests_s[first:last])
            else:
                self._failed += count
                self._waits_s.extend([math.inf] * count)
            if last < len(times_s):
                break
        self._depart(until_s)

    def _admit(self, times_s: list[float], requests_s: list[float]) -> None:
        """Send each request to a copy. Copies serve in order of arrival, so its start is known at arrival."""
        load, by_load, place, free_s = self._load, self._by_load, self._place, self._free_s
        departures, waits_s, timeout_s = self._departures, self._waits_s, self._serving.timeout_s
        is_random = self._serving.routing == "random"
        least = 0  # lower bound of the requests at any copy
        for now_s, request_s in zip(times_s, requests_s, strict=True):
            if departures and departures[0] <= int(now_s * _UNITS_PER_S) << _COPY_BITS | _MOST_COPIES:
                self._depart(now_s)
                least = 0
            if is_random:
                copy = self._any_copy()
                count = load[copy] + 1
                _leave(by_load, place, copy, count - 1)
            else:
                while not by_load[least]:
                    least += 1
                copy = by_load[least].pop()
                count = least + 1
            load[copy] = count
            if count == len(by_load):
                by_load.append([])
            place[copy] = len(by_load[count])
            by_load[count].append(copy)
            begins_s = free_s[copy][0]
            if begins_s < now_s:
                begins_s = now_s
            ends_s = begins_s + request_s
            if ends_s - now_s > timeout_s:  # the client has timed out, the copy is occupied until the timeout
                self._timed_out += 1
                waits_s.append(math.inf)
                ends_s = now_s + timeout_s
            else:
                waits_s.append(begins_s - now_s)
            if begins_s < ends_s:
                heapq.heapreplace(free_s[copy], ends_s)
            heapq.heappush(departures, int(ends_s * _UNITS_PER_S) << _COPY_BITS | copy)

    def _depart(self, until_s: float) -> None:
        """Process the departures up to `until_s`."""
        departures, load, by_load, place = self._departures, self._load, self._by_load, self._place
        until = int(until_s * _UNITS_PER_S) << _COPY_BITS | _MOST_COPIES
        left = left_units = 0
        while departures and departures[0] <= until:
            departure = heapq.heappop(departures)
            copy = departure & _MOST_COPIES
            left += 1
            left_units += departure >> _COPY_BITS
            count = load[copy]
            if count > 0:
                _leave(by_load, place, copy, count)
                load[copy] = count = count - 1
                place[copy] = len(by_load[count])
                by_load[count].append(copy)
        self._left += left
        self._left_s += left_units / _UNITS_PER_S - left * self._period_s

    def _any_copy(self) -> int:
        number = int(self._routing_generator.random() * self._ready)
        for copies in self._by_load:
            if number < len(copies):
                return copies[number]
            number -= len(copies)
        raise AssertionError("a copy in service is in no list")

    def _fill_chunk(self) -> bool:
        """Load the next chunk of requests; False if there are none left."""
        times_s = self._arrivals_s[self._next : self._next + _CHUNK]
        requests_s = self._serving.request.draw(self._request_generator, len(times_s))
        self._chunk = (times_s.tolist(), requests_s.tolist())
        self._chunk_start, self._chunk_end = self._next, self._next + len(times_s)
        return len(times_s) > 0

    def _end_period(self, now_s: float) -> None:
        """Evaluate the policy with the period's metric, and start the change that it requests."""
        length_s = now_s - self._period_s
        if self._policy.metric == "invocations":
            figure = self._came * SECONDS_PER_MINUTE / length_s
        else:  # mean number of requests at the copies, from their arrival and departure times
            staying = self._at_copies + self._came - self._left
            figure = staying + (self._left_s - self._came_s) / length_s
        is_busy = self._starting > 0 or self._draining > 0
        wanted = self._scaler.wanted(
            now_s, self._ready, figure / max(1, self._ready), self._failed, busy=is_busy
        )
        for _ in range(wanted - self._ready):
            self._start(now_s)
        for _ in range(self._ready - wanted):
            self._remove(now_s)
        self._note_counts(now_s)
        self._at_copies += self._came - self._left
        self._without_copy += self._failed
        self._came = self._left = self._failed = 0
        self._came_s = self._left_s = 0.0
        self._period_s = now_s

    def _start(self, now_s: float) -> None:
        self._starting += 1
        self._cold_starts += 1
        self._at(now_s + float(self._loading.draw(self._loading_generator, 1)[0]), _READY)

    def _put_in_service(self, now_s: float) -> None:
        self._ready += 1
        self._free_s.append([now_s] * self._serving.concurrency)
        self._load.append(0)
        self._place.append(len(self._by_load[0]))
        self._by_load[0].append(len(self._load) - 1)

    def _remove(self, now_s: float) -> None:
        """Take the copy with the fewest requests out of service; it still answers the requests it has."""
        copies = next(copies for copies in self._by_load if copies)
        copy = copies.pop()
        self._load[copy] = -1
        self._ready -= 1
        self._draining += 1
        self._at(max(now_s, *self._free_s[copy]), _DRAINED)

    def _note_counts(self, now_s: float) -> None:
        """Record the copies in service and those paid for, which include starting and stopping ones."""
        paid = self._ready + self._starting + self._draining
        self._copy_seconds += self._counts[-1][2] * (now_s - self._paid_since_s)
        self._paid_since_s = now_s
        if self._counts[-1][1:] != (self._ready, paid):
            self._counts.append((now_s, self._ready, paid))


# Kinds of events, in the order in which simultaneous ones are processed.
_READY, _DRAINED, _PERIOD = range(3)


def _leave(by_load: list[list[int]], place: list[int], copy: int, count: int) -> None:
    """Remove a copy from its list by moving the last one to its index."""
    copies = by_load[count]
    last = copies.pop()
    if last != copy:
        copies[place[copy]] = last
        place[last] = place[copy]
