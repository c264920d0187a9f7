"""Terraform's processes: stopped gracefully with one signal, and found again if they outlive the benchmark.

After a killed benchmark its Terraform continues to create resources. So each Terraform locks a file of its
run's folder; its providers inherit the lock, which ends with the last of these processes.
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

OnMessage = Callable[[str], None]


class TerraformProcess:
    """One Terraform command in its own session. Raises OSError if it cannot be started."""

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
                start_new_session=True,  # so that Ctrl-C reaches only this process, which forwards it
                umask=0o077,  # the state holds the token
                pass_fds=(lock,),
            )
            # It is already running: a full disk must not stop this process from following it.
            with contextlib.suppress(OSError):
                os.write(lock, str(self.pid).encode())

    @property
    def pid(self) -> int:
        """The process id of Terraform itself."""
        return self._popen.pid

    def wait(self, timeout_s: float) -> int:
        """The exit code. Raises subprocess.TimeoutExpired while it runs."""
        code = self._popen.wait(timeout=timeout_s)
        if (
            code < 0
        ):  # it was killed and could not stop its providers, which would continue to create resources
            _kill_session(self.pid)
        return code

    def interrupt(self) -> None:
        """Send the one SIGINT that stops it gracefully."""
        _interrupt(self._file, self.pid)


def stop_earlier(folder: Path, on_message: OnMessage, *, clock: Callable[[], float] = time.monotonic) -> None:
    """Stop a Terraform that an earlier, killed benchmark left running for this run, and wait for its end.

    It gets only one SIGINT, so that it saves its state; there is no timeout.
    """
    file = folder / _FILE
    started_s = clock()
    said_s = float("-inf")
    interrupted = False
    while _is_held(file):
        pid, _, note = file.read_text(encoding="utf-8", errors="replace").partition(" ")
        if pid.isdecimal() and not _leads_session(int(pid)):
            _kill_session(int(pid))  # Terraform has ended, its providers have not
        elif pid.isdecimal() and note != _STOPPING and not interrupted:
            _interrupt(file, int(pid))
            interrupted = True
        if clock() - said_s >= REMINDER_INTERVAL_S:
            said_s = clock()
            on_message(f"waiting until an earlier Terraform has ended ({said_s - started_s:.0f} s)")
        time.sleep(POLL_INTERVAL_S)


def _interrupt(file: Path, pid: int) -> None:
    """A second signal would lose the state, so the first one is recorded before it is sent."""
    with contextlib.suppress(OSError):  # a full disk; later processes then wait without sending a signal
        file.write_text(f"{pid} {_STOPPING}", encoding="utf-8")
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGINT)


def _is_held(file: Path) -> bool:
    try:
        return is_locked(file)
    except FileNotFoundError:
        return False


def _leads_session(pid: int) -> bool:
    """Whether the process is still the Terraform that was started, not another one with the same id.

    A zombie (for example in a container without an init process) counts as ended.
    """
    try:
        if os.getsid(pid) != pid:
            return False
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except ProcessLookupError:
        return False
    except FileNotFoundError:  # it has ended, or there is no /proc
        return not Path("/proc").is_dir()
    return status.rpartition(")")[2].split()[0] != "Z"


def _kill_session(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
