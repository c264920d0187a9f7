"""An endpoint that the plain AWS CLI creates: observed while it comes up, imported afterwards, scaled by a
policy under load."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from loadbench.results.run_record import RunRecord
from tests.e2e.conftest import Checkout

pytestmark = pytest.mark.e2e

NAME = "theirs"
PATIENCE_S = 240.0
# Log lines of the model server carry milliseconds; Describe's times, as AWS gives them, do too.
RESOLUTION_S = 0.01


@pytest.fixture(scope="module")
def own(checkout: Checkout) -> RunRecord:
    """A run of ours, which brings the model to S3 and the role that their endpoint uses."""
    checkout.loadbench("run", "standard")
    (file,) = (checkout.home / "results").glob("*/run.json")
    return RunRecord.model_validate_json(file.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def observed(checkout: Checkout, own: RunRecord, tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    """`loadbench observe` begins before the endpoint exists, and ends by itself."""
    folder = tmp_path_factory.mktemp("json")
    watching = checkout.begin("observe", NAME, "--json")
    try:
        _create(checkout, own, folder)
        said, _ = watching.communicate(timeout=PATIENCE_S)
    finally:
        watching.kill()
    assert watching.returncode == 0, said
    return RunRecord.model_validate_json(said[said.index("{\n") :])


@pytest.fixture(scope="module")
def imported(checkout: Checkout, observed: RunRecord) -> RunRecord:
    (record,) = _import(checkout)
    return record


def _create(checkout: Checkout, own: RunRecord, folder: Path) -> None:
    model = json.loads(checkout.aws("sagemaker", "describe-model", "--model-name", own.names.model))
    container, variants = folder / "container.json", folder / "variants.json"
    container.write_text(json.dumps(model["PrimaryContainer"]), encoding="utf-8")
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": NAME,
        "InstanceType": own.instance_type,
        "InitialInstanceCount": 1,
    }
    variants.write_text(json.dumps([variant]), encoding="utf-8")
    checkout.aws(
        "sagemaker", "create-model", "--model-name", NAME, "--execution-role-arn", model["ExecutionRoleArn"],
        "--primary-container", f"file://{container}",
    )  # fmt: skip
    checkout.aws(
        "sagemaker", "create-endpoint-config", "--endpoint-config-name", NAME,
        "--production-variants", f"file://{variants}",
    )  # fmt: skip
    checkout.aws("sagemaker", "create-endpoint", "--endpoint-name", NAME, "--endpoint-config-name", NAME)


def _import(checkout: Checkout) -> list[RunRecord]:
    text = checkout.loadbench("import", NAME, "--since", "1h", "--json").stdout
    return [RunRecord.model_validate(item) for item in json.loads(text)]


def _phases(record: RunRecord) -> set[str]:
    return {span.name for span in record.spans}


def test_observed_and_imported_it_has_the_phases_of_a_run_of_ours(
    own: RunRecord, observed: RunRecord, imported: RunRecord
) -> None:
    ours = {span.name for span in own.spans if span.clock in ("platform", "container")}
    assert {"container_start", "weights_to_host", "weights_to_device", "engine_warmup"} <= ours
    assert ours <= _phases(observed)
    assert ours <= _phases(imported)


def test_both_ways_give_the_same_seconds(observed: RunRecord, imported: RunRecord) -> None:
    times = {(span.name, span.worker): (span.start_s, span.end_s) for span in observed.spans}
    compared = 0
    for span in imported.spans:
        if (span.name, span.worker) in times and span.name != "health_check":
            assert times[span.name, span.worker] == pytest.approx(
                (span.start_s, span.end_s), abs=RESOLUTION_S
            ), span.name
            compared += 1
    assert compared >= 4
    for clock in ("request_s", "ready_s"):
        theirs = getattr(observed.deployment, clock)
        assert theirs == pytest.approx(getattr(imported.deployment, clock), abs=1.0)


def test_a_scale_out_by_a_policy_under_load_is_found_timed_and_explained(
    checkout: Checkout, imported: RunRecord
) -> None:
    scaling, runtime = checkout.client("application-autoscaling"), checkout.client("sagemaker-runtime")
    sagemaker = checkout.client("sagemaker")
    scaled = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{NAME}/variant/AllTraffic",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }
    scaling.register_scalable_target(**scaled, MinCapacity=1, MaxCapacity=2)
    metric = {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}
    scaling.put_scaling_policy(
        **scaled,
        PolicyName="by-load",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": 1.0,
            "PredefinedMetricSpecification": metric,
        },
    )
    body = json.dumps({"inputs": "Hello", "parameters": {"max_new_tokens": 1}})
    deadline_s = time.monotonic() + PATIENCE_S
    while _instances(sagemaker) != ("InService", 2):
        assert time.monotonic() < deadline_s, "the policy did not scale out"
        runtime.invoke_endpoint(EndpointName=NAME, ContentType="application/json", Body=body)
    scaling.deregister_scalable_target(**scaled)

    first, second = _import(checkout)
    assert first.cause == "created"
    assert second.cause is not None
    assert "AlarmHigh in state ALARM triggered policy by-load" in second.cause
    assert second.deployment.request_source == "the scaling activity's StartTime"
    activities = scaling.describe_scaling_activities(
        ServiceNamespace="sagemaker", ResourceId=scaled["ResourceId"]
    )
    (activity,) = activities["ScalingActivities"]
    assert second.deployment.request_s == pytest.approx(activity["StartTime"].timestamp(), abs=RESOLUTION_S)
    assert second.deployment.ready_s is not None
    assert second.deployment.ready_s > activity["StartTime"].timestamp()
    assert {"container_start", "weights_to_host", "weights_to_device"} <= _phases(second)
    table = checkout.loadbench("import", NAME, "--since", "1h").stdout
    assert "by-load" in table


def _instances(client: Any) -> tuple[str, int]:
    described = client.describe_endpoint(EndpointName=NAME)
    return described["EndpointStatus"], described["ProductionVariants"][0]["CurrentInstanceCount"]
