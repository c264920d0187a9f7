"""Exported logs: CloudWatch's formats, and the output of a server in a file.

Supported: container.log of a result, `aws logs tail`, `get-log-events` or `filter-log-events`, the console's
CSV, an export to S3 (compressed, one folder per stream), and the output of an engine.
"""

from __future__ import annotations

import csv
import datetime
import gzip
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from loadbench.errors import UsageError
from loadbench.run.observe.lines import LogLine

# container.log: time [stream] message; aws logs tail: time stream message; an export to S3: time message.
_ISO = r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?)"
_STORED = re.compile(rf"^{_ISO} \[(?P<stream>[^\]]+)\] (?P<message>.*)$")
_TAILED = re.compile(rf"^{_ISO} (?P<stream>[\w./\[\]$-]+/i-[0-9a-f]+\S*|[\w-]+/[\w-]+) (?P<message>.*)$")
_TIMED = re.compile(rf"^{_ISO} (?P<message>.*)$")
# The engine's time, after any prefix; vLLM's has no year, SGLang's and TGI's have one.
_ENGINE = re.compile(
    r"(?:DEBUG|INFO|WARNING|ERROR) (?:(?P<year>\d{4})-)?(?P<month>\d\d)-(?P<day>\d\d)"
    r" (?P<clock>\d\d:\d\d:\d\d)(?:[.,](?P<part>\d+))?"
)
_DATED = re.compile(r"(?P<time>20\d\d-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?)")
_LOOK_AT = 300  # the time is within this many characters of the start of a line
_COLOUR = re.compile(r"(?:\x1b|#033)\[[0-9;]*m")


def read_folder(folder: Path) -> list[LogLine]:
    """Every line of every log in a folder. Raises UsageError if there is none."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and not file.name.startswith("."))
    lines = [line for file in files for line in read_file(file, _stream_of(folder, file))]
    if not lines:
        raise UsageError(
            f"{folder} has no readable log",
            remedy="Export one with: aws logs filter-log-events --log-group-name GROUP > FOLDER/events.json",
        )
    return lines


def _stream_of(folder: Path, file: Path) -> str:
    """The log stream of a file whose lines name none: the folder in an export to S3, otherwise the file."""
    parent = file.parent.relative_to(folder)
    return str(parent) if file.suffix == ".gz" and str(parent) != "." else file.name


def read_file(file: Path, stream: str | None = None) -> list[LogLine]:
    """The lines of one file, in order; lines without a time get the time of the previous line."""
    data = file.read_bytes()
    text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8", errors="replace")
    name = stream or file.name
    if file.suffix == ".json":
        return _from_events(text, name)
    if file.suffix == ".csv":
        return _from_csv(text, name)
    year = datetime.datetime.fromtimestamp(file.stat().st_mtime, datetime.UTC).year
    # A progress bar overwrites itself, so only the last part of the line is used.
    rows = [row.rpartition("\r")[2] for row in text.replace("\r\n", "\n").split("\n")]
    return list(_from_text([row for row in rows if row.strip()], name, year))


def _from_events(text: str, stream: str) -> list[LogLine]:
    try:
        document = json.loads(text)
    except ValueError:
        return []
    events: Sequence[Any] = document.get("events", []) if isinstance(document, dict) else document
    return [
        LogLine(event["timestamp"] / 1000, event.get("logStreamName", stream), event["message"].rstrip("\n"))
        for event in events
        if isinstance(event, dict) and "timestamp" in event and "message" in event
    ]


def _from_csv(text: str, stream: str) -> list[LogLine]:
    lines = []
    for row in csv.DictReader(text.splitlines()):
        named = {str(key).lstrip("@").lower(): value for key, value in row.items() if value is not None}
        if (at_s := _moment(named.get("timestamp", ""))) is not None and "message" in named:
            lines.append(LogLine(at_s, named.get("logstream") or stream, named["message"]))
    return lines


def _moment(text: str) -> float | None:
    if text.isdigit():
        return int(text) / 1000
    try:
        moment = datetime.datetime.fromisoformat(text.replace(",", "."))
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()


def _from_text(rows: Sequence[str], stream: str, year: int) -> Iterator[LogLine]:
    pattern = next((p for p in (_STORED, _TAILED, _TIMED) if _mostly(p, rows)), None)
    last_s: float | None = None
    untimed: list[str] = []  # before the first line with a time
    for row in rows:
        found = pattern.match(row) if pattern else None
        at_s = _moment(found["time"]) if found else None if pattern else _engine_time(row, year)
        at_s = last_s if at_s is None else at_s
        if at_s is None:
            untimed.append(row)
            continue
        yield from (LogLine(at_s, stream, early) for early in untimed)
        untimed.clear()
        named = found.groupdict() if found else {}
        yield LogLine(at_s, named.get("stream") or stream, named.get("message", row))
        last_s = at_s


def _mostly(pattern: re.Pattern[str], rows: Iterable[str]) -> bool:
    """Whether most of the first lines have this format, which makes it the format of the file."""
    first = list(rows)[:50]
    return bool(first) and sum(bool(pattern.match(row)) for row in first) >= 0.8 * len(first)


def _engine_time(row: str, year: int) -> float | None:
    head = _COLOUR.sub("", row[:_LOOK_AT])
    if found := _ENGINE.search(head):
        part = f".{found['part']}" if found["part"] else ""
        return _moment(f"{found['year'] or year}-{found['month']}-{found['day']}T{found['clock']}{part}")
    return _moment(found["time"]) if (found := _DATED.search(head)) else None
