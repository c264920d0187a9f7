"""The worker's side: finds or starts the prefetching process, maps its memory, yields tensors on arrival."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from fastload.dtypes import tensor_bytes, torch_shape
from fastload.errors import DoesNotFitError, StreamError
from fastload.prefetch import memory_file, protocol

if TYPE_CHECKING:
    import torch

# The process may end between the lookup and the greeting; then it is started again.
_ATTEMPTS = 3
_BACKLOG = 64


def begin(request: dict[str, Any]) -> None:
    """Start reading a location unless that is in progress; all processes started later can share it.

    `request` is {"location": …} and optionally "connections". Raises StreamError if the process cannot be
    started; later errors are raised when tensors are read.
    """
    session = protocol.begin_session()
    with contextlib.suppress(OSError):
        probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with probe:
            probe.bind(protocol.address(session, request))
            probe.listen(_BACKLOG)
            _start(request, probe)


class Weights:
    """The tensors of a location, in memory that this process shares with others. A context manager.

    `world` is the number of workers on this machine that load the same model; the prefetching process ends
    after the last one. `private`: this process's writes to the tensors are not shared (for CPUs, where
    parameters use this memory).
    """

    def __init__(self, request: dict[str, Any], *, world: int = 1, private: bool = True) -> None:
        self.waited_s = 0.0
        """Seconds spent waiting for bytes."""
        self._request, self._world = request, world
        self._landed: set[int] = set()
        self._is_complete = False
        began_s = time.monotonic()
        self._connection, greeting, descriptor = self._attach()
        self.waited_s += time.monotonic() - began_s
        try:
            if "failed" in greeting:
                kind = DoesNotFitError if greeting["does_not_fit"] else StreamError
                raise kind(str(greeting["failed"]))
            self.memory = memory_file.map_for_worker(descriptor, private=private)
        except BaseException:
            self._connection.close()
            raise
        finally:
            os.close(descriptor)
        self._lines = self._connection.makefile("r", encoding="utf-8")
        self.size_bytes: int = greeting["size_bytes"]
        self.was_complete: bool = greeting["is_complete"]
        """Whether everything had been read and verified before this worker connected."""
        self.aliases: dict[str, str] = greeting["aliases"]
        self._tensors: list[list[Any]] = greeting["tensors"]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield each tensor as soon as all its bytes have arrived, as a view that keeps the memory alive.

        Raises StreamError with the reason if the load fails. The bytes are verified only by `finish`.
        """
        import torch

        from fastload.tensors import torch_dtype

        flat = torch.frombuffer(self.memory, dtype=torch.uint8)
        views: dict[str, torch.Tensor] = {}
        for name, dtype_name, shape, offset_bytes, first_piece, last_piece in self._tensors:
            dtype = torch_dtype(name, dtype_name)
            self._wait_for(first_piece, last_piece)
            size_bytes = tensor_bytes(dtype_name, tuple(shape))
            stop_bytes = offset_bytes + size_bytes
            memory_file.populate(self.memory, memory_file.MADV_POPULATE_READ, offset_bytes, stop_bytes)
            view = flat[offset_bytes:stop_bytes].view(dtype).view(torch_shape(dtype_name, tuple(shape)))
            if name in self.aliases.values():
                views[name] = view
            yield name, view
        for alias, target in self.aliases.items():
            yield alias, views[target]

    def finish(self) -> None:
        """Wait until everything is read and verified, and report that this worker is done.

        Raises StreamError if a checksum is wrong; then the tensors must not be used.
        """
        while not self._is_complete:
            self._read_line()
        with contextlib.suppress(OSError):
            self._connection.sendall(b"done\n")

    def close(self) -> None:
        """Disconnect. The memory is freed when its last tensor is."""
        self._lines.close()
        self._connection.close()

    def _wait_for(self, first_piece: int, last_piece: int) -> None:
        while any(number not in self._landed for number in range(first_piece, last_piece + 1)):
            self._read_line()

    def _read_line(self) -> None:
        began_s = time.monotonic()
        line = self._lines.readline()
        self.waited_s += time.monotonic() - began_s
        word, _, rest = line.strip().partition(" ")
        if word == "landed":
            self._landed.update(map(int, rest.split()))
        elif word == "complete":
            self._is_complete = True
        elif word == "failed":
            raise StreamError(rest)
        else:
            raise StreamError(
                "the prefetching process ended before everything had been read (out of memory, or killed);"
                " restart the server."
            )

    def _attach(self) -> tuple[socket.socket, dict[str, Any], int]:
        for attempt in range(_ATTEMPTS):
            begin(self._request)
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connection.connect(protocol.address(os.environ[protocol.SESSION_VARIABLE], self._request))
                protocol.check_peer(connection)
                connection.sendall(json.dumps({"world": self._world}).encode() + b"\n")
                return (connection, *protocol.receive_greeting(connection))
            except OSError as error:
                connection.close()
                if attempt + 1 == _ATTEMPTS:
                    raise StreamError(f"the prefetching process cannot be reached: {error}.") from error
        raise AssertionError("the loop returns or raises")


def _start(request: dict[str, Any], listener: socket.socket) -> None:
    descriptor = listener.fileno()
    command = [sys.executable, "-m", "fastload.prefetch", json.dumps(request), str(descriptor)]
    command.append(str(os.getpid()))
    started: Future[None] = Future()

    def keep() -> None:
        try:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[descriptor])
        except OSError as error:
            started.set_exception(error)
            return
        started.set_result(None)
        process.wait()

    # Started by a thread that lives as long as this process, because Linux ends the child with the thread
    # that started it. The thread also reaps the child, so that no zombie remains.
    threading.Thread(target=keep, name="fastload-prefetch", daemon=True).start()
    try:
        started.result()
    except OSError as error:
        raise StreamError(f"the prefetching process cannot be started: {error}.") from error
