"""An endpoint that stays up: other people's clients use it, its death is noticed, destroy removes it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Checkout

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def standing(checkout: Checkout) -> dict[str, Any]:
    done = checkout.loadbench("run", "standard")
    assert "To remove it: loadbench destroy" in done.stdout, "no Makefile here"
    assert "USD per hour" in done.stdout
    (file,) = (checkout.home / "results").glob("*/run.json")
    record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return record


def test_the_plain_aws_cli_works(checkout: Checkout, standing: dict[str, Any], tmp_path: Path) -> None:
    name = standing["names"]["endpoint"]
    described = json.loads(checkout.aws("sagemaker", "describe-endpoint", "--endpoint-name", name))
    assert described["EndpointStatus"] == "InService"

    body, answer = tmp_path / "body.json", tmp_path / "answer.json"
    body.write_text(json.dumps({"inputs": "What is the capital of France?"}), encoding="utf-8")
    checkout.aws(
        "sagemaker-runtime", "invoke-endpoint", "--endpoint-name", name,
        "--content-type", "application/json", "--body", f"fileb://{body}", str(answer),
    )  # fmt: skip
    assert "Paris" in json.loads(answer.read_text(encoding="utf-8"))["generated_text"]

    # What `aws logs tail` of version 2 calls; version 1, which Python's package index has, lacks that verb.
    logs = checkout.aws("logs", "filter-log-events", "--log-group-name", f"/aws/sagemaker/Endpoints/{name}")
    assert "Starting model server" in logs
    assert "PRE" in checkout.aws("s3", "ls", standing["model"]["source_uri"].rsplit("/", 2)[0] + "/")


def test_the_python_that_a_run_leaves_asks_its_endpoint(checkout: Checkout, standing: dict[str, Any]) -> None:
    script = checkout.home / "results" / standing["run_id"] / "invoke.py"
    done = subprocess.run(
        [sys.executable, str(script)],
        env=checkout.aws_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "generated_text" in done.stdout


def test_a_text_model_says_that_it_takes_no_image(
    checkout: Checkout, standing: dict[str, Any], tmp_path: Path
) -> None:
    image = tmp_path / "photo.jpg"
    image.write_bytes(b"\xff\xd8\xff\xe0 a photograph")
    done = checkout.loadbench("invoke", "standard", "What is it?", "--image", str(image), exit_code=1)
    assert "text only" in done.stderr
    assert "Log: " in done.stderr


def test_the_state_is_private(checkout: Checkout, standing: dict[str, Any]) -> None:
    (state,) = (checkout.home / ".loadbench" / "runs").glob("*/terraform.tfstate")
    assert state.stat().st_mode & 0o077 == 0


def test_a_killed_model_server_makes_the_endpoint_fail(checkout: Checkout, standing: dict[str, Any]) -> None:
    name = standing["names"]["endpoint"]
    (endpoint,) = checkout.local_status()["endpoints"]
    os.kill(endpoint["processes"][0]["pid"], signal.SIGKILL)
    client = checkout.client("sagemaker")
    deadline = time.monotonic() + 30
    while (described := client.describe_endpoint(EndpointName=name))["EndpointStatus"] != "Failed":
        assert time.monotonic() < deadline, described["EndpointStatus"]
        time.sleep(0.1)
    assert described["FailureReason"]


def test_destroy_leaves_nothing_and_can_be_repeated(checkout: Checkout, standing: dict[str, Any]) -> None:
    checkout.loadbench("destroy")
    assert not any(checkout.everything_left().values())
    checkout.loadbench("destroy")
