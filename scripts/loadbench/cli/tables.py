"""Tables in the format of `--format`."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

import click

_WIDTH = 100  # of a pipe, which has none


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], form: str, documents: Sequence[Any] | None = None
) -> None:
    """Rows as a table, CSV, Markdown or JSON; JSON prints `documents` instead of the rows."""
    if form == "json":
        whole = documents if documents is not None else [dict(zip(columns, row, strict=True)) for row in rows]
        click.echo(json.dumps(whole, indent=2, ensure_ascii=False))
    elif form == "csv":
        buffer = io.StringIO()
        csv.writer(buffer).writerows([columns, *rows])
        click.echo(buffer.getvalue(), nl=False)
    elif form == "md":
        cells = [[text.replace("|", "\\|").replace("\n", " ") for text in row] for row in rows]
        lines = [columns, ["---"] * len(columns), *cells]
        click.echo("\n".join(f"| {' | '.join(line)} |" for line in lines))
    else:
        _print_rich(columns, rows)


def _print_rich(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH
    styles = {"ok": "green", "warning": "yellow", "failure": "red", "failed": "red", "succeeded": "green"}
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for number, column in enumerate(columns):
        last = number == len(columns) - 1
        table.add_column(column, overflow="fold", ratio=1 if last else None, no_wrap=number == 0)
    for row in rows:
        table.add_row(*(Text(text, style=styles.get(text, "")) for text in row))
    console.print(table)
