"""The prefetching process: reads one location into memory once, and shares that memory with all workers.

It ends when the last worker is done, when its parent ends, or if no worker connects. The memory is freed with
its last mapping, and the socket has no file, so nothing remains.

    python -m fastload.prefetch '{"location": "s3://bucket/prefix", …}' LISTENING_DESCRIPTOR PARENT
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import signal
import socket
import sys
import threading
import time
from typing import Any

from fastload.errors import DoesNotFitError, FastloadError, StreamError
from fastload.prefetch import memory_file, protocol
from fastload.prefetch.object_checksums import verify_files
from fastload.prefetch.plan import LoadPlan, plan_load
from fastload.reader import Reader
from fastload.storage.store import open_store

_PR_SET_PDEATHSIG = 1
_LOOK_EVERY_S = 0.2
# How long the memory is kept if no worker connects, and after a worker disconnected, which may reconnect.
_WAIT_FOR_FIRST_S = 900.0
_WAIT_FOR_NEXT_S = 20.0
# After a failure: until the other workers, which connect at the same time, have received the error.
_WAIT_AFTER_FAILURE_S = 2.0


class Prefetch:
    """One load, shared by the threads that serve the workers; also the reader's destination."""

    def __init__(self, request: dict[str, Any]) -> None:
        self.request = request
        self.changed = threading.Condition()
        self.landed_pieces: list[int] = []
        self.ending = ""
        """`complete` or `failed <reason>`, empty while loading."""
        self.does_not_fit = False
        self.greeting: dict[str, Any] | None = None
        self.descriptor = -1
        self._plan: LoadPlan | None = None
        self._memory: mmap.mmap | None = None
        self._piece_at: dict[int, int] = {}
        self._is_there: set[int] = set()

    def run(self) -> None:
        """Plan, read, verify. Never raises: errors are reported to the workers."""
        started_s = time.time()
        try:
            store = open_store(self.request["location"])
            self._plan = plan_load(store)
            self._open_memory(self._plan)
            connections = self.request.get("connections")
            reader = Reader(store, self._plan.pieces, self, connections, advice=self._plan.advice)
            said: list[str | BaseException] = []
            verifier = threading.Thread(target=self._verify, args=(store, said), daemon=True)
            verifier.start()
            reader.run()
            verifier.join()
            if isinstance(said[0], BaseException):
                raise said[0]
        except FastloadError as error:
            self.does_not_fit = isinstance(error, DoesNotFitError)
            self._end(f"failed {error}")
        except Exception as error:  # noqa: BLE001 - every error must be reported to the waiting workers
            self._end(f"failed unexpected {type(error).__name__}: {error}")
        else:
            ended_s = time.time()
            self._say(
                f"prefetched {self._plan.size_bytes} bytes from {store.location} between {started_s:.3f} and"
                f" {ended_s:.3f} ({self._plan.size_bytes / 1e9 / max(ended_s - started_s, 1e-9):.2f} GB/s,"
                f" {reader.most_connections} connections, {reader.retries} retries,"
                f" {time.process_time():.2f} core-seconds, verified: {said[0]})"
            )
            self._end("complete")

    # The reader's destination.

    def claim(self, offset_bytes: int, size_bytes: int) -> memoryview:
        """Memory for a run; its pages are populated in one call."""
        assert self._memory is not None
        memory_file.populate(
            self._memory, memory_file.MADV_POPULATE_WRITE, offset_bytes, offset_bytes + size_bytes
        )
        return memoryview(self._memory)[offset_bytes : offset_bytes + size_bytes]

    def landed(self, offset_bytes: int, view: memoryview) -> None:
        """Called for each run of a piece when all of them are filled."""
        number = self._piece_at.get(offset_bytes)
        if number is not None:
            with self.changed:
                self.landed_pieces.append(number)
                self._is_there.add(number)
                self.changed.notify_all()

    def finish(self) -> None:
        """Nothing to wait for."""

    def abandon(self) -> None:
        """Does nothing: the reader raises its own error, which is reported."""

    def base(self) -> Any:
        """Not used here, because workers map the memory."""
        raise NotImplementedError

    def _open_memory(self, plan: LoadPlan) -> None:
        self.descriptor = memory_file.create(plan.size_bytes)
        self._memory = memory_file.map_writable(self.descriptor)
        self._piece_at = {piece.runs[0].offset_bytes: number for number, piece in enumerate(plan.pieces)}
        with self.changed:
            self.greeting = {
                "size_bytes": plan.size_bytes,
                "aliases": dict(plan.aliases),
                "tensors": [
                    [t.name, t.dtype, t.shape, t.offset_bytes, t.first_piece, t.last_piece]
                    for t in plan.tensors
                ],
            }
            self.changed.notify_all()

    def _verify(self, store: Any, said: list[str | BaseException]) -> None:
        assert self._plan is not None and self._memory is not None
        try:
            said.append(verify_files(store, self._plan, self._memory, self._wait_for))
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that reads
            said.append(error)

    def _wait_for(self, number: int) -> None:
        with self.changed:
            self.changed.wait_for(lambda: number in self._is_there or self.ending)
            if self.ending:
                raise StreamError("the load has failed")

    def _end(self, ending: str) -> None:
        with self.changed:
            self.ending = self.ending or ending
            self.changed.notify_all()
        if ending != "complete":
            self._say(ending)

    def _say(self, text: str) -> None:
        # One write, so that lines of other processes are not mixed with it.
        sys.stderr.write(f"(fastload pid={os.getpid()}) {text}\n")
        sys.stderr.flush()


