"""comparison.txt: the terminal's output without colours."""

from __future__ import annotations

import io

from rich.console import Console

from loadbench.results.comparison.model import Comparison
from loadbench.results.reports.terminal import WIDTH, print_comparison


def render(comparison: Comparison) -> str:
    """The terminal's table as plain text of at most 100 columns."""
    buffer = io.StringIO()
    console = Console(file=buffer, width=WIDTH, no_color=True, force_terminal=False, legacy_windows=False)
    print_comparison(comparison, console, every_row=True)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"
