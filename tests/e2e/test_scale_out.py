"""One more copy for both endpoints: compared, failed, interrupted, and removed in the middle."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loadbench.results.scale_out_record import ScaleOutRecord, load_scale_out
from tests.e2e.conftest import Checkout
from tests.waiting import until

pytestmark = pytest.mark.e2e

PATIENCE_S = 120.0


@pytest.fixture(scope="module")
def scaled(checkout: Checkout) -> dict[str, Any]:
    """Both paths deployed and scaled out once, left with two copies each."""
    arguments = ("--deploy", "--keep", "--json", "--set", "benchmark.warm_invocations=0")
    done = checkout.loadbench("scale-out", "standard", "fast", *arguments)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def counts(checkout: Checkout, path: str) -> tuple[str, int, int]:
    """An endpoint's status, its instances as the service counts them, and those that really run a process."""
    (endpoint,) = [item for item in checkout.local_status()["endpoints"] if f"-{path}-" in item["name"]]
    described = checkout.client("sagemaker").describe_endpoint(EndpointName=endpoint["name"])
    running = {process["instance_id"] for process in endpoint["processes"]}
    return (
        described["EndpointStatus"],
        described["ProductionVariants"][0]["CurrentInstanceCount"],
        len(running),
    )


def is_growing(checkout: Checkout, path: str) -> Callable[[], bool]:
    client = checkout.client("sagemaker")
    (listed,) = client.list_endpoints(NameContains=f"-{path}-")["Endpoints"]

    def growing() -> bool:
        described = client.describe_endpoint(EndpointName=listed["EndpointName"])
        desired = described["ProductionVariants"][0]["DesiredInstanceCount"]
        current = described["ProductionVariants"][0]["CurrentInstanceCount"]
        return (described["EndpointStatus"], current, desired) == ("Updating", 1, 2)

    return growing


def test_each_copy_is_timed_phase_by_phase_while_the_endpoint_answers(
    checkout: Checkout, scaled: dict[str, Any]
) -> None:
    records = [ScaleOutRecord.model_validate(item) for item in scaled["scale_outs"]]
    assert sorted(record.path for record in records) == ["fast", "standard"]
    for record in records:
        assert record.status == "succeeded"
        assert len(record.requests) >= 2
        assert [item.error for item in record.requests if not item.ok] == []
        assert record.request_s is not None
        assert record.ready_s is not None
        assert record.ready_s > record.request_s
        phases = {span.name for span in record.spans}
        expected = {"weights_stream"} if record.path == "fast" else {"weights_to_host", "weights_to_device"}
        assert {"provision", "artifact_download", "container_start", "engine_warmup"} | expected <= phases
        folder = checkout.home / "results" / record.run_id
        assert load_scale_out(folder / f"scale-out-{record.scale_out_id}.json") == record
        log = (folder / f"scale-out-{record.scale_out_id}.log").read_text(encoding="utf-8")
        assert log.count("Starting model server") == 1
        assert counts(checkout, record.path) == ("InService", 2, 2)


def test_the_comparison_shows_both(checkout: Checkout, scaled: dict[str, Any]) -> None:
    (comparison_id,) = scaled["comparisons"]
    folder = checkout.home / "results" / f"comparison-{comparison_id}"
    section = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))["scale_out"]
    for side in ("a", "b"):
        shares = [row[f"{side}_s"] or 0 for row in section["phases"]]
        assert sum(shares) == pytest.approx(section["total"][f"{side}_s"])
    assert "Adding one copy" in (folder / "report.html").read_text(encoding="utf-8")
    assert "time to one more copy" in checkout.loadbench("report").stdout


def test_a_copy_that_cannot_start_is_taken_back_with_its_reason(
    checkout: Checkout, scaled: dict[str, Any]
) -> None:
    fault = "local.faults=[{kind: container_exit, times: 1}]"
    done = checkout.loadbench("scale-out", "fast", "--set", fault, exit_code=1)
    assert "removing copies of an earlier scale-out" in done.stderr
    assert "did not pass the ping health check" in done.stderr
    assert counts(checkout, "fast") == ("InService", 1, 1)
    records = [load_scale_out(file) for file in Path(checkout.home).glob("results/*/scale-out-*.json")]
    (failed,) = [record for record in records if record.status == "failed"]
    assert failed.failure is not None
    assert failed.scaled_back_s is not None


def test_an_interrupted_scale_out_leaves_the_endpoint_as_it_was(
    checkout: Checkout, scaled: dict[str, Any]
) -> None:
    running = checkout.begin("scale-out", "standard", "--set", "local.provision_s=3")
    until(is_growing(checkout, "standard"), PATIENCE_S)
    running.send_signal(signal.SIGINT)
    said, _ = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 130, said
    assert "it has 1 copy again" in said
    assert counts(checkout, "standard") == ("InService", 1, 1)


def test_destroy_removes_everything_in_the_middle_of_one(checkout: Checkout, scaled: dict[str, Any]) -> None:
    running = checkout.begin("scale-out", "fast", "--set", "local.provision_s=3")
    until(is_growing(checkout, "fast"), PATIENCE_S)
    running.kill()
    running.communicate()
    checkout.loadbench("destroy")
    assert not any(checkout.everything_left().values())
    done = checkout.loadbench("scale-out", exit_code=2)
    assert "loadbench run standard" in done.stderr, "no Makefile here"
