"""The streamer path: deployed, invoked, compared with the standard one from records, and removed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.conftest import Checkout

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture(scope="module")
def streamed(checkout: Checkout) -> Checkout:
    checkout.loadbench("run", "streamer")
    return checkout


def record_of(checkout: Checkout, path: str) -> Any:
    file = next((checkout.home / "results").glob(f"*-{path}-*/run.json"))
    return json.loads(file.read_text(encoding="utf-8"))


def test_it_answers_as_the_other_paths_do(streamed: Checkout) -> None:
    record = record_of(streamed, "streamer")
    assert record["status"] == "succeeded"
    assert {item["output_text"] for item in record["invocations"]} == {"The capital of France is Paris."}
    assert all(item["ok"] for item in record["invocations"])
    asked = streamed.loadbench("invoke", "streamer", "What is the capital of France?")
    assert "Paris" in asked.stdout


def test_the_container_streams_the_weights_and_writes_none_to_disk(streamed: Checkout) -> None:
    record = record_of(streamed, "streamer")
    weights_bytes = record["model"]["size_bytes"]
    phases = {span["name"]: span for span in record["spans"]}
    assert {"container_start", "weights_stream", "engine_warmup"} <= set(phases)
    assert not {"weights_to_host", "weights_to_device"} & set(phases)
    assert phases["weights_stream"]["size_bytes"] > 0.9 * weights_bytes
    assert record["usage"]["disk_write_bytes"] < weights_bytes / 10
    assert record["usage"]["network_receive_bytes"] >= weights_bytes


def test_the_endpoints_role_may_read_the_models_prefix_and_no_other(streamed: Checkout) -> None:
    record = record_of(streamed, "streamer")
    policy = streamed.client("iam").get_role_policy(
        RoleName=record["names"]["role"], PolicyName="benchmark-endpoint"
    )["PolicyDocument"]
    read = [item["Resource"] for item in policy["Statement"] if "s3:GetObject" in item["Action"]]
    assert read == [[record["model"]["source_uri"].replace("s3://", "arn:aws:s3:::") + "*"]]


def test_it_is_compared_with_the_standard_path_from_records(streamed: Checkout) -> None:
    standard = json.loads(streamed.loadbench("run", "standard", "--json").stdout)
    streamer = record_of(streamed, "streamer")
    done = streamed.loadbench("compare", standard["run_id"], streamer["run_id"], "--json")
    comparison = json.loads(done.stdout)
    assert (comparison["a"]["path"], comparison["b"]["path"]) == ("standard", "streamer")
    assert {"image", "environment SM_VLLM_LOAD_FORMAT"} <= {
        item["what"] for item in comparison["differences"]
    }
    again = json.loads(
        streamed.loadbench("compare", "--reuse", "--paths", "streamer,standard", "--json").stdout
    )
    assert (again["a"]["path"], again["b"]["path"]) == ("streamer", "standard")
    assert {run["run_id"] for side in "ab" for run in again[side]["runs"]} == {
        standard["run_id"],
        streamer["run_id"],
    }


def test_destroy_leaves_nothing(streamed: Checkout) -> None:
    assert len(streamed.everything_left()["endpoints"]) == 2
    streamed.loadbench("destroy")
    assert not any(streamed.everything_left().values())
