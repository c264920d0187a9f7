"""Terraform's processes: stopped once and in order, and found again when they outlive the benchmark.

A killed benchmark leaves a Terraform that goes on creating. So each one holds a lock on a file of its run's
folder; the lock passes on to its providers and dies with the last of them, whatever ends them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from loadbench.file_lock import is_locked, locked
from loadbench.run.polling import REMINDER_INTERVAL_S

_FILE = "terraform.pid"
_STOPPING = "stopping"
POLL_INTERVAL_S = 0.05

OnSay = Callable[[str], None]


class TerraformProcess:
    """One Terraform command in a session of its own. Raises OSError where it cannot be started."""

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        *,
        cwd: Path,
        env: Mapping[str, str],
        output: BinaryIO,
        errors: BinaryIO,
    ) -> None:
        self._file = folder / _FILE
        with locked(self._file) as lock:
            os.ftruncate(lock, 0)
            self._popen = subprocess.Popen(
                command,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                start_new_session=True,  # Ctrl-C at the terminal reaches us only; we pass on one signal
                umask=0o077,  # the state holds the token
                pass_fds=(lock,),
            )
            # It runs by now: a full disk must not keep us from following it.
            with contextlib.suppress(OSError):
                os.write(lock, str(self.pid).encode())

    @property
    def pid(self) -> int:
        """Of Terraform itself."""
        return self._popen.pid

    def wait(self, timeout_s: float) -> int:
        """The exit code. Raises subprocess.TimeoutExpired while it runs."""
        code = self._popen.wait(timeout=timeout_s)
        if code < 0:  # it was killed, and could not end its providers, which would go on creating
            _kill_session(self.pid)
        return code

    def interrupt(self) -> None:
        """The one SIGINT that stops it in an orderly way."""
        _interrupt(self._file, self.pid)


def stop_earlier(folder: Path, on_say: OnSay, *, clock: Callable[[], float] = time.monotonic) -> None:
    """Stop what an earlier, killed benchmark left running for the run of this folder, and wait for its end.

    It gets one SIGINT in all, and saves its state; that takes as long as it takes.
    """
    file = folder / _FILE
    started_s = clock()
    said_s = float("-inf")
    interrupted = False
    while _is_held(file):
        pid, _, note = file.read_text(encoding="utf-8", errors="replace").partition(" ")
        if pid.isdecimal() and not _leads_session(int(pid)):
            _kill_session(int(pid))  # Terraform is gone, its providers are not
        elif pid.isdecimal() and note != _STOPPING and not interrupted:
            _interrupt(file, int(pid))
            interrupted = True
        if clock() - said_s >= REMINDER_INTERVAL_S:
            said_s = clock()
            on_say(f"waiting for the end of an earlier Terraform ({said_s - started_s:.0f} s)")
        time.sleep(POLL_INTERVAL_S)


def _interrupt(file: Path, pid: int) -> None:
    """A second signal would lose the state, so the first one is noted before it is sent."""
    with contextlib.suppress(OSError):  # a full disk; whoever comes later then waits without a signal
        file.write_text(f"{pid} {_STOPPING}", encoding="utf-8")
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGINT)


def _is_held(file: Path) -> bool:
    try:
        return is_locked(file)
    except FileNotFoundError:
        return False


def _leads_session(pid: int) -> bool:
    """Whether the process still is the Terraform that was started, not another one with its number.

    One that has ended and that nobody waits for, as where a container's first process does not, is gone too.
    """
    try:
        if os.getsid(pid) != pid:
            return False
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except ProcessLookupError:
        return False
    except FileNotFoundError:  # gone by now, or a system without /proc, where init waits for orphans
        return not Path("/proc").is_dir()
    return status.rpartition(")")[2].split()[0] != "Z"


def _kill_session(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
