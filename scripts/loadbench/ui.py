"""What a person sees while something works: one line that moves on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.status import Status

from loadbench.run.progress import Progress

_PLAIN_INTERVAL_S = 5.0  # between two plain lines of one step, so that a log does not fill with them


class Ui:
    """Shows steps, progress and notes on standard error; results go to standard output untouched."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self._status: Status | None = None
        self._title = ""
        self._detail = ""
        self._start_s = 0.0
        self._last_plain_s = 0.0

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Show a step while it runs, then one line with its seconds."""
        outer = (self._title, self._detail, self._start_s)
        self._title, self._detail, self._start_s = title, "", time.monotonic()
        self._last_plain_s = self._start_s
        if self.console.is_terminal:
            if self._status is None:
                self._status = self.console.status("", spinner="dots")
                self._status.start()
            self._refresh()
        else:
            self.console.print(f"{title} …", markup=False)
        mark = "✗"
        try:
            yield
            mark = "✓"
        finally:
            seconds = time.monotonic() - self._start_s
            style = "green" if mark == "✓" else "red"
            self.console.print(f"[{style}]{mark}[/] {_escape(title)} [dim]{seconds:.1f} s[/]")
            self._title, self._detail, self._start_s = outer
            if not self._title and self._status is not None:
                self._status.stop()
                self._status = None

    def progress(self, progress: Progress) -> None:
        """Show how far the current step is."""
        self.detail(describe(progress))

    def detail(self, text: str) -> None:
        """Show what the current step is doing."""
        if text == self._detail:
            return
        self._detail = text
        self._refresh()
        if self._status is not None:
            return
        now_s = time.monotonic()
        if now_s - self._last_plain_s >= _PLAIN_INTERVAL_S:
            self._last_plain_s = now_s
            self.console.print(f"  {text}", markup=False)

    def note(self, text: str) -> None:
        """A line that stays."""
        self.console.print(text, markup=False)

    def warn(self, text: str) -> None:
        """A line that stays and should be read."""
        self.console.print(f"[yellow]![/] {_escape(text)}")

    def _refresh(self) -> None:
        if self._status is None:
            return
        detail = f" [dim]· {_escape(self._detail)}[/]" if self._detail else ""
        self._status.update(f"{_escape(self._title)}{detail}")


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
