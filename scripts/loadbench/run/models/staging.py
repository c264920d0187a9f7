"""A model's folder goes to S3 once per content digest, into a bucket that is checked or, embedded, made."""

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
    """The bucket the configuration names, the optimized path's first; None when no section does."""
    sections = (config.deployment(load_path) for load_path in (OPTIMIZED_LOAD_PATH, *config.paths))
    return next((info.bucket for info in sections if info.bucket), None)


def ensure_bucket(session: Any, config: Config, account_id: str) -> str:
    """The bucket that models and shards go to.

    An empty key means the embedded target's own bucket, made when it is not there; on AWS a bucket is the
    user's to choose: ConfigError. RunError when the bucket cannot be used.
    """
    bucket = configured_bucket(config)
    if bucket is None and config.target == "aws":
        raise ConfigError(
            "fast_model_loading_info.bucket is empty: models and shards need a bucket",
            remedy=f"Name a bucket of yours in {config.region} in the configuration.",
        )
    bucket = bucket or own_bucket(config, account_id)
    ensure_usable(session.client("s3"), bucket, config)
    return bucket


def ensure_usable(client: Any, bucket: str, config: Config) -> None:
    """See that the bucket is there; on the embedded target make it. RunError when it cannot be used."""
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
    """The embedded target's bucket where none is named."""
    return f"{config.project}-{account_id}-{config.region}"


def model_prefix(digest: str) -> str:
    """Where a model of this digest lies in the bucket."""
    return f"models/{digest}/"


def stage_model(
    session: Any, model: LocalModel, bucket: str, on_progress: OnProgress = ignore_progress
) -> str:
    """Bring the model to `s3://bucket/models/<digest>/`, sending only what is missing; returns that URI.

    Raises RunError, also when the model changed since its digest was computed: what was sent is removed,
    because whoever finds it under that digest would serve other weights.
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
            remedy="Check write access to the bucket, then run again: it goes on where it stopped.",
        ) from error
    if sent_bytes and file_states(inspect_checkpoint(model.folder)) != model.file_states:
        remove_objects(session.client("s3"), bucket, prefix)
        raise RunError(
            f"{model.folder} changed while it was being uploaded",
            remedy="Wait until the model is written, then run again.",
        )
    return f"s3://{bucket}/{prefix}"


def _create(client: Any, bucket: str, region: str) -> None:
    # us-east-1 is the one region whose name S3 refuses here.
    where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    try:
        client.create_bucket(Bucket=bucket, **where)
    except ClientError as error:
        if error.response["Error"]["Code"] != "BucketAlreadyOwnedByYou":  # another run was quicker
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
            return f"the bucket {bucket} may not be used with these credentials"
    return f"the bucket {bucket} cannot be reached: HTTP status {status}"
