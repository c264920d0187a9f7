"""Models reach S3 once per content, resume where they stopped, and go to the right bucket."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loadbench.config import Config, load_config
from loadbench.errors import ConfigError, RunError
from loadbench.progress import Progress, ignore_progress
from loadbench.run.models import upload
from loadbench.run.models.resolve import LocalModel, describe_model
from loadbench.run.models.staging import ensure_bucket, stage_model
from loadbench.run.models.synthetic import SHAPES, generate
from loadbench.run.models.upload import list_sizes

CONFIG_FILE = Path(__file__).resolve().parents[4] / "config.yaml"
ACCOUNT_ID = "123456789012"
_numbers = itertools.count()


@pytest.fixture
def config() -> Config:
    return load_config(CONFIG_FILE)


@pytest.fixture
def bucket(aws_session: Any, config: Config) -> str:
    name = f"staging-test-{next(_numbers)}"
    return ensure_bucket(aws_session, _with_bucket(config, name), ACCOUNT_ID)


@pytest.fixture
def model(tmp_path: Path) -> LocalModel:
    folder = tmp_path / "model"
    folder.mkdir()
    generate(SHAPES["llama-tiny"], folder, ignore_progress)
    return describe_model(folder, "synthetic:llama-tiny", tmp_path / "cache")


@pytest.fixture
def calls(aws_session: Any) -> Iterator[list[str]]:
    """Names of the S3 operations sent, in order."""
    sent: list[str] = []

    def note(model: Any, **_: Any) -> None:
        sent.append(model.name)

    aws_session.events.register("before-call.s3", note)
    yield sent
    aws_session.events.unregister("before-call.s3", note)


def _with_bucket(config: Config, name: str | None, target: str = "local") -> Config:
    section = config.fast_model_loading_info.model_copy(update={"bucket": name})
    return config.model_copy(update={"fast_model_loading_info": section, "target": target})


def test_the_embedded_target_has_a_bucket_of_its_own(aws_session: Any, config: Config) -> None:
    first = ensure_bucket(aws_session, config, ACCOUNT_ID)
    assert ensure_bucket(aws_session, config, ACCOUNT_ID) == first
    assert first in [item["Name"] for item in aws_session.client("s3").list_buckets()["Buckets"]]


def test_on_aws_an_empty_bucket_key_is_the_configurations_fault(aws_session: Any, config: Config) -> None:
    with pytest.raises(ConfigError, match="bucket is empty"):
        ensure_bucket(aws_session, _with_bucket(config, None, "aws"), ACCOUNT_ID)


def test_on_aws_no_bucket_is_made(aws_session: Any, config: Config) -> None:
    with pytest.raises(RunError, match="does not exist"):
        ensure_bucket(aws_session, _with_bucket(config, "nobody-has-this-bucket", "aws"), ACCOUNT_ID)


def test_a_model_that_changes_while_it_is_uploaded_leaves_nothing_under_its_digest(
    aws_session: Any, bucket: str, model: LocalModel
) -> None:
    """The next run would take the objects for the model that the digest was computed from."""

    def change(_: Progress) -> None:
        (model.folder / "model.safetensors").touch()

    with pytest.raises(RunError, match="changed while it was being uploaded"):
        stage_model(aws_session, model, bucket, change)
    assert list_sizes(aws_session.client("s3"), bucket, "models/") == {}


def test_every_file_arrives_as_it_is(aws_session: Any, bucket: str, model: LocalModel) -> None:
    reported: list[Progress] = []
    uri = stage_model(aws_session, model, bucket, reported.append)
    assert uri == f"s3://{bucket}/models/{model.digest}/"
    client = aws_session.client("s3")
    for path in model.folder.iterdir():
        stored = client.get_object(Bucket=bucket, Key=f"models/{model.digest}/{path.name}")["Body"].read()
        assert stored == path.read_bytes()
    assert (reported[0].done, reported[-1].done, reported[-1].total) == (
        0,
        model.size_bytes,
        model.size_bytes,
    )


def test_a_model_that_is_there_costs_one_request(
    aws_session: Any, bucket: str, model: LocalModel, calls: list[str]
) -> None:
    stage_model(aws_session, model, bucket)
    calls.clear()
    stage_model(aws_session, model, bucket)
    assert calls == ["ListObjectsV2"]


def test_only_what_is_missing_is_sent(
    aws_session: Any, bucket: str, model: LocalModel, calls: list[str]
) -> None:
    uri = stage_model(aws_session, model, bucket)
    key = uri.removeprefix(f"s3://{bucket}/") + "tokenizer.json"
    aws_session.client("s3").delete_object(Bucket=bucket, Key=key)
    calls.clear()
    stage_model(aws_session, model, bucket)
    assert calls == ["ListObjectsV2", "PutObject"]


def test_an_object_of_another_size_is_replaced(aws_session: Any, bucket: str, model: LocalModel) -> None:
    uri = stage_model(aws_session, model, bucket)
    client = aws_session.client("s3")
    key = uri.removeprefix(f"s3://{bucket}/") + "config.json"
    client.put_object(Bucket=bucket, Key=key, Body=b"{")
    stage_model(aws_session, model, bucket)
    stored = client.get_object(Bucket=bucket, Key=key)["Body"].read()
    assert stored == (model.folder / "config.json").read_bytes()


def test_an_interrupted_file_goes_on_with_the_parts_that_are_missing(
    aws_session: Any, bucket: str, model: LocalModel, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # S3 wants 5 MiB a part, except for the last.
    monkeypatch.setattr(upload, "_PART_BYTES", 5 << 20)
    weights = model.folder / "model.safetensors"
    content = b"".join(bytes([number]) * (5 << 20) for number in range(3)) + b"tail"
    header = b'{"a":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}' % ((len(content),) * 2)
    content = len(header).to_bytes(8, "little") + header + content
    weights.write_bytes(content)
    model = describe_model(model.folder, model.model_id, model.folder.parent / "cache")
    key = f"models/{model.digest}/model.safetensors"
    client = aws_session.client("s3")
    begun = client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    for number, part in ((1, content[: 5 << 20]), (2, b"of another file".ljust(5 << 20))):
        client.upload_part(Bucket=bucket, Key=key, UploadId=begun, PartNumber=number, Body=part)
    calls.clear()

    stage_model(aws_session, model, bucket)

    # Part 1 is there, part 2 is not what the file holds, 3 and 4 were never sent.
    assert calls.count("UploadPart") == 3
    assert "CreateMultipartUpload" not in calls
    assert client.get_object(Bucket=bucket, Key=key)["Body"].read() == content
    assert "Uploads" not in client.list_multipart_uploads(Bucket=bucket)


def test_a_bucket_that_refuses_is_reported_with_a_remedy(aws_session: Any, model: LocalModel) -> None:
    with pytest.raises(RunError, match="could not upload") as failure:
        stage_model(aws_session, model, "a-bucket-that-is-not-there")
    assert "the upload is resumed" in failure.value.remedy


def test_all_pages_of_a_listing_are_read(aws_session: Any, bucket: str) -> None:
    client = aws_session.client("s3")
    for number in range(5):
        client.put_object(Bucket=bucket, Key=f"many/{number:04d}", Body=b"x")
    client.meta.events.register(
        "provide-client-params.s3.ListObjectsV2", lambda params, **_: {**params, "MaxKeys": 2}
    )
    assert len(list_sizes(client, bucket, "many/")) == 5
