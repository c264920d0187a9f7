"""The first process of a container with a real engine: all its processes end with it.

    python -m localaws.container.init COMMAND …

A container runtime gives each container a namespace of process ids, and with its first process all others
end. Without root there is none, and supervisors move their programs into process groups of their own. So this
process adopts every orphan below it (a "child subreaper"), and when its command ends, or the embedded AWS
does, it kills what is left.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from typing import Any

import psutil

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_ROUNDS = 50
_PAUSE_S = 0.02


def main(command: list[str]) -> int:
    """Run the command; its exit status, after everything that it started has ended."""
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)  # instead of SIGKILL, which would leave no time to clean up
    signal.signal(signal.SIGTERM, _leave)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    status = 0
    try:
        while True:
            # Orphans are reaped here too, so that no zombie stays.
            pid, ended = os.wait()
            if pid == child.pid:
                status = os.waitstatus_to_exitcode(ended)
                break
    finally:
        _kill_everything()
    return status if status >= 0 else 128 - status


def _leave(*_: Any) -> None:
    raise SystemExit(128 + signal.SIGTERM)


def _kill_everything() -> None:
    """Kill every descendant; processes that fork meanwhile are killed in the next round."""
    for _ in range(_ROUNDS):
        children = psutil.Process().children(recursive=True)
        if not children:
            return
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(_PAUSE_S)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
