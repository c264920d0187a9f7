"""The main job: compare two paths of a real model on the embedded AWS, and leave nothing behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Checkout

pytestmark = pytest.mark.e2e

RUN_FILES = {
    "run.json",
    "timing_results.json",
    "deployment_summary.txt",
    "invoke.py",
    "trace.json",
    "terraform.jsonl",
    "container.log",
}
COMPARISON_FILES = {"comparison.json", "comparison.txt", "report.html"}


@pytest.fixture(scope="module")
def compared(checkout: Checkout) -> Checkout:
    checkout.loadbench("compare")
    return checkout


def records(checkout: Checkout) -> dict[str, Any]:
    files = sorted((checkout.home / "results").glob("*/run.json"))
    found = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    return {record["path"]: record for record in found}


def test_both_endpoints_answered_with_paris(compared: Checkout) -> None:
    for record in records(compared).values():
        assert record["status"] == "succeeded"
        assert "Paris" in record["invocations"][0]["output_text"]
        assert all(invocation["ok"] for invocation in record["invocations"])


def test_results_hold_everything_in_the_contract(compared: Checkout) -> None:
    results = compared.home / "results"
    assert sorted(records(compared)) == ["fast", "standard"]
    for record in records(compared).values():
        assert {file.name for file in (results / record["run_id"]).iterdir()} >= RUN_FILES
    comparisons = list(results.glob("comparison-*"))
    assert len(comparisons) == 1
    assert {file.name for file in comparisons[0].iterdir()} >= COMPARISON_FILES


def test_the_paths_really_differ_in_how_they_load(compared: Checkout) -> None:
    found = records(compared)
    phases = {path: {span["name"] for span in record["spans"]} for path, record in found.items()}
    assert {"artifact_download", "weights_to_host", "weights_to_device"} <= phases["standard"]
    assert "weights_stream" not in phases["standard"]
    assert "weights_stream" in phases["fast"]
    assert not {"weights_to_host", "weights_to_device"} & phases["fast"]


def test_the_fast_path_writes_no_weights_to_disk(compared: Checkout) -> None:
    found = records(compared)
    weights_bytes = found["fast"]["model"]["size_bytes"]
    assert found["standard"]["usage"]["disk_write_bytes"] >= weights_bytes
    assert found["fast"]["usage"]["disk_write_bytes"] < weights_bytes / 10
    assert found["fast"]["usage"]["network_receive_bytes"] >= weights_bytes


def test_nearly_all_of_the_time_is_attributed(compared: Checkout) -> None:
    file = next((compared.home / "results").glob("comparison-*/comparison.json"))
    comparison = json.loads(file.read_text(encoding="utf-8"))
    total, (unattributed,) = (
        comparison["total"],
        [row for row in comparison["phases"] if row["name"] == "unattributed"],
    )
    for side in ("a_s", "b_s"):
        assert unattributed[side] <= 0.01 * total[side]


def test_nothing_is_left_afterwards(compared: Checkout) -> None:
    assert not any(compared.everything_left().values())
    assert compared.local_status()["endpoints"] == []
    assert not list((compared.home / ".loadbench" / "runs").glob("*"))


def test_a_second_comparison_uses_what_is_there(compared: Checkout) -> None:
    before = set(records(compared)["fast"]["run_id"])
    done = compared.loadbench("compare", "--json")
    assert json.loads(done.stdout)
    assert set(records(compared)["fast"]["run_id"]) == before


def test_no_state_file_is_readable_by_others_or_left(compared: Checkout) -> None:
    states = list(Path(compared.home).rglob("*.tfstate*"))
    assert states == []
