"""The end of a sharding job's log, for the message about a job that failed.

No public page names the log group of these jobs (docs/facts/aws-evidence.md#job-log-group), so it is looked
for: the group under `/aws/sagemaker/` that has a stream named after the job.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

_EVERY_JOB = "/aws/sagemaker/"
# Other groups under that prefix belong to one endpoint or component each: an account may have thousands.
_OF_OTHERS = ("Endpoints/", "InferenceComponents/")
_MOST_GROUPS = 50
_MOST_LINES = 50


@dataclass(frozen=True)
class JobLog:
    """The last lines of a job's log. `group` is None if no group was found."""

    group: str | None = None
    lines: list[str] = field(default_factory=list)

    def where(self) -> str:
        """Where to read the rest."""
        return f"log group {self.group}" if self.group else f"a log group under {_EVERY_JOB}, if there is one"


def read_job_log(session: Any, job_name: str) -> JobLog:
    """The log of a job; empty if there is none, or if it may not be read."""
    client = session.client("logs")
    try:
        for group in itertools.islice(_groups(client), _MOST_GROUPS):
            if streams := _streams(client, group, job_name):
                return JobLog(group, _last_lines(client, group, streams))
    except (ClientError, BotoCoreError):
        return JobLog()  # the job's own reason is what matters; its log only adds to that
    return JobLog()


def _groups(client: Any) -> Iterator[str]:
    """The groups that may be a job's, the likely ones first."""
    pages = client.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=_EVERY_JOB)
    names = [group["logGroupName"] for page in pages for group in page["logGroups"]]
    kept = [name for name in names if not name.removeprefix(_EVERY_JOB).startswith(_OF_OTHERS)]
    yield from sorted(kept, key=lambda name: ("optimization" not in name.lower(), name))


def _streams(client: Any, group: str, job_name: str) -> list[str]:
    try:
        answer = client.describe_log_streams(logGroupName=group, logStreamNamePrefix=job_name, limit=5)
    except ClientError as error:
        if error.response["Error"]["Code"] == "AccessDeniedException":
            return []  # this group is not ours to read; another one may be
        raise
    return [stream["logStreamName"] for stream in answer["logStreams"]]


def _last_lines(client: Any, group: str, streams: list[str]) -> list[str]:
    lines: list[str] = []
    for stream in streams:
        answer = client.get_log_events(
            logGroupName=group, logStreamName=stream, startFromHead=False, limit=_MOST_LINES
        )
        lines += [event["message"].rstrip("\n") for event in answer["events"]]
    return lines[-_MOST_LINES:]
