"""Log lines as LMI containers write them, and the phases that this container measures itself.

The shapes are those of djl-serving (docs/facts/sagemaker.md#log-lines-of-lmi): lines of the Java front end
start with `ModelServer`, each line of the Python worker is wrapped.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class _Style:
    """Whose lines are imitated: LMI's, or since `as_vllm_server` those of vLLM's own server (0.10+)."""

    vllm_server: bool = False


_STYLE = _Style()


def as_vllm_server() -> None:
    """From now on there is no djl-serving before the engine."""
    _STYLE.vllm_server = True


def server_starts() -> None:
    """The first line."""
    if _STYLE.vllm_server:
        _write(f"(APIServer pid={os.getpid()}) {_engine_prefix('api_server.py')} vLLM API server")
    else:
        server_line("Starting model server ...")


def server_ready(name: str) -> None:
    """The model answers from now on."""
    if _STYLE.vllm_server:
        _write(f"(APIServer pid={os.getpid()}) INFO:     Application startup complete.")
    else:
        server_line(f"Model [{name}] initialized.")


def loading_starts(source: str) -> None:
    """The engine begins to load the weights."""
    place = "gpu_model_runner.py" if _STYLE.vllm_server else "model_runner.py:1110"
    engine_line(place, f"Starting to load model {source}...")


def loading_ends(size_bytes: int, seconds: float) -> None:
    """The weights are where the engine wants them."""
    size = f"{size_bytes / 2**30:.4f}"
    if _STYLE.vllm_server:
        engine_line("gpu_model_runner.py", f"Model loading took {size} GiB memory and {seconds:.6f} seconds")
    else:
        engine_line("model_runner.py:1115", f"Loading model weights took {size} GB")


def engine_starts_serving(seconds: float) -> None:
    """The engine is warm; LMI's version says nothing of it."""
    if _STYLE.vllm_server:
        text = f"init engine (profile, create kv cache, warmup model) took {seconds:.2f} seconds"
        engine_line("core.py", text)


def server_line(text: str) -> None:
    """One line of the serving front end."""
    _write(f"INFO  ModelServer {text}")


def worker_line(text: str) -> None:
    """One or more lines of the Python worker's standard output."""
    wrapping = "(EngineCore pid={})" if _STYLE.vllm_server else "INFO  PyProcess W-{}-model-stdout:"
    for line in text.splitlines() or [""]:
        _write(f"{wrapping.format(os.getpid())} {line}")


def worker_error(text: str) -> None:
    """One or more lines of the Python worker's standard error."""
    for line in text.splitlines() or [""]:
        _write(f"WARN  PyProcess W-{os.getpid()}-model-stderr: {line}")


def engine_line(place: str, text: str) -> None:
    """A line with the engine's own clock (one second resolution), as vLLM writes it."""
    worker_line(f"{_engine_prefix(place)} {text}")


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


def _engine_prefix(place: str) -> str:
    # vLLM 0.6 opens no bracket.
    return f"INFO {time.strftime('%m-%d %H:%M:%S')} {'[' if _STYLE.vllm_server else ''}{place}]"


def _write(line: str) -> None:
    # One write per line: lines of several threads must not run into each other.
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
