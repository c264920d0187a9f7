"""Signals and standard streams, handled so that they never stop a run from cleaning up."""

from __future__ import annotations

import codecs
import io
import os
import re
import signal
import sys
from typing import Any, TextIO

from loadbench.errors import RunError

# Replacements for symbols that the terminal's encoding lacks.
_PLAIN = {
    "✓": "ok",
    "✗": "failed",
    "→": "->",
    "…": "...",
    "•": "*",
    "·": "-",
    "∥": "||",
    "×": "x",
    "÷": "/",
    "−": "-",
    "–": "-",
    "—": "-",
    "’": "'",
    "“": '"',
    "”": '"',
}
_ENCODING_ERRORS = "loadbench.plain"


class _Unbreakable(io.FileIO):
    """Standard error that ignores a reader that has gone: a closed terminal, an ended `| tee`.

    Ctrl-C ends the `tee` of `make compare 2>&1 | tee log` as well: the removal that follows must not end at
    its first message.
    """

    def write(self, data: Any, /) -> int:
        """As FileIO, but without an error for a reader that has gone."""
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


class _Results(io.FileIO):
    """Standard output that reports a write error once, with its real cause."""

    def write(self, data: Any, /) -> int:
        """As FileIO; RunError for a full disk behind it. A reader that has gone is a BrokenPipeError."""
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            forget_results()
            raise RunError(
                f"the result could not be written to standard output: {error.strerror}",
                remedy="Nothing else failed; the result is in the files under results/.",
            ) from error


def open_streams() -> None:
    """Give this process three working standard streams, whatever the shell or the scheduler has closed.

    Otherwise the next file that is opened would get a closed descriptor, and with it the output for the
    terminal. Symbols that the terminal cannot show are written in ASCII.
    """
    codecs.register_error(_ENCODING_ERRORS, _in_ascii)
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
        if getattr(sys, name) is None:
            setattr(sys, name, open(descriptor, "r" if descriptor == 0 else "w", encoding="utf-8"))  # noqa: PTH123, SIM115
    for name in ("COLUMNS", "LINES"):  # libraries do not validate them
        if not re.fullmatch("[1-9][0-9]{0,3}", os.environ.get(name, "1")):
            del os.environ[name]
    sys.stdout = _wrapped(_Results(sys.stdout.fileno(), "w", closefd=False), sys.stdout)
    sys.stderr = _wrapped(_Unbreakable(sys.stderr.fileno(), "w", closefd=False), sys.stderr)


def _wrapped(raw: io.FileIO, stream: TextIO) -> TextIO:
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors=_ENCODING_ERRORS,
        line_buffering=stream is sys.stderr or stream.isatty(),
    )


def forget_results() -> None:
    """Discard further output: nobody reads it, and Python would complain when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _in_ascii(error: UnicodeError) -> tuple[str | bytes, int]:
    """Replace one character that an encoding lacks; undecodable bytes of a file name stay bytes."""
    assert isinstance(error, UnicodeEncodeError)
    character = error.object[error.start]
    if "\udc80" <= character <= "\udcff":
        return bytes([ord(character) - 0xDC00]), error.start + 1
    return _PLAIN.get(character, "?"), error.start + 1


def end_like_ctrl_c() -> None:
    """SIGTERM and a closed terminal end a run like Ctrl-C, with cleanup. `nohup` is respected."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def no_more_signals() -> None:
    """The work is done: from now on a signal must not change the last message and the exit code."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
