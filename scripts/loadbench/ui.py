"""What a person sees while something works: one line that moves on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.status import Status

from loadbench.progress import Progress
from loadbench.redaction import redact
from loadbench.typed_commands import typed_here

_PLAIN_INTERVAL_S = 5.0  # between two plain lines of one step, so that a log does not fill with them
_SHOWN = logging.getLogger("loadbench.ui")  # what the terminal shows anyway
_SAID = logging.getLogger("loadbench.said")  # what it shows only when asked for detail


class Ui:
    """Shows steps, progress and notes on standard error; results go to standard output untouched.

    Everything goes to the log as well. `verbose` shows on the terminal what otherwise only the log has,
    `quiet` nothing but warnings.
    """

    def __init__(self, console: Console | None = None, *, verbose: bool = False, quiet: bool = False) -> None:
        self.console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self._verbose, self._quiet = verbose, quiet
        self._status: Status | None = None
        self._title = ""
        self._detail = ""
        self._start_s = 0.0
        self._last_plain_s = 0.0
        if verbose:
            logging.getLogger().addHandler(_Teller(self.console))

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Show a step while it runs, then one line with its seconds."""
        outer = (self._title, self._detail, self._start_s)
        self._title, self._detail, self._start_s = title, "", time.monotonic()
        self._last_plain_s = self._start_s
        _SHOWN.info("%s …", title)
        if self.console.is_terminal and not self._quiet:
            if self._status is None:
                self._status = self.console.status("", spinner="dots")
                self._status.start()
            self._refresh()
        else:
            self._print(f"{title} …", markup=False)
        mark = "✗"
        try:
            yield
            mark = "✓"
        finally:
            seconds = time.monotonic() - self._start_s
            style = "green" if mark == "✓" else "red"
            _SHOWN.info("%s %s %.1f s", mark, title, seconds)
            self._print(f"[{style}]{mark}[/] {_escape(title)} [dim]{seconds:.1f} s[/]")
            self._title, self._detail, self._start_s = outer
            if not self._title and self._status is not None:
                self._status.stop()
                self._status = None
            self._refresh()

    def progress(self, progress: Progress) -> None:
        """Show how far the current step is; the log gets a line now and then."""
        self._show(describe(progress))

    def detail(self, text: str, *, said: str | None = None) -> None:
        """Show what the current step is doing; `said` is what is new in it, for the log."""
        if text == self._detail:
            return
        _SAID.debug("%s", said or text)
        self._show(text)

    def note(self, text: str) -> None:
        """A line that stays."""
        text = typed_here(text, Path.cwd())
        _SHOWN.info("%s", text)
        self._print(text, markup=False)

    def warn(self, text: str) -> None:
        """A line that stays and should be read."""
        text = typed_here(text, Path.cwd())
        _SHOWN.warning("%s", text)
        self.console.print(f"[yellow]![/] {_escape(redact(text))}")

    def _show(self, text: str) -> None:
        if text == self._detail:
            return
        self._detail = text
        self._refresh()
        now_s = time.monotonic()
        if now_s - self._last_plain_s < _PLAIN_INTERVAL_S:
            return
        self._last_plain_s = now_s
        _SHOWN.debug("%s", text)
        if self._status is None and self._title and not self._verbose:
            self._print(f"  {text}", markup=False)

    def _print(self, text: str, *, markup: bool = True) -> None:
        if not self._quiet:
            self.console.print(text, markup=markup)

    def _refresh(self) -> None:
        if self._status is None:
            return
        detail = f" [dim]· {_escape(self._detail)}[/]" if self._detail else ""
        self._status.update(f"{_escape(self._title)}{detail}")


class _Teller(logging.Handler):
    """Shows on the terminal what otherwise only the log has: our details, and warnings of libraries."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """One line, unless the terminal has it already."""
        if record.name == _SHOWN.name or record.name.startswith("loadbench.cli"):
            return
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        self._console.print(redact(f"  {clock} {record.getMessage()}"), style="dim", markup=False)


def describe(progress: Progress) -> str:
    """One line for a progress: `label 1.2 of 2.5 GB (48 %)`."""
    if progress.unit == "bytes":
        scale, unit = (1e9, "GB") if (progress.total or progress.done) >= 1e9 else (1e6, "MB")
        done, total = f"{progress.done / scale:.1f}", progress.total and f"{progress.total / scale:.1f}"
    else:
        unit = progress.unit
        done, total = f"{progress.done:g}", progress.total and f"{progress.total:g}"
    if not progress.total:
        return f"{progress.label} {done} {unit}".rstrip() if progress.done else progress.label
    return f"{progress.label} {done} of {total} {unit} ({100 * progress.done / progress.total:.0f} %)"


def _escape(text: str) -> str:
    return text.replace("[", r"\[")
