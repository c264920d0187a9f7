"""Resources of one region: names, ARNs, existence, tags, and notification of changes.

A record is the document that Describe returns, with times in epoch seconds. Keys that start with an
underscore are internal and never returned.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any, Literal

from ...emulator import Emulator
from ...errors import AwsError
from ...state.store import Document

Kind = Literal["model", "endpoint-config", "endpoint", "inference-component", "optimization-job"]

NAME_MEMBER: dict[Kind, str] = {
    "model": "ModelName",
    "endpoint-config": "EndpointConfigName",
    "endpoint": "EndpointName",
    "inference-component": "InferenceComponentName",
    "optimization-job": "OptimizationJobName",
}
ARN_MEMBER: dict[Kind, str] = {
    "model": "ModelArn",
    "endpoint-config": "EndpointConfigArn",
    "endpoint": "EndpointArn",
    "inference-component": "InferenceComponentArn",
    "optimization-job": "OptimizationJobArn",
}
_WORDS: dict[Kind, str] = {
    "model": "model",
    "endpoint-config": "endpoint configuration",
    "endpoint": "endpoint",
    "inference-component": "inference component",
    "optimization-job": "optimization job",
}
MAX_TAGS = 50


class Changes:
    """Lets a caller wait until a record changes."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str, str], asyncio.Event] = {}

    def tell(self, region: str, kind: str, name: str) -> None:
        """Wake all waiters for this record."""
        event = self._waiting.pop((region, kind, name), None)
        if event is not None:
            event.set()

    async def wait(self, region: str, kind: str, name: str, timeout_s: float) -> None:
        """Return at the record's next change, or after `timeout_s`."""
        event = self._waiting.setdefault((region, kind, name), asyncio.Event())
        try:
            async with asyncio.timeout(timeout_s):
                await event.wait()
        except TimeoutError:
            return


@dataclass(frozen=True)
class Records:
    """The records of one region."""

    emulator: Emulator
    region: str
    changes: Changes

    def arn(self, kind: Kind, name: str) -> str:
        """The ARN of a resource."""
        return f"arn:aws:sagemaker:{self.region}:{self.emulator.account_id}:{kind}/{name}"

    def find(self, kind: Kind, name: str) -> Document | None:
        """The record, or None."""
        return self.emulator.store.get(self.region, kind, name)

    def get(self, kind: Kind, name: str) -> Document:
        """The record. Raises AWS's error if there is none."""
        record = self.find(kind, name)
        if record is None:
            raise self.missing(kind, name)
        return record

    def missing(self, kind: Kind, name: str) -> AwsError:
        """AWS's error for a resource that does not exist."""
        text = f'Could not find {_WORDS[kind]} "{self.arn(kind, name)}".'
        if kind == "optimization-job":
            return AwsError("ResourceNotFound", text)
        return AwsError("ValidationException", text)

    def all(self, kind: Kind) -> list[Document]:
        """All records of a kind, in order of creation."""
        return self.emulator.store.list(self.region, kind)

    def create(self, kind: Kind, request: Document, record: Document) -> Document:
        """Store a new record with its ARN, times and the request's tags.

        Raises ValidationException (ResourceInUse for jobs) if the name is in use.
        """
        name = request[NAME_MEMBER[kind]]
        arn = self.arn(kind, name)
        if self.find(kind, name) is not None:
            code = "ResourceInUse" if kind == "optimization-job" else "ValidationException"
            raise AwsError(code, f'Cannot create already existing {_WORDS[kind]} "{arn}".')
        tags = merged_tags({}, request.get("Tags", []))
        now_s = now()
        record = {
            **record,
            NAME_MEMBER[kind]: name,
            ARN_MEMBER[kind]: arn,
            "CreationTime": now_s,
            "LastModifiedTime": now_s,
        }
        with self.emulator.database.transaction():
            self.emulator.store.put(self.region, kind, name, record)
            if tags:
                self.emulator.store.put(self.region, "tags", arn, tags)
        self.changes.tell(self.region, kind, name)
        return record

    def save(self, kind: Kind, record: Document, *, touch: bool = True) -> None:
        """Store a changed record; `touch` sets its LastModifiedTime to the current time."""
        if touch:
            record["LastModifiedTime"] = now()
        name = record[NAME_MEMBER[kind]]
        self.emulator.store.put(self.region, kind, name, record)
        self.changes.tell(self.region, kind, name)

    def remove(self, kind: Kind, name: str) -> None:
        """Delete a record and its tags."""
        with self.emulator.database.transaction():
            self.emulator.store.delete(self.region, kind, name)
            self.emulator.store.delete(self.region, "tags", self.arn(kind, name))
        self.changes.tell(self.region, kind, name)

    def tags(self, arn: str) -> dict[str, str]:
        """The tags of a resource of this region, by key."""
        return self.emulator.store.get(self.region, "tags", arn) or {}

    def put_tags(self, arn: str, tags: dict[str, str]) -> None:
        """Replace the tags of a resource."""
        self.emulator.store.put(self.region, "tags", arn, tags)


def now() -> float:
    """The current time in epoch seconds, rounded to milliseconds like AWS's timestamps."""
    return round(time.time(), 3)


def merged_tags(present: dict[str, str], added: list[dict[str, Any]]) -> dict[str, str]:
    """Merged tags. Raises ValidationException for duplicate or reserved keys and for more than fifty tags."""
    keys = [tag["Key"] for tag in added]
    if len(set(keys)) != len(keys):
        raise AwsError("ValidationException", "Tag keys must be unique.")
    if any(key.lower().startswith("aws:") for key in keys):
        raise AwsError("ValidationException", "Tag keys that start with aws: are reserved for AWS.")
    merged = {**present, **{tag["Key"]: tag["Value"] for tag in added}}
    if len(merged) > MAX_TAGS:
        raise AwsError("ResourceLimitExceeded", f"A resource can have {MAX_TAGS} tags at most.")
    return merged
