"""Data that a removal keeps because later runs use it: weights, logs, the bucket itself.

`destroy` lists each item with its size, its price and why it is kept; `destroy --all` removes it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from loadbench.config import Config
from loadbench.run.models.staging import configured_bucket, own_bucket
from loadbench.run.removal.resources import RUN_ID
from loadbench.run.removal.stored_weights import (
    USD_PER_GB_MONTH,
    StoredWeights,
    remove_objects,
    remove_stored,
    stored_weights,
)

# CloudWatch Logs, archived log data, us-east-1, as published in January 2025.
_LOGS_USD_PER_GB_MONTH = 0.03
# A run's containers write under the name of its endpoint or of its component.
_LOG_GROUPS = ("/aws/sagemaker/Endpoints/", "/aws/sagemaker/InferenceComponents/")
_WHY = {
    "models": "the next run does not need to upload them",
    "shards": "the next fast run does not need to make them again",
}


@dataclass(frozen=True)
class Kept:
    """One kept item. `remove` deletes it permanently."""

    kind: str
    name: str
    size_bytes: int
    usd_per_month: float
    why: str
    remove: Callable[[], None]

    def describe(self) -> str:
        """One line with size and monthly price."""
        size = (
            f"{self.size_bytes / 1e9:.2f} GB" if self.size_bytes >= 1e7 else f"{self.size_bytes / 1e6:.2f} MB"
        )
        return f"{self.kind} {self.name}: {size}, {self.usd_per_month:.2f} USD per month on AWS"

    def explain(self) -> str:
        """The same, with why it is kept and the command that removes it."""
        option = "--shards or --all" if self.kind == "shards" else "--all"
        return f"{self.describe()}; kept so that {self.why}; loadbench destroy {option} removes it"


def find_kept(session: Any, config: Config, account_id: str) -> list[Kept]:
    """Everything of the project that removing its runs keeps, in the order of removal."""
    weights = [_of_weights(session, stored) for stored in stored_weights(session, config, account_id)]
    return [*weights, *_logs(session, config.project), *_bucket(session, config, account_id)]


def _of_weights(session: Any, stored: StoredWeights) -> Kept:
    return Kept(
        stored.kind,
        stored.uri,
        stored.size_bytes,
        stored.size_bytes / 1e9 * USD_PER_GB_MONTH,
        _WHY[stored.kind],
        lambda: remove_stored(session, stored),
    )


def _logs(session: Any, project: str) -> list[Kept]:
    """Log groups of this project's runs as one item: each is small, and every run has one or two."""
    client = session.client("logs")
    groups = [
        group
        for prefix in _LOG_GROUPS
        for page in client.get_paginator("describe_log_groups").paginate(
            logGroupNamePrefix=f"{prefix}{project}-"
        )
        for group in page["logGroups"]
        if RUN_ID.fullmatch(group["logGroupName"].removeprefix(f"{prefix}{project}-"))
    ]
    if not groups:
        return []
    size_bytes = sum(group.get("storedBytes", 0) for group in groups)

    def remove() -> None:
        for group in groups:
            try:
                client.delete_log_group(logGroupName=group["logGroupName"])
            except ClientError as error:
                if error.response["Error"]["Code"] != "ResourceNotFoundException":
                    raise

    name = f"of {len(groups)} containers (/aws/sagemaker/…/{project}-…)"
    cost = size_bytes / 1e9 * _LOGS_USD_PER_GB_MONTH
    return [Kept("logs", name, size_bytes, cost, "failures can be investigated later", remove)]


def _bucket(session: Any, config: Config, account_id: str) -> list[Kept]:
    """The bucket that this project created; a configured bucket belongs to the user."""
    if configured_bucket(config):
        return []
    bucket, client = own_bucket(config, account_id), session.client("s3")
    try:
        client.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            return []
        raise

    def remove() -> None:
        remove_objects(client, bucket, "")
        client.delete_bucket(Bucket=bucket)

    return [Kept("bucket", f"s3://{bucket}", 0, 0.0, "models and shards can be stored", remove)]