class _Clients:
    """Counts the workers that use the memory, and those that are done."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.world = 1
        self.connected = self.done = 0
        self.last_left_s = time.monotonic()
        self.came = False

    def has_ended(self, load: Prefetch) -> bool:
        """Whether no worker needs the process any longer."""
        with self.lock:
            if self.connected:
                return False
            if self.done >= self.world:
                return True
            wait_s = _WAIT_FOR_NEXT_S if self.came else _WAIT_FOR_FIRST_S
            if self.came and load.ending.startswith("failed"):
                wait_s = _WAIT_AFTER_FAILURE_S
            return bool(load.ending) and time.monotonic() - self.last_left_s > wait_s


def main(arguments: list[str]) -> int:
    """Serve until the last worker is done."""
    parent = int(arguments[2])
    _die_with_parent()
    if os.getppid() != parent:  # it ended before PR_SET_PDEATHSIG was set
        return 1
    request, listener = json.loads(arguments[0]), socket.socket(fileno=int(arguments[1]))
    load, clients = Prefetch(request), _Clients()
    threading.Thread(target=load.run, name="fastload-prefetch", daemon=True).start()
    listener.settimeout(_LOOK_EVERY_S)
    while not clients.has_ended(load) and os.getppid() == parent:
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            continue
        connection.setblocking(True)
        with clients.lock:
            clients.connected += 1
            clients.came = True
        threading.Thread(target=_attend, args=(connection, load, clients), daemon=True).start()
    return 0


def _attend(connection: socket.socket, load: Prefetch, clients: _Clients) -> None:
    """Report loaded pieces to one worker until it disconnects."""
    is_done = False
    try:
        with connection, connection.makefile("r", encoding="utf-8") as lines:
            protocol.check_peer(connection)
            hello = json.loads(lines.readline())
            with clients.lock:
                clients.world = max(clients.world, int(hello["world"]))
            _tell(connection, load)
            is_done = lines.readline().strip() == "done"
    except (OSError, ValueError, KeyError, FastloadError):
        pass  # the worker has died or is not a worker: its parent reports that
    finally:
        with clients.lock:
            clients.connected -= 1
            clients.done += is_done
            clients.last_left_s = time.monotonic()


def _tell(connection: socket.socket, load: Prefetch) -> None:
    with load.changed:
        load.changed.wait_for(lambda: load.greeting or load.ending)
    if load.greeting is None:
        nothing = os.memfd_create("fastload-nothing", os.MFD_CLOEXEC)
        failure = {"failed": load.ending.removeprefix("failed "), "does_not_fit": load.does_not_fit}
        protocol.send_greeting(connection, failure, nothing)
        os.close(nothing)
        return
    greeting = load.greeting | {"is_complete": load.ending == "complete"}
    protocol.send_greeting(connection, greeting, load.descriptor)
    reported = 0
    while True:
        with load.changed:
            load.changed.wait_for(lambda: len(load.landed_pieces) > reported or load.ending)  # noqa: B023
            news, ending = load.landed_pieces[reported:], load.ending
        if news:
            connection.sendall(f"landed {' '.join(map(str, news))}\n".encode())
            reported += len(news)
        if ending:
            connection.sendall(f"{' '.join(ending.split())}\n".encode())
            return


def _die_with_parent() -> None:
    """Make Linux end this process when the thread that started it ends, for any reason."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C is handled by the server, which then ends this process
