"""A hub model as the source of an optimization job: its metadata goes to S3, the weights stay on the hub.

CreateOptimizationJob takes no Hugging Face id. The SDK therefore stages only what is not weights and names
the model in HF_MODEL_ID; the job's container pulls the weights.
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
    """Bring configuration and tokenizer to S3; returns their URI and a digest that stands for the weights.

    The digest is that of the model id at the commit it has now. Raises UsageError or RunError.
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
