"""What happens to a run, when, and with which ending: everything drawn from a seed and the run's number."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import psutil

from tests.reliability.home import Home, Typed

# A deck is dealt out whole before it is shuffled again, so that ten runs hold every kind.
DECK = (
    "SIGINT",
    "SIGINT twice",
    "SIGTERM",
    "SIGHUP",
    "terminal closed",
    "kill -9 Terraform",
    "kill -9 benchmark",
    "kill -9 embedded AWS",
    "fault",
    "fault",
    "disk full",
    "state damaged",
)
SUCCEEDED, FAILED, REFUSED, LEFT, INTERRUPTED = 0, 1, 2, 3, 130
_STRIKE_WITHIN_S = 60.0


@dataclass(frozen=True)
class Fault:
    """A failure of the service: what is set for it, the exit codes that are right, the explanation's name."""

    specs: tuple[dict[str, Any], ...]
    exit_codes: tuple[int, ...] = (FAILED,)
    explanation: str | None = None
    paths: tuple[str, ...] = ("standard", "fast")


FAULTS: dict[str, Fault] = {
    "capacity": Fault(({"kind": "insufficient_capacity"},), explanation="capacity"),
    "quota": Fault(({"kind": "quota"},), explanation="quota"),
    "health check": Fault(({"kind": "health_check", "delay_s": 2},), explanation="health_check"),
    "container exit": Fault(({"kind": "container_exit"},), explanation="process_died"),
    "download timeout": Fault(({"kind": "download_timeout"},), explanation="download_timeout"),
    "throttling, gentle": Fault(
        ({"kind": "throttling", "service": "sagemaker", "requests_per_s": 4},), (SUCCEEDED,)
    ),
    "throttling, all": Fault(
        ({"kind": "throttling", "service": "sagemaker", "operation": "CreateModel"},),
        explanation="throttling",
    ),
    "access denied, role": Fault(
        ({"kind": "access_denied", "service": "iam", "operation": "CreateRole"},),
        explanation="access_denied",
    ),
    "access denied, endpoint": Fault(
        ({"kind": "access_denied", "operation": "CreateEndpoint"},), explanation="access_denied"
    ),
    "access denied, weights": Fault(
        ({"kind": "access_denied", "endpoint": "*"},), explanation="access_denied"
    ),
    "removal denied": Fault(
        ({"kind": "container_exit"}, {"kind": "access_denied", "operation": "DeleteModel"}),
        (LEFT,),
        explanation="process_died",
    ),
}


@dataclass(frozen=True)
class Case:
    """One run of the series."""

    number: int
    kind: str
    path: str
    fraction: float  # of a typical run's length
    fault: str | None = None
    # What is removed from S3 before, so that the run makes it again: "optimized/", "models/" or nothing.
    fresh: str = ""
    destroys: int = 1
    pause_s: float = 0.0  # before a second signal
    place: float = 0.0  # seed of where a state is damaged

    @property
    def label(self) -> str:
        """The row of the table."""
        return f"fault: {self.fault}" if self.fault else self.kind

    def arguments(self) -> list[str]:
        """What is typed."""
        if self.fault is None:
            return ["run", self.path]
        return ["run", self.path, "--set", f"local.faults={json.dumps(FAULTS[self.fault].specs)}"]


def draw(seed: int, number: int, paths: Sequence[str]) -> Case:
    """The same case for the same seed and number, whatever ran before it."""
    deck = list(DECK)
    random.Random(f"{seed}/deck/{number // len(deck)}").shuffle(deck)
    kind = deck[number % len(deck)]
    chance = random.Random(f"{seed}/run/{number}")
    path = chance.choice(list(paths))
    fraction, luck, again, pause_s = (chance.random() for _ in range(4))
    fault = chance.choice(sorted(FAULTS)) if kind == "fault" else None
    fresh = ""
    if fault is None:
        fresh = "models/" if luck > 0.95 else "optimized/" if path == "fast" and luck > 0.65 else ""
    twice = 2 if again < 0.2 else 1
    return Case(number, kind, path, fraction, fault, fresh, twice, pause_s * 4, place=chance.random())


