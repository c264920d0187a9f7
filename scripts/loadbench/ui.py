"""Progress output: one line that is updated on a terminal, plain lines elsewhere."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from loadbench.commands_in_messages import typed_here
from loadbench.foreign_text import shown
from loadbench.progress import Progress

_PLAIN_INTERVAL_S = 5.0  # between two plain lines of one step, so that a log does not fill with them
_SHORTEST_REMEMBERED_S = 1.0
_SHOWN = logging.getLogger("loadbench.ui")  # messages that the terminal always shows
_DETAILS = logging.getLogger("loadbench.details")  # messages that it shows with --verbose


class Ui:
    """Shows steps, progress and notes on standard error; results go to standard output.

    Everything goes to the log as well. `verbose` also shows on the terminal what otherwise only the log has,
    `quiet` nothing but warnings.
    """

    def __init__(
        self,
        console: Console | None = None,
        *,
        verbose: bool = False,
        quiet: bool = False,
        durations_file: Path | None = None,
    ) -> None:
        self.console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self._verbose, self._quiet = verbose, quiet
        self._durations = _Durations(durations_file)
        self._live: Live | None = None
        self._spinner = Spinner("dots" if self.console.encoding.lower().startswith("utf") else "line")
        self._position = ""
        self._title = ""
        self._detail = ""
        self._share: float | None = None
        self._start_s = 0.0
        self._last_plain_s = 0.0
        if verbose:
            logging.getLogger().addHandler(_Teller(self.console))

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Show a step while it runs, then one line with its duration."""
        outer = (self._title, self._detail, self._start_s)
        self._title, self._detail, self._start_s = title, "", time.monotonic()
        self._last_plain_s = self._start_s
        _SHOWN.info("%s …", title)
        if self.console.is_terminal and not self._quiet:
            if self._live is None:
                self._live = Live(
                    console=self.console, transient=True, get_renderable=self._line, refresh_per_second=8
                )
                self._live.start()
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
            if mark == "✓":
                self._durations.remember(title, seconds)
            if not outer[0] and self._live is not None:  # before the reset, because it shows a last line
                self._live.stop()
                self._live = None
            self._title, self._detail, self._start_s = outer
            self._share = None

    def position(self, text: str) -> None:
        """Position in a series of the following steps, such as `3/8`; empty outside a series."""
        self._position = text

    def progress(self, progress: Progress) -> None:
        """Show the progress of the current step; the log gets a line now and then."""
        self._share = progress.done / progress.total if progress.total and progress.done else None
        self._show(describe(progress))

    def detail(self, text: str, *, log_text: str | None = None) -> None:
        """Show what the current step is doing; `log_text` is its new part, for the log."""
        if text == self._detail:
            return
        _DETAILS.debug("%s", log_text or text)
        self._show(text)

    def note(self, text: str) -> None:
        """A permanent line."""
        text = typed_here(text, Path.cwd())
        _SHOWN.info("%s", text)
        self._print(text, markup=False)

    def warn(self, text: str) -> None:
        """A permanent line that should be read."""
        text = typed_here(text, Path.cwd())
        _SHOWN.warning("%s", text)
        self.console.print(f"[yellow]![/] {_escape(shown(text))}")

    def _show(self, text: str) -> None:
        text = shown(text)
        if text == self._detail:
            return
        self._detail = text
        now_s = time.monotonic()
        if now_s - self._last_plain_s < _PLAIN_INTERVAL_S:
            return
        self._last_plain_s = now_s
        _SHOWN.debug("%s", text)
        if self._live is None and self._title and not self._verbose:
            self._print(f"  {text}", markup=False)

    def _print(self, text: str, *, markup: bool = True) -> None:
        if not self._quiet:
            self.console.print(shown(text), markup=markup)

    def _line(self) -> RenderableType:
        """The updated line: position, step, bar, elapsed time, estimated time left, current activity."""
        elapsed_s = time.monotonic() - self._start_s
        known_s = self._durations.of(self._title)
        share = self._share if self._share is not None else known_s and min(0.99, elapsed_s / known_s)
        timing = f"{elapsed_s:.0f} s"
        if self._share is None and known_s and known_s - elapsed_s >= 1:
            timing += f", about {known_s - elapsed_s:.0f} s left"
        line = Table.grid(padding=(0, 1), expand=True)
        for column in range(6):
            line.add_column(no_wrap=True, overflow="ellipsis", ratio=1 if column == 5 else None)
        bar = ProgressBar(total=1.0 if share else None, completed=share or 0, width=10, pulse=not share)
        where = Text(self._position, style="bold")
        line.add_row(self._spinner, where, self._title, bar, timing, Text(self._detail, style="dim"))
        return line


class _Durations:
    """The last duration of each step, stored in a file, to estimate the time left."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._seconds: dict[str, float] = {}
        with suppress(OSError, ValueError, AttributeError):  # a missing estimate is not an error
            found = json.loads(file.read_text(encoding="utf-8")) if file else {}
            self._seconds = {str(name): float(value) for name, value in found.items()}

    def of(self, title: str) -> float | None:
        """The last duration, None if there was none."""
        return self._seconds.get(title)

    def remember(self, title: str, seconds: float) -> None:
        """Store the duration of a step; short steps need no estimate."""
        if seconds < _SHORTEST_REMEMBERED_S:
            return
        self._seconds[title] = round(seconds, 1)
        with suppress(OSError):
            if self._file and self._file.parent.is_dir():
                self._file.write_text(json.dumps(self._seconds, indent=1), encoding="utf-8")


class _Teller(logging.Handler):
    """Shows on the terminal what otherwise only the log has: details, and warnings of libraries."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """One line, unless the terminal has it already."""
        if record.name == _SHOWN.name or record.name.startswith("loadbench.cli"):
            return
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        self._console.print(shown(f"  {clock} {record.getMessage()}"), style="dim", markup=False)


def describe(progress: Progress) -> str:
    """One line for a progress: `label 1.2 of 2.5 GB (48 %)`."""
    if progress.unit == "bytes":
        scale, unit = (1e9, "GB") if (progress.total or progress.done) >= 1e9 else (1e6, "MB")
        done, total = f"{progress.done / scale:.1f}", progress.total and f"{progress.total / scale:.1f}"
    else:
        unit = progress.unit
        done, total = f"{progress.done:g}", progress.total and f"{progress.total:g}"
    if not progress.total or not progress.done:
        return f"{progress.label} {done} {unit}".rstrip() if progress.done else progress.label
    return f"{progress.label} {done} of {total} {unit} ({100 * progress.done / progress.total:.0f} %)"


def _escape(text: str) -> str:
    return text.replace("[", r"\[")
