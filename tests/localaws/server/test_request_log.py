"""What a client asked can be read afterwards: its requests, none of the instances', and no signature."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from localaws.server import lifecycle
from localaws.server.request_log import VARIABLE
from localaws.settings import Settings
from localaws.state.keys import KeyRing

from ..conftest import EmbeddedAws


def test_the_users_requests_are_recorded_and_nobody_elses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, state_dir = tmp_path / "asked.jsonl", tmp_path / "state"
    state_dir.mkdir()
    instance = KeyRing(state_dir / "keys.json").issue("an instance", "ml.g5.2xlarge")
    monkeypatch.setenv(VARIABLE, str(file))
    lifecycle.up(state_dir, Settings())
    try:
        aws = EmbeddedAws(state_dir)
        aws.client("s3").create_bucket(
            Bucket="kept", CreateBucketConfiguration={"LocationConstraint": "us-west-2"}
        )
        aws.client("sagemaker").list_endpoints(NameContains="loadbench-")
        aws.client("s3", instance).list_objects_v2(Bucket="kept")
    finally:
        lifecycle.down(state_dir)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(line["service"], line["method"], line["target"]) for line in lines] == [
        ("s3", "PUT", "/kept"),
        ("sagemaker", "POST", "/"),
    ]
    assert json.loads(base64.b64decode(lines[1]["body"])) == {"NameContains": "loadbench-"}
    assert not any("authorization" in line["headers"] for line in lines)
    assert file.stat().st_mode & 0o077 == 0
