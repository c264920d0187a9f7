"""Uploads a model's folder to S3, once per content digest; checks the bucket, or creates the embedded one."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from loadbench.config import Config
from loadbench.errors import ConfigError, RunError
from loadbench.load_paths import OPTIMIZED_LOAD_PATH
from loadbench.progress import OnProgress, ignore_progress
from loadbench.run.models.checkpoint import inspect_checkpoint
from loadbench.run.models.content_digest import file_states
from loadbench.run.models.resolve import LocalModel, cache_dir, resolve_model
from loadbench.run.models.upload import remove_objects, upload_folder

__all__ = [
    "LocalModel",
    "cache_dir",
    "configured_bucket",
    "ensure_bucket",
    "model_prefix",
    "own_bucket",
    "resolve_model",
    "stage_model",
]


def configured_bucket(config: Config) -> str | None:
    """The configured bucket, the optimized path's first; None if no section has one."""
    sections = (config.deployment(load_path) for load_path in (OPTIMIZED_LOAD_PATH, *config.paths))
    return next((info.bucket for info in sections if info.bucket), None)


def ensure_bucket(session: Any, config: Config, account_id: str) -> str:
    """The bucket for models and shards.

    Without a configured bucket the embedded target's own bucket is used, and created if needed; on AWS that
    raises ConfigError. Raises RunError if the bucket cannot be used.
    """
    bucket = configured_bucket(config)
    if bucket is None and config.target == "aws":
        raise ConfigError(
            "fast_model_loading_info.bucket is empty: models and shards need a bucket",
            remedy=f"Configure a bucket of your own in {config.region}.",
        )
    bucket = bucket or own_bucket(config, account_id)
    ensure_usable(session.client("s3"), bucket, config)
    return bucket


def ensure_usable(client: Any, bucket: str, config: Config) -> None:
    """Check that the bucket exists; create it on the embedded target. Raises RunError if it cannot be
    used.
    """
    try:
        client.head_bucket(Bucket=bucket)
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status == 404 and config.target == "local":
            _create(client, bucket, config.region)
        else:
            raise RunError(
                _head_failure(bucket, status, config.region),
                remedy="Create it in this region or name another one; the caller needs s3:ListBucket.",
            ) from error


def own_bucket(config: Config, account_id: str) -> str:
    """The default bucket of the embedded target."""
    return f"{config.project}-{account_id}-{config.region}"


def model_prefix(digest: str) -> str:
    """Prefix of a model with this digest in the bucket."""
    return f"models/{digest}/"


def stage_model(
    session: Any, model: LocalModel, bucket: str, on_progress: OnProgress = ignore_progress
) -> str:
    """Upload the model to `s3://bucket/models/<digest>/`, only files that are missing; returns the URI.

    Raises RunError, also if the model changed since its digest was computed; then the upload is removed,
    because it would be served as the model with that digest.
    """
    prefix = model_prefix(model.digest)
    checkpoint = inspect_checkpoint(model.folder)
    try:
        sent_bytes = upload_folder(
            session, model.folder, checkpoint.files, bucket, prefix, f"staging {model.model_id}", on_progress
        )
    except (ClientError, BotoCoreError) as error:
        raise RunError(
            f"could not upload {model.model_id} to s3://{bucket}/{prefix}: {error}",
            remedy="Check write access to the bucket, then run again: the upload is resumed.",
        ) from error
    if sent_bytes and file_states(inspect_checkpoint(model.folder)) != model.file_states:
        remove_objects(session.client("s3"), bucket, prefix)
        raise RunError(
            f"{model.folder} changed while it was being uploaded",
            remedy="Wait until the model is complete, then run again.",
        )
    return f"s3://{bucket}/{prefix}"


def _create(client: Any, bucket: str, region: str) -> None:
    # S3 refuses us-east-1 as a location constraint, and only this region.
    where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    try:
        client.create_bucket(Bucket=bucket, **where)
    except ClientError as error:
        if error.response["Error"]["Code"] != "BucketAlreadyOwnedByYou":  # another run created it first
            raise RunError(
                f"could not create the bucket {bucket}: {error}", remedy="Name an existing bucket."
            ) from error


def _head_failure(bucket: str, status: int, region: str) -> str:
    match status:
        case 404:
            return f"the bucket {bucket} does not exist"
        case 301:
            return f"the bucket {bucket} is in another region than {region}"
        case 403:
            return f"these credentials may not use the bucket {bucket}"
    return f"the bucket {bucket} cannot be reached: HTTP status {status}"
