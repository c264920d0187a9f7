"""A hub model as the source of an optimization job: only its metadata is uploaded to S3.

CreateOptimizationJob does not accept a Hugging Face id. Like the SDK, this stages all files except the
weights and passes the model in HF_MODEL_ID; the job's container downloads the weights.
"""

from __future__ import annotations

import hashlib
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from loadbench.errors import RunError
from loadbench.progress import ignore_progress
from loadbench.run.models import hub
from loadbench.run.models.checkpoint import model_files
from loadbench.run.models.upload import upload_folder
from loadbench.scratch import scratch_folder


def stage_metadata(session: Any, model_id: str, bucket: str, token: str | None) -> tuple[str, str]:
    """Upload configuration and tokenizer to S3; returns their URI and a digest that identifies the weights.

    The digest is computed from the model id and its current commit. Raises UsageError or RunError.
    """
    commit = hub.revision(model_id, token)
    digest = hashlib.sha256(f"{model_id}@{commit}".encode()).hexdigest()[:32]
    prefix = f"models/{digest}/"
    with scratch_folder() as folder:
        hub.download_metadata(model_id, commit, folder, token)
        label = f"staging the metadata of {model_id}"
        try:
            upload_folder(session, folder, model_files(folder), bucket, prefix, label, ignore_progress)
        except (ClientError, BotoCoreError) as error:
            raise RunError(
                f"could not upload the metadata of {model_id} to s3://{bucket}/{prefix}: {error}",
                remedy="Check write access to the bucket.",
            ) from error
    return f"s3://{bucket}/{prefix}", digest
