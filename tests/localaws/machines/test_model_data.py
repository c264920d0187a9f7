"""Downloads of model data: what an empty prefix is, and what it is not."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from localaws.machines.model_data import ModelData, fetch
from localaws.machines.s5cmd import DownloadError

from ..conftest import EmbeddedAws


def download(aws: EmbeddedAws, url: str, folder: Path) -> ModelData:
    return asyncio.run(fetch(url, folder, aws.process_environment, lambda child: None))


def test_a_prefix_without_objects_is_an_empty_model_folder(aws: EmbeddedAws, tmp_path: Path) -> None:
    aws.client("s3").create_bucket(Bucket="nothing-here")

    data = download(aws, "s3://nothing-here/model/", tmp_path / "model")

    assert data == ModelData(0, None)
    assert list((tmp_path / "model").iterdir()) == []


@pytest.mark.parametrize("url", ["s3://no-such-bucket/model/", "s3://nothing-here/model.tar.gz"])
def test_a_bucket_or_archive_that_does_not_exist_is_an_error(
    aws: EmbeddedAws, tmp_path: Path, url: str
) -> None:
    aws.client("s3").create_bucket(Bucket="nothing-here")

    with pytest.raises(DownloadError):
        download(aws, url, tmp_path / "model")
