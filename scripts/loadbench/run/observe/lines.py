"""Log lines, and the wrappings that stand before what a program really wrote.

In an LMI container a line of the engine may pass four hands: djl-serving's logger (two layouts), MPI, a
terminal colour, and vLLM's own prefix with the process's name (docs/facts/sagemaker.md#log-lines-of-lmi).
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class LogLine:
    """One event of a log stream. `timestamp_s` is the log service's, epoch seconds to the millisecond."""

    timestamp_s: float
    stream: str
    message: str


@dataclass(frozen=True)
class Entry:
    """A line without its wrappings. `worker` names the engine's process or rank where the line does."""

    timestamp_s: float
    worker: str
    text: str


# INFO  PyProcess W-252-model-stdout: … · [INFO ] PyProcess - W-210-model-stdout: … · INFO  ModelServer …
_SERVING = re.compile(
    r"^\[?(?:TRACE|DEBUG|INFO|WARN|ERROR)\s*\]?\s+\w+ (?:- )?(?:W-\d+-[\w.-]+-std(?:out|err): ?)?"
)
_MPI = re.compile(r"^\[\d+,(?P<rank>\d+)\]<std(?:out|err)>: ?")
# CloudWatch's agent writes the escape character as #033.
_COLOUR = re.compile(r"(?:\x1b|#033)\[[0-9;]*m")
_PROCESS = re.compile(r"^\((?P<name>[\w ]+?) pid=(?P<pid>\d+)\) ?")
# INFO 08-06 01:39:18 model_runner.py:1110] …   ·   INFO 08-17 22:48:21 [default_loader.py:262] …
_VLLM = re.compile(r"^(?:DEBUG|INFO|WARNING|ERROR) \d\d-\d\d \d\d:\d\d:\d\d \[?[\w/]+\.py:\d+\] ?")
_STORED = re.compile(
    r"^(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3})Z \[(?P<stream>[^\]]*)\] (?P<message>.*)$"
)


def unwrap(line: LogLine) -> Entry:
    """The line as its writer wrote it, and which worker that was."""
    text, worker = _SERVING.sub("", line.message), ""
    if mpi := _MPI.match(text):
        text, worker = text[mpi.end() :], f"rank {mpi['rank']}"
    text = _COLOUR.sub("", text)
    while process := _PROCESS.match(text):
        text, worker = text[process.end() :], f"{process['name']} {process['pid']}"
    return Entry(line.timestamp_s, worker, _VLLM.sub("", text).strip())


def format_line(line: LogLine) -> str:
    """One line as container.log holds it: time in UTC, stream, message."""
    time = datetime.datetime.fromtimestamp(line.timestamp_s, datetime.UTC)
    return f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03d}Z [{line.stream}] {line.message}"


def parse_lines(stored: Iterable[str]) -> list[LogLine]:
    """The lines of a container.log; what is cut short at its end is left out."""
    lines = []
    for text in stored:
        if found := _STORED.match(text.rstrip("\n")):
            time = datetime.datetime.fromisoformat(found["time"]).replace(tzinfo=datetime.UTC)
            lines.append(LogLine(time.timestamp(), found["stream"], found["message"]))
    return lines
