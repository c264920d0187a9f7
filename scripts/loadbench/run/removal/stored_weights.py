"""Weights that are kept in S3 between runs: staged models and shards, with their monthly cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from botocore.exceptions import ClientError

from loadbench.config import Config
from loadbench.results.run_record import Optimization
from loadbench.run.models.staging import configured_bucket, own_bucket
from loadbench.run.removal.resources import BUSY_JOB, is_not_found

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
        """URI of the prefix."""
        return f"s3://{self.bucket}/{self.prefix}"


def stored_weights(session: Any, config: Config, account_id: str) -> list[StoredWeights]:
    """Models and shards in the bucket; empty if there is no bucket."""
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
    """Delete every object under the prefix."""
    remove_objects(session.client("s3"), stored.bucket, stored.prefix)


def remove_objects(client: Any, bucket: str, prefix: str) -> None:
    """Delete every object under a prefix, a thousand at a time. Raises ClientError for the first failure."""
    keys = [{"Key": item["Key"]} for item in _objects(client, bucket, prefix)]
    for first in range(0, len(keys), 1000):
        answer = client.delete_objects(
            Bucket=bucket, Delete={"Objects": keys[first : first + 1000], "Quiet": True}
        )
        for error in answer.get("Errors", ()):
            raise ClientError(
                {"Error": {**error, "Message": f"{error['Key']}: {error['Message']}"}}, "DeleteObjects"
            )


def remove_half_made(session: Any, config: Config, account_id: str) -> list[str]:
    """Remove data that no later run can use: unfinished uploads, and shards of jobs that did not complete.

    S3 bills unfinished uploads but does not list them with the objects. Returns what was removed.
    """
    bucket = configured_bucket(config) or own_bucket(config, account_id)
    client = session.client("s3")
    removed = []
    try:
        for prefix in _PREFIXES:
            for page in client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=prefix):
                for upload in page.get("Uploads", ()):
                    client.abort_multipart_upload(
                        Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                    )
                    removed.append(f"unfinished upload s3://{bucket}/{upload['Key']}")
        for folder in _unfinished_shards(client, session.client("sagemaker"), bucket):
            remove_stored(session, folder)
            removed.append(f"incomplete shards {folder.uri}")
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchBucket":
            raise
    return removed


def _unfinished_shards(client: Any, sagemaker: Any, bucket: str) -> list[StoredWeights]:
    """Folders `optimized/<key>/<job>/` of ended jobs that no `complete.json` refers to."""
    objects = _objects(client, bucket, "optimized/")
    folders: dict[str, list[int]] = {}
    for item in objects:
        key, _, rest = item["Key"].removeprefix("optimized/").partition("/")
        job, slash, _ = rest.partition("/")
        if slash:
            folders.setdefault(f"optimized/{key}/{job}/", []).append(item["Size"])
    complete = {
        Optimization.model_validate_json(
            client.get_object(Bucket=bucket, Key=item["Key"])["Body"].read()
        ).output_uri
        for item in objects
        if item["Key"].endswith("/complete.json")
    }
    return [
        StoredWeights("shards", bucket, prefix, len(sizes), sum(sizes))
        for prefix, sizes in folders.items()
        if f"s3://{bucket}/{prefix}" not in complete and not _is_busy(sagemaker, prefix.split("/")[2])
    ]


def _is_busy(sagemaker: Any, job: str) -> bool:
    """Whether a job may still write; a job that the account does not know cannot."""
    try:
        status = sagemaker.describe_optimization_job(OptimizationJobName=job)["OptimizationJobStatus"]
    except ClientError as error:
        if is_not_found(error):
            return False
        raise
    return status in BUSY_JOB


def _objects(client: Any, bucket: str, prefix: str) -> list[dict[str, Any]]:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [item for page in pages for item in page.get("Contents", [])]
