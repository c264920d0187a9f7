"""Log lines as LMI containers write them, and the phases that this container measures itself.

The shapes are those of djl-serving (facts/sagemaker.md, "What can be seen of a cold start"): lines of the
Java front end start with `ModelServer`, each line of the Python worker is wrapped.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


def server_line(text: str) -> None:
    """One line of the serving front end."""
    _write(f"INFO  ModelServer {text}")


def worker_line(text: str) -> None:
    """One or more lines of the Python worker's standard output."""
    for line in text.splitlines() or [""]:
        _write(f"INFO  PyProcess W-{os.getpid()}-model-stdout: {line}")


def worker_error(text: str) -> None:
    """One or more lines of the Python worker's standard error."""
    for line in text.splitlines() or [""]:
        _write(f"WARN  PyProcess W-{os.getpid()}-model-stderr: {line}")


def engine_line(place: str, text: str) -> None:
    """A line with the engine's own clock (one second resolution), as vLLM 0.6 writes it."""
    worker_line(f"INFO {time.strftime('%m-%d %H:%M:%S')} {place}] {text}")


def phase_line(name: str, start_s: float, end_s: float, size_bytes: int = 0, worker: str = "server") -> None:
    """A phase that has ended; `start_s` and `end_s` are epoch seconds."""
    worker_line(f"[phase] name={name} start={start_s:.6f} end={end_s:.6f} bytes={size_bytes} worker={worker}")


@dataclass
class Phase:
    """What a running phase wants to say of itself when it ends."""

    size_bytes: int = 0


@contextmanager
def phase(name: str, worker: str = "server") -> Iterator[Phase]:
    """Measure the block and write its line when it ends without an error."""
    start_s = time.time()
    measured = Phase()
    yield measured
    phase_line(name, start_s, time.time(), measured.size_bytes, worker)


def _write(line: str) -> None:
    # One write per line: lines of several threads must not run into each other.
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
