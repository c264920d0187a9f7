"""What stays after a removal is named with size, price and reason, and `--all` leaves none of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from loadbench.config import load_config
from loadbench.run.removal.kept_data import find_kept

CONFIG = load_config(Path(__file__).parents[4] / "config.yaml")
ACCOUNT_ID = "123456789012"
OWN = f"loadbench-{ACCOUNT_ID}-us-west-2"
RUN = "20261123-061530-fast-4f2a"
OURS = (f"/aws/sagemaker/Endpoints/loadbench-{RUN}", f"/aws/sagemaker/InferenceComponents/loadbench-{RUN}")
OF_OTHERS = ("/aws/sagemaker/Endpoints/loadbench-chat", f"/aws/sagemaker/Endpoints/other-{RUN}")


@pytest.fixture
def filled(aws_session: Any) -> Iterator[Any]:
    s3, logs = aws_session.client("s3"), aws_session.client("logs")
    place = {"LocationConstraint": "us-west-2"}
    empty(aws_session)  # what other tests have left
    for bucket in (OWN, "a-users"):
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration=place)
        s3.put_object(Bucket=bucket, Key="models/0a1b/model.safetensors", Body=bytes(20_000_000))
        s3.put_object(Bucket=bucket, Key="optimized/0a1b/job/chunk", Body=bytes(1000))
        s3.put_object(Bucket=bucket, Key="something/else", Body=b"1")
    for group in (*OURS, *OF_OTHERS):
        logs.create_log_group(logGroupName=group)
    yield aws_session
    empty(aws_session)


def empty(session: Any) -> None:
    s3, logs = session.client("s3"), session.client("logs")
    for group in groups(session):
        logs.delete_log_group(logGroupName=group)
    for bucket in (item["Name"] for item in s3.list_buckets()["Buckets"]):
        if bucket in (OWN, "a-users"):
            for key in keys(session, bucket):
                s3.delete_object(Bucket=bucket, Key=key)
            s3.delete_bucket(Bucket=bucket)


def keys(session: Any, bucket: str) -> set[str]:
    return {item["Key"] for item in session.client("s3").list_objects_v2(Bucket=bucket).get("Contents", ())}


def groups(session: Any) -> set[str]:
    answer = session.client("logs").describe_log_groups(logGroupNamePrefix="/aws/sagemaker/")
    return {group["logGroupName"] for group in answer["logGroups"]}


def test_each_is_named_with_its_size_its_price_its_reason_and_the_command(filled: Any) -> None:
    found = {item.kind: item for item in find_kept(filled, CONFIG, ACCOUNT_ID)}
    assert list(found) == ["models", "shards", "logs", "bucket"]
    for item in found.values():
        text = item.explain()
        assert "USD per month" in text
        assert "so that" in text
        assert "loadbench destroy" in text
        assert "--all" in text
    assert f"s3://{OWN}/models/: 0.02 GB" in found["models"].explain()
    assert found["models"].usd_per_month == pytest.approx(0.02 * 0.023)
    assert "of 2 containers" in found["logs"].describe()


def test_all_of_it_goes_and_nothing_of_others(filled: Any) -> None:
    for item in find_kept(filled, CONFIG, ACCOUNT_ID):
        item.remove()
    assert find_kept(filled, CONFIG, ACCOUNT_ID) == []
    assert groups(filled) == set(OF_OTHERS)
    with pytest.raises(ClientError):
        filled.client("s3").head_bucket(Bucket=OWN)
    assert len(keys(filled, "a-users")) == 3


def test_a_bucket_that_the_configuration_names_is_the_users(filled: Any) -> None:
    config = load_config(
        Path(__file__).parents[4] / "config.yaml", ["fast_model_loading_info.bucket=a-users"]
    )
    for item in find_kept(filled, config, ACCOUNT_ID):
        item.remove()
    assert keys(filled, "a-users") == {"something/else"}


def test_twice_is_fine(filled: Any) -> None:
    found = find_kept(filled, CONFIG, ACCOUNT_ID)
    for item in [*found[:3], *found]:
        item.remove()
