"""Signals and standard error that cannot keep a run from removing what it has created."""

from __future__ import annotations

import io
import signal
import sys
from typing import Any


class _Unbreakable(io.FileIO):
    """A file that swallows what nobody can read any more: a closed terminal, an ended `| tee`."""

    def write(self, data: Any, /) -> int:
        """As FileIO, but a reader that has gone is no error."""
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def keep_talking() -> None:
    """Let what is said on standard error go nowhere, rather than fail, once nobody listens.

    Ctrl-C ends the `tee` of `make compare 2>&1 | tee log` as well, and a closed terminal takes no words: the
    removal that follows must not end at its first message.
    """
    raw = _Unbreakable(sys.stderr.fileno(), "w", closefd=False)
    sys.stderr = io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=sys.stderr.encoding, errors="backslashreplace", line_buffering=True
    )


def end_like_ctrl_c() -> None:
    """SIGTERM and a closed terminal end a run like Ctrl-C: cleaned up. `nohup` is respected."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def no_more_signals() -> None:
    """Everything is done that a signal could stop: a late one must not take the last word and exit code."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
