"""Child processes that do not outlive this one, and their resource usage."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_PR_SET_PDEATHSIG = 1
_NICENESS = 3
# Names the copy that a process belongs to: the state folder and the copy's id.
MARK_VARIABLE = "LOCALAWS_COPY"
# Below what CloudWatch Logs takes as one event (docs/facts/sagemaker.md#request-limits).
_LONGEST_LINE_BYTES = 250_000
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass(frozen=True)
class Usage:
    """What processes have used: sums since their start, except the memory they hold now."""

    cpu_s: float = 0.0
    memory_bytes: int = 0
    disk_read_bytes: int = 0
    disk_write_bytes: int = 0

    def plus(self, other: Usage) -> Usage:
        """Both together."""
        return Usage(
            self.cpu_s + other.cpu_s,
            self.memory_bytes + other.memory_bytes,
            self.disk_read_bytes + other.disk_read_bytes,
            self.disk_write_bytes + other.disk_write_bytes,
        )


class Child:
    """One running child in its own process group. Linux kills it when this process dies.

    Make it on the event loop's thread: Linux watches the thread that forked. Both outputs must be read to
    their end, or the child blocks.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        working_dir: Path | None = None,
        *,
        is_tree: bool = False,
    ) -> None:
        """`is_tree`: it does its work in processes below it, whose memory counts together."""
        self._is_tree = is_tree
        self._process = subprocess.Popen(
            command,
            env=dict(environment),
            cwd=working_dir,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,
            preexec_fn=_prepare_child,
        )
        self.pid = self._process.pid
        self._loop = asyncio.get_running_loop()
        self._exited: asyncio.Future[int] = self._loop.create_future()
        self._used = Usage()
        self._peak_bytes = 0
        threading.Thread(target=self._reap, name=f"wait-{self.pid}", daemon=True).start()

    async def output(self, *, error: bool = False) -> AsyncIterator[list[str]]:
        """The lines of standard output or standard error, as many at a time as there are."""
        pipe = self._process.stderr if error else self._process.stdout
        assert pipe is not None
        reader = asyncio.StreamReader()
        transport, _ = await self._loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
        try:
            rest = b""
            while chunk := await reader.read(1 << 16):
                *whole, rest = (rest + chunk).split(b"\n")
                if len(rest) > _LONGEST_LINE_BYTES:
                    whole, rest = [*whole, rest], b""
                if whole:
                    yield [_text(line) for line in whole]
            if rest:
                yield [_text(rest)]
        finally:
            transport.close()

    @property
    def returncode(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._exited.result() if self._exited.done() else None

    async def wait(self) -> int:
        """The exit status, once there is one."""
        return await asyncio.shield(self._exited)

    def kill(self, signal_number: int = signal.SIGKILL) -> None:
        """Send a signal to the whole process group, if it still runs."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal_number)

    def usage(self) -> Usage:
        """What the process and its children have used until now; after its end, without memory."""
        if self.returncode is not None:
            return self._used
        if self._is_tree:
            used = tree_usage(self.pid)
            self._peak_bytes = max(self._peak_bytes, used.memory_bytes)
            return used
        total = Usage()
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.pid)
            for part in [process, *process.children(recursive=True)]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    total = total.plus(_usage_of(part))
        return total

    def peak_memory_bytes(self) -> int:
        """The most memory the process itself has held at once (`VmHWM`); 0 if the system does not say."""
        if self.returncode is None and not self._is_tree:
            with contextlib.suppress(OSError, StopIteration):
                status = Path(f"/proc/{self.pid}/status").read_text()
                line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
                self._peak_bytes = int(line.split()[1]) * 1024
        return self._peak_bytes

    def _reap(self) -> None:
        _, status, used = os.wait4(self.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        # ru_maxrss is in KiB on Linux (getrusage(2)).
        if not self._is_tree:
            self._peak_bytes = used.ru_maxrss * 1024
        # ru_inblock and ru_oublock count 512 byte blocks, whatever the file system's own are (getrusage(2)).
        self._used = Usage(used.ru_utime + used.ru_stime, 0, used.ru_inblock * 512, used.ru_oublock * 512)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nothing waits for this any more
            self._loop.call_soon_threadsafe(self._finish, self._process.returncode)

    def _finish(self, status: int) -> None:
        if not self._exited.done():
            self._exited.set_result(status)


def tree_usage(pid: int) -> Usage:
    """What a process and all below it use; memory that several of them share counts once."""
    total = Usage()
    with contextlib.suppress(psutil.NoSuchProcess):
        top = psutil.Process(pid)
        for part in [top, *top.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess, OSError, StopIteration):
                used = _usage_of(part)
                # Those that have ended and were waited for.
                ended = part.cpu_times()
                cpu_s = used.cpu_s + ended.children_user + ended.children_system
                total = total.plus(
                    Usage(cpu_s, _proportional_bytes(part.pid), used.disk_read_bytes, used.disk_write_bytes)
                )
    return total


def _proportional_bytes(pid: int) -> int:
    """`Pss`: a page that n processes share counts 1/n in each."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("Pss:")).split()[1]) * 1024


def kill_marked(mark: str) -> None:
    """Kill every process that was started with this mark in its environment, in any process group or session.

    Supervisors start their programs in process groups and sessions of their own.
    """
    wanted = f"{MARK_VARIABLE}={mark}".encode()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            variables = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
            if any(variable.startswith(wanted) for variable in variables):
                process.kill()


def _usage_of(process: psutil.Process) -> Usage:
    cpu = process.cpu_times()
    counters = process.io_counters() if hasattr(process, "io_counters") else None
    return Usage(
        cpu.user + cpu.system,
        process.memory_info().rss,
        counters.read_bytes if counters else 0,
        counters.write_bytes if counters else 0,
    )


def _text(line: bytes) -> str:
    return line.decode(errors="replace").rstrip("\r")


def _prepare_child() -> None:
    """Runs in the child before its program: system calls only, none of which takes a lock."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # The control plane must respond, and the computer stay usable, whatever model servers do.
    os.nice(_NICENESS)
