"""The log file of one command, in `.loadbench/logs/`: every message with its time, without secrets.

The file is created with its first message, so that `--help` and a mistyped option create none. All code logs
through Python's `logging`; warnings of libraries go to the file too, not to the terminal.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from pathlib import Path

from loadbench.foreign_text import shown
from loadbench.redaction import redacted_command

LOGS = Path(".loadbench") / "logs"
KEPT = 30  # newest files; older ones are removed when a new one is made
_LOG = logging.getLogger("loadbench")


class RedactingFormatter(logging.Formatter):
    """Formats a record, its traceback included, and then removes secrets."""

    def format(self, record: logging.LogRecord) -> str:
        """One record as text."""
        return shown(super().format(record))


class CallLog(logging.FileHandler):
    """Writes the file of one command; if the folder cannot be written, there is no log, but the run
    goes on.
    """

    def __init__(self, home: Path, command: list[str]) -> None:
        self._command = command
        verb = next((word for word in command if word.isalpha()), "call")
        name = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{verb}-{os.getpid()}.log"
        super().__init__(home / LOGS / name, encoding="utf-8", errors="backslashreplace", delay=True)
        formatter = RedactingFormatter(
            "%(asctime)s.%(msecs)03dZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S"
        )
        formatter.converter = time.gmtime
        self.setFormatter(formatter)

    @property
    def path(self) -> Path | None:
        """The file, None until something was logged."""
        return Path(self.baseFilename) if self.stream is not None else None

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; a first line names the command and the versions."""
        try:
            if self.stream is None:
                self._begin()
            super().emit(record)
        except OSError:
            self.setLevel(logging.CRITICAL + 1)  # no disk, no permission: stop logging

    def _begin(self) -> None:
        import platform  # slow to import, and only needed when there is a log
        from importlib import metadata

        file = Path(self.baseFilename)
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        for old in sorted(file.parent.glob("*.log"))[: -KEPT + 1]:
            old.unlink(missing_ok=True)
        self.stream = os.fdopen(
            os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            "a",
            encoding="utf-8",
            errors="backslashreplace",
        )
        what = f"loadbench {metadata.version('loadbench')}, Python {platform.python_version()}, "
        what += f"{platform.system()} {platform.machine()}: "
        what += f"loadbench {' '.join(redacted_command(self._command))}"
        super().emit(_LOG.makeRecord(_LOG.name, logging.INFO, "", 0, what, (), None))


def begin(home: Path, command: list[str]) -> CallLog:
    """Start the log of this command: all loggers write to it, and none of them to the terminal."""
    logging.raiseExceptions = False
    logging.captureWarnings(True)
    call_log = CallLog(home, command)
    logging.getLogger().addHandler(call_log)
    _LOG.setLevel(logging.DEBUG)
    threading.excepthook = lambda failed: _LOG.error(
        "thread %s ended by an unexpected error",
        failed.thread.name if failed.thread else "?",
        exc_info=(failed.exc_type, failed.exc_value or failed.exc_type(), failed.exc_traceback),
    )
    return call_log
