"""What is kept in S3 on purpose stays; what no later run can use goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from loadbench.config import Config, load_config
from loadbench.results.run_record import Optimization
from loadbench.run.removal.stored_weights import remove_half_made, stored_weights

CONFIG = Path(__file__).parents[4] / "config.yaml"
BUCKET = "half-made"
ACCOUNT_ID = "123456789012"


@pytest.fixture
def config() -> Config:
    return load_config(CONFIG, [f"fast_model_loading_info.bucket={BUCKET}"])


@pytest.fixture
def s3(aws_session: Any) -> Any:
    client = aws_session.client("s3")
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
    yield client
    for item in client.list_objects_v2(Bucket=BUCKET).get("Contents", ()):
        client.delete_object(Bucket=BUCKET, Key=item["Key"])
    client.delete_bucket(Bucket=BUCKET)


def keys(s3: Any) -> set[str]:
    return {item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET).get("Contents", ())}


def put_finished(s3: Any, job: str) -> set[str]:
    prefix = f"optimized/0a1b/{job}/"
    done = Optimization(
        job_name=job,
        key="0a1b",
        reused=False,
        instance_type="ml.g5.2xlarge",
        output_uri=f"s3://{BUCKET}/{prefix}",
    )
    objects = {
        f"{prefix}sagemaker-fast-model-loader-1/chunk": b"chunk",
        "optimized/0a1b/complete.json": done.model_dump_json().encode(),
    }
    for key, body in objects.items():
        s3.put_object(Bucket=BUCKET, Key=key, Body=body)
    return set(objects)


def test_shards_that_no_finished_job_vouches_for_go_and_the_others_stay(
    aws_session: Any, s3: Any, config: Config
) -> None:
    kept = put_finished(s3, "finished")
    half = "optimized/0a1b/killed/sagemaker-fast-model-loader-2/chunk"
    s3.put_object(Bucket=BUCKET, Key=half, Body=b"chunk")
    s3.put_object(Bucket=BUCKET, Key="models/digest/config.json", Body=b"{}")

    removed = remove_half_made(aws_session, config, ACCOUNT_ID)

    assert removed == [f"incomplete shards s3://{BUCKET}/optimized/0a1b/killed/"]
    assert keys(s3) == kept | {"models/digest/config.json"}
    assert {stored.kind for stored in stored_weights(aws_session, config, ACCOUNT_ID)} == {"models", "shards"}


def test_an_upload_that_was_never_completed_is_aborted(aws_session: Any, s3: Any, config: Config) -> None:
    for key in ("models/digest/model.safetensors", "of-somebody-else/data"):
        s3.create_multipart_upload(Bucket=BUCKET, Key=key)

    removed = remove_half_made(aws_session, config, ACCOUNT_ID)

    assert removed == [f"unfinished upload s3://{BUCKET}/models/digest/model.safetensors"]
    (left,) = s3.list_multipart_uploads(Bucket=BUCKET)["Uploads"]
    assert left["Key"] == "of-somebody-else/data"
    s3.abort_multipart_upload(Bucket=BUCKET, Key=left["Key"], UploadId=left["UploadId"])


def test_no_bucket_is_nothing_to_remove(aws_session: Any) -> None:
    config = load_config(CONFIG, ["fast_model_loading_info.bucket=never-made"])
    with pytest.raises(ClientError):
        aws_session.client("s3").head_bucket(Bucket="never-made")
    assert remove_half_made(aws_session, config, ACCOUNT_ID) == []
