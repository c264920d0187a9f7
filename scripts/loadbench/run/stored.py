"""Weights that stay in S3 between runs: staged models and shards, with what they cost by the month."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from botocore.exceptions import ClientError

from loadbench.config import Config
from loadbench.run.staging import configured_bucket, own_bucket

# S3 Standard, the first 50 TB, us-east-1, as published in January 2025.
USD_PER_GB_MONTH = 0.023
_PREFIXES: dict[str, Literal["models", "shards"]] = {"models/": "models", "optimized/": "shards"}


@dataclass(frozen=True)
class StoredWeights:
    """Everything under one prefix of the project's bucket."""

    kind: Literal["models", "shards"]
    bucket: str
    prefix: str
    objects: int
    size_bytes: int

    @property
    def uri(self) -> str:
        """Where they lie."""
        return f"s3://{self.bucket}/{self.prefix}"

    def describe(self) -> str:
        """One line with size and monthly price."""
        gigabytes = self.size_bytes / 1e9
        cost = f"{gigabytes * USD_PER_GB_MONTH:.2f} USD per month on AWS"
        option = "; --shards removes them" if self.kind == "shards" else ""
        return f"{self.kind} in {self.uri}: {self.objects} objects, {gigabytes:.2f} GB, {cost}{option}"


def stored_weights(session: Any, config: Config, account_id: str) -> list[StoredWeights]:
    """What staging and optimization jobs have left in the bucket; nothing when there is no bucket."""
    bucket = configured_bucket(config) or own_bucket(config, account_id)
    client = session.client("s3")
    found = []
    for prefix, kind in _PREFIXES.items():
        try:
            sizes = [item["Size"] for item in _objects(client, bucket, prefix)]
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchBucket":
                return []
            raise
        if sizes:
            found.append(StoredWeights(kind, bucket, prefix, len(sizes), sum(sizes)))
    return found


def remove_stored(session: Any, stored: StoredWeights) -> None:
    """Delete every object under the prefix, a thousand at a time."""
    client = session.client("s3")
    keys = [{"Key": item["Key"]} for item in _objects(client, stored.bucket, stored.prefix)]
    for first in range(0, len(keys), 1000):
        client.delete_objects(
            Bucket=stored.bucket, Delete={"Objects": keys[first : first + 1000], "Quiet": True}
        )


def _objects(client: Any, bucket: str, prefix: str) -> list[dict[str, Any]]:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [item for page in pages for item in page.get("Contents", [])]