@dataclass
class Strike:
    """Whether and when the interruption came."""

    at_s: float | None = None
    doing: str = ""
    problems: list[str] = field(default_factory=list)


def strike(case: Case, home: Home, typed: Typed, typical_s: float) -> Strike:
    """Wait for the drawn moment and interrupt; nothing for faults, which were set before."""
    done = Strike()
    if case.fault is not None:
        return done
    if typed.wait(case.fraction * typical_s):
        return done  # it was over before its moment came
    actions: dict[str, Callable[[], bool]] = {
        "SIGINT": lambda: _signal_group(typed, signal.SIGINT),
        "SIGINT twice": lambda: _signal_group(typed, signal.SIGINT),
        "SIGTERM": lambda: _signal(typed.process.pid, signal.SIGTERM),
        "SIGHUP": lambda: _signal(typed.process.pid, signal.SIGHUP),
        "terminal closed": lambda: _close(typed),
        "kill -9 Terraform": lambda: _signal(_terraform(typed), signal.SIGKILL),
        "kill -9 benchmark": lambda: _signal(typed.process.pid, signal.SIGKILL),
        "kill -9 embedded AWS": lambda: _signal(home.aws_pid(), signal.SIGKILL),
        "disk full": home.fill_disk,
        "state damaged": lambda: _kill_all(typed),
    }
    deadline_s = time.monotonic() + _STRIKE_WITHIN_S
    while not typed.wait(0.0) and time.monotonic() < deadline_s:
        if actions[case.kind]():
            done.at_s = typed.seconds()
            done.doing = _last_step(typed)
            break
        typed.wait(0.02)  # what is to be killed does not run yet
    if case.kind == "SIGINT twice" and not typed.wait(case.pause_s):
        _signal_group(typed, signal.SIGINT)
    return done


def expected_exit_codes(case: Case, struck: Strike) -> tuple[int, ...]:
    """The codes that the contract allows."""
    if case.fault is not None:
        return FAULTS[case.fault].exit_codes
    if struck.at_s is None:
        return (SUCCEEDED,)
    return {
        # A signal that comes after the last thing to do finds a run that is over.
        "SIGINT": (INTERRUPTED, SUCCEEDED),
        "SIGINT twice": (INTERRUPTED, LEFT, SUCCEEDED),
        "SIGTERM": (INTERRUPTED, SUCCEEDED),
        "SIGHUP": (INTERRUPTED, SUCCEEDED),
        "terminal closed": (INTERRUPTED, SUCCEEDED),
        "kill -9 Terraform": (FAILED,),
        "kill -9 benchmark": (-signal.SIGKILL,),
        "kill -9 embedded AWS": (FAILED, LEFT, SUCCEEDED),
        "disk full": (FAILED, REFUSED, LEFT, SUCCEEDED),
        "state damaged": (-signal.SIGKILL,),
    }[case.kind]


def _signal(pid: int | None, number: signal.Signals) -> bool:
    if pid is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False


def _kill_all(typed: Typed) -> bool:
    """The benchmark and its Terraform at once, so that nobody saves the state any more."""
    with contextlib.suppress(psutil.Error):
        for process in (
            *(benchmark := psutil.Process(typed.process.pid)).children(recursive=True),
            benchmark,
        ):
            process.kill()
        return True
    return False


def _signal_group(typed: Typed, number: signal.Signals) -> bool:
    """As Ctrl-C at a terminal: everything in the foreground gets it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(typed.process.pid, number)
        return True
    return False


def _close(typed: Typed) -> bool:
    typed.close_terminal()
    return True


def _terraform(typed: Typed) -> int | None:
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(typed.process.pid).children():
            if child.name() == "terraform":
                return int(child.pid)
    return None


def _last_step(typed: Typed) -> str:
    lines = [line for line in typed.words().splitlines() if line.strip()]
    return lines[-1][:80] if lines else "starting"
