"""Follows CloudWatch log groups from their first line."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from loadbench.foreign_text import plain
from loadbench.redaction import redact
from loadbench.results.run_record import ResourceNames
from loadbench.run.observe.lines import LogLine, format_line


def container_group(names: ResourceNames) -> str:
    """The log group of the containers' output."""
    if names.inference_component:
        return f"/aws/sagemaker/InferenceComponents/{names.inference_component}"
    return f"/aws/sagemaker/Endpoints/{names.endpoint}"


def platform_group(names: ResourceNames) -> str:
    """The log group with the platform events of the embedded AWS; AWS has none."""
    return f"/localaws/instances/{names.endpoint}"


@dataclass
class LogFollower:
    """Reads all streams of one group from the position of the last call; a missing group is empty."""

    client: Any
    group: str
    on_line: Callable[[LogLine], None] = lambda line: None
    lines: list[LogLine] = field(default_factory=list, init=False)
    problems: list[str] = field(default_factory=list, init=False)
    _positions: dict[str, str] = field(default_factory=dict, init=False)

    def fetch(self) -> int:
        """Read new lines; returns their number."""
        before = len(self.lines)
        try:
            for stream in self._streams():
                self._read(stream)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                self.problems.append(str(error))
        except BotoCoreError as error:
            self.problems.append(str(error))
        return len(self.lines) - before

    def _streams(self) -> list[str]:
        pages = self.client.get_paginator("describe_log_streams").paginate(logGroupName=self.group)
        return [stream["logStreamName"] for page in pages for stream in page["logStreams"]]

    def _read(self, stream: str) -> None:
        while True:
            position = {"nextToken": self._positions[stream]} if stream in self._positions else {}
            answer = self.client.get_log_events(
                logGroupName=self.group, logStreamName=stream, startFromHead=True, **position
            )
            for event in answer["events"]:
                line = LogLine(event["timestamp"] / 1000, stream, event["message"].rstrip("\n"))
                self.lines.append(line)
                self.on_line(line)
            # The same token again means the current end of the stream.
            if self._positions.get(stream) == answer["nextForwardToken"]:
                return
            self._positions[stream] = answer["nextForwardToken"]


class LogFile:
    """`container.log`: all lines, recognized or not, without secrets."""

    def __init__(self, path: Path, secrets: Iterable[str]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        self._path = path
        self._secrets = [secret for secret in secrets if secret]

    def write(self, line: LogLine) -> None:
        """Append one line."""
        message = line.message
        for secret in self._secrets:
            message = message.replace(secret, "[redacted]")
        message = redact(plain(message, None))
        with self._path.open("a", encoding="utf-8") as file:
            file.write(format_line(replace(line, message=message)) + "\n")
