"""Log lines, and the prefixes that containers and loggers add to them.

In an LMI container a line of the engine may have four prefixes: from djl-serving's logger (two layouts), MPI,
a terminal colour, and vLLM's own prefix with the process's name (docs/facts/sagemaker.md#log-lines-of-lmi).
SGLang and TGI have other prefixes, and Ray adds one before vLLM's.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class LogLine:
    """One event of a log stream. `timestamp_s` is from the log service, epoch seconds with milliseconds."""

    timestamp_s: float
    stream: str
    message: str


@dataclass(frozen=True)
class Entry:
    """A line without its prefixes. `worker` is the engine's process or rank, if the line names it."""

    timestamp_s: float
    worker: str
    text: str


# INFO  PyProcess W-252-model-stdout: … · [INFO ] PyProcess - W-210-model-stdout: … · INFO  ModelServer …
_SERVING = re.compile(
    r"^\[?(?:TRACE|DEBUG|INFO|WARN|ERROR)\s*\]?\s+[A-Z]\w+ (?:- )?(?:W-\d+-[\w.-]+-std(?:out|err): ?)?"
)
_MPI = re.compile(r"^\[\d+,(?P<rank>\d+)\]<std(?:out|err)>: ?")
# CloudWatch's agent writes the escape character as #033.
_COLOUR = re.compile(r"(?:\x1b|#033)\[[0-9;]*m")
# (EngineCore_DP0 pid=212) … · Ray's (ServeReplica:app:LLMServer pid=9) …
_PROCESS = re.compile(r"^\((?P<name>[\w :.-]+?) pid=(?P<pid>\d+)(?:, ip=[\d.]+)?\) ?")
# INFO 08-06 01:39:18 model_runner.py:1110] …   ·   INFO 08-17 22:48:21 [default_loader.py:262] …
# From 0.19 on some have the folder too, and a log configuration may add the year.
_VLLM = re.compile(
    r"^(?:DEBUG|INFO|WARNING|ERROR) (?:\d{4}-)?\d\d-\d\d \d\d:\d\d:\d\d(?:[.,]\d+)? \[?[\w/.<>-]+:\d+\] ?"
)
# SGLang: [2026-02-01 00:05:03 TP0] … ; in a subclass of its logger INFO server_args.py:12: … follows.
_SGLANG = re.compile(
    r"^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?P<worker>(?: [A-Z]+\d+)*)\] "
    r"(?:(?:INFO|WARNING|ERROR) \w+\.py:\d+: )?"
)
# TGI: 2024-12-11T18:26:36.207682Z  INFO shard-manager: text_generation_launcher: … rank=1
_TGI = re.compile(
    r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z +(?:INFO|WARN|ERROR) "
    r"(?:[\w-]+(?:\{[^}]*\})?: ?)*?(?P<target>text_generation_\w+)(?:::\w+)*: ?(?:[\w./-]+\.rs:\d+: )?"
)
_TGI_RANK = re.compile(r" rank=(?P<rank>\d+)$")
_REPEATED = re.compile(r"\[repeated \d+x across cluster\]$")
_STORED = re.compile(
    r"^(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3})Z \[(?P<stream>[^\]]*)\] (?P<message>.*)$"
)


def unwrap(line: LogLine) -> Entry:
    """The line without prefixes, and its worker."""
    text, worker = _SERVING.sub("", _COLOUR.sub("", line.message)), ""
    if mpi := _MPI.match(text):
        text, worker = text[mpi.end() :], f"rank {mpi['rank']}"
    while process := _PROCESS.match(text):
        text, worker = text[process.end() :], f"{process['name']} {process['pid']}"
    if sglang := _SGLANG.match(text):
        text, worker = text[sglang.end() :], sglang["worker"].strip()
    elif tgi := _TGI.match(text):
        text = text[tgi.end() :]
        if rank := _TGI_RANK.search(text):
            text, worker = text[: rank.start()], f"rank {rank['rank']}"
    text = _REPEATED.sub("", _VLLM.sub("", text))
    return Entry(line.timestamp_s, worker, text.strip())


def format_line(line: LogLine) -> str:
    """One line in the format of container.log: time in UTC, stream, message.

    A message of several lines, like a progress bar, becomes several lines.
    """
    time = datetime.datetime.fromtimestamp(line.timestamp_s, datetime.UTC)
    head = f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03d}Z [{line.stream}] "
    rows = line.message.splitlines() or [""]
    parts = [row for row in rows if row.strip()] or rows[:1]
    return "\n".join(head + part for part in parts)


def parse_lines(stored: Iterable[str]) -> list[LogLine]:
    """The lines of a container.log, without a truncated last line."""
    lines = []
    for text in stored:
        if found := _STORED.match(text.rstrip("\n")):
            time = datetime.datetime.fromisoformat(found["time"]).replace(tzinfo=datetime.UTC)
            lines.append(LogLine(time.timestamp(), found["stream"], found["message"]))
    return lines
