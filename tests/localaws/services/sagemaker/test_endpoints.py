"""Endpoints from Creating to gone, with real model servers: statuses, reasons, processes, logs."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError

from .conftest import BUCKET, IMAGE, INSTANCE_TYPE, ROLE, Deployer

LOG_GROUP = "/aws/sagemaker/Endpoints"


def events(deploy: Deployer, group: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = deploy.aws.client("logs").filter_log_events(logGroupName=group)["events"]
    return found


def test_an_endpoint_goes_into_service_answers_and_leaves_nothing(deploy: Deployer) -> None:
    config = deploy.config(deploy.model())
    name = deploy.endpoint(config)

    creating = deploy.sagemaker.describe_endpoint(EndpointName=name)
    assert creating["EndpointStatus"] == "Creating"
    assert "ProductionVariants" not in creating
    pending = creating["PendingDeploymentSummary"]
    assert pending["EndpointConfigName"] == config
    assert pending["ProductionVariants"][0]["VariantStatus"][0]["Status"] == "Creating"
    with pytest.raises(ClientError, match="Cannot update in-progress endpoint"):
        deploy.sagemaker.delete_endpoint(EndpointName=name)

    serving = deploy.endpoint_settled(name)
    assert serving["EndpointStatus"] == "InService", serving.get("FailureReason")
    assert "PendingDeploymentSummary" not in serving
    variant = serving["ProductionVariants"][0]
    assert (variant["CurrentInstanceCount"], variant["CurrentWeight"]) == (1, 1.0)
    assert variant["DeployedImages"][0]["SpecifiedImage"] == IMAGE
    assert serving["LastModifiedTime"] > serving["CreationTime"] == creating["CreationTime"]
    assert deploy.invoke(name)["generated_text"]

    process = deploy.processes(name)[0]
    folder = deploy.aws.state_dir / "instances" / process["instance_id"]
    assert (folder / "opt/ml/model/model.safetensors").is_file()
    deploy.sagemaker.delete_endpoint(EndpointName=name)
    deploy.gone(lambda: deploy.sagemaker.describe_endpoint(EndpointName=name))
    assert not psutil.pid_exists(process["pid"])
    assert not folder.exists()


def test_boto3s_waiters_see_the_endpoint_come_and_go(deploy: Deployer) -> None:
    name = deploy.endpoint(deploy.config(deploy.model()))
    quick = {"Delay": 1, "MaxAttempts": 120}

    deploy.sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig=quick)
    deploy.sagemaker.delete_endpoint(EndpointName=name)
    deploy.sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=name, WaiterConfig=quick)


def test_the_spans_of_a_cold_start_leave_less_than_a_hundredth_uncovered(deploy: Deployer) -> None:
    name = deploy.endpoint(deploy.config(deploy.model()))
    serving = deploy.endpoint_settled(name)
    begin_s, end_s = (serving[time].timestamp() for time in ("CreationTime", "LastModifiedTime"))

    spans = [json.loads(event["message"]) for event in events(deploy, f"/localaws/instances/{name}")]
    phases = [(span["phase"], span["start"], span["end"]) for span in spans]
    for event in events(deploy, f"{LOG_GROUP}/{name}"):
        _, marker, described = event["message"].partition("[phase] ")
        if marker:
            values = dict(pair.split("=") for pair in described.split())
            phases.append((values["name"], float(values["start"]), float(values["end"])))

    covered_s, seen_s = 0.0, begin_s
    for _, start_s, stop_s in sorted(phases, key=lambda phase: phase[1]):
        covered_s += max(0.0, min(stop_s, end_s) - max(start_s, seen_s))
        seen_s = max(seen_s, stop_s)
    assert covered_s / (end_s - begin_s) > 0.99
    assert {name for name, *_ in phases} == {
        "provision",
        "artifact_download",
        "container_start",
        "weights_to_host",
        "weights_to_device",
        "engine_warmup",
        "health_check",
    }
    assert not any(span["simulated"] for span in spans)


def test_a_killed_model_server_makes_the_endpoint_failed_with_exit_and_log_group(deploy: Deployer) -> None:
    name = deploy.endpoint(deploy.config(deploy.model()))
    deploy.endpoint_settled(name)

    os.kill(deploy.processes(name)[0]["pid"], signal.SIGKILL)
    deploy.gone_from_service(name)

    failed = deploy.sagemaker.describe_endpoint(EndpointName=name)
    assert failed["EndpointStatus"] == "Failed"
    assert "killed by signal 9" in failed["FailureReason"]
    assert f"{LOG_GROUP}/{name}" in failed["FailureReason"]
    assert deploy.processes(name) == []
    with pytest.raises(ClientError, match="Failed"):
        deploy.invoke(name)
    with pytest.raises(ClientError, match="failed endpoint"):
        deploy.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=failed["EndpointConfigName"])


def test_a_model_server_killed_while_the_endpoint_is_created_fails_it_at_once(deploy: Deployer) -> None:
    deploy.aws.apply(faults=[{"kind": "health_check"}])
    name = deploy.endpoint(deploy.config(deploy.model()))
    deploy.until(lambda: bool(deploy.processes(name)))

    os.kill(deploy.processes(name)[0]["pid"], signal.SIGTERM)

    failed = deploy.endpoint_settled(name)
    assert failed["EndpointStatus"] == "Failed"
    assert "killed by signal 15" in failed["FailureReason"]


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("insufficient_capacity", "Unable to provision requested ML compute capacity"),
        ("container_exit", "did not pass the ping health check: exited with status 1"),
        ("download_timeout", "within the timeout of 3600 seconds"),
        ("access_denied", "Failed to download model data"),
    ],
)
def test_a_deployment_that_fails_on_order_says_what_aws_says(deploy: Deployer, fault: str, says: str) -> None:
    config = deploy.config(deploy.model())
    deploy.aws.apply(faults=[{"kind": fault, "instance_type": INSTANCE_TYPE, "times": 1}])

    name = deploy.endpoint(config)

    failed = deploy.endpoint_settled(name)
    assert failed["EndpointStatus"] == "Failed"
    assert says in failed["FailureReason"]
    # The fault struck once: the same configuration works now.
    assert deploy.endpoint_settled(deploy.endpoint(config))["EndpointStatus"] == "InService"


def test_what_the_container_said_before_it_exited_is_in_its_log(deploy: Deployer) -> None:
    name = deploy.endpoint(deploy.config(deploy.model(OPTION_DTYPE="int3")))

    assert deploy.endpoint_settled(name)["EndpointStatus"] == "Failed"

    messages = [event["message"] for event in events(deploy, f"{LOG_GROUP}/{name}")]
    assert any("OPTION_DTYPE=int3" in message for message in messages)


def test_a_quota_is_refused_when_the_endpoint_is_asked_for(deploy: Deployer) -> None:
    config = deploy.config(deploy.model())
    deploy.aws.apply(faults=[{"kind": "quota", "times": 1}])

    with pytest.raises(deploy.sagemaker.exceptions.ResourceLimitExceeded, match="for endpoint usage"):
        deploy.endpoint(config)

    assert deploy.sagemaker.list_endpoints(NameContains="tiny")["Endpoints"] == []


def test_a_container_that_needs_a_model_says_that_there_is_none(deploy: Deployer) -> None:
    name = deploy.endpoint(deploy.config(deploy.model("nothing/here/")))

    failed = deploy.endpoint_settled(name)

    assert "did not pass the ping health check" in failed["FailureReason"]
    messages = [event["message"] for event in events(deploy, f"{LOG_GROUP}/{name}")]
    assert any("the model folder is empty" in message for message in messages)


@pytest.mark.slow
def test_a_health_check_that_never_passes_fails_after_its_time_out(deploy: Deployer) -> None:
    deploy.aws.apply(faults=[{"kind": "health_check"}])
    config = deploy.config(deploy.model(), ContainerStartupHealthCheckTimeoutInSeconds=60)
    name = deploy.endpoint(config)

    failed = deploy.endpoint_settled(name)

    waited_s = (failed["LastModifiedTime"] - failed["CreationTime"]).total_seconds()
    assert 60 <= waited_s < 75
    assert "did not pass the ping health check within 60 seconds" in failed["FailureReason"]


def test_a_model_without_data_is_fetched_by_its_container(deploy: Deployer) -> None:
    model = deploy.name()
    environment = {"HF_MODEL_ID": f"s3://{BUCKET}/standard/"}
    deploy.sagemaker.create_model(
        ModelName=model, ExecutionRoleArn=ROLE, PrimaryContainer={"Image": IMAGE, "Environment": environment}
    )
    name = deploy.endpoint(deploy.config(model))

    assert deploy.endpoint_settled(name)["EndpointStatus"] == "InService"

    assert deploy.invoke(name)["generated_text"]
    messages = [event["message"] for event in events(deploy, f"{LOG_GROUP}/{name}")]
    assert f"INFO  ModelServer S3 url found, start downloading from s3://{BUCKET}/standard/" in messages
    assert any("Download completed! Files saved to" in message for message in messages)


def test_an_update_serves_the_old_variant_until_the_new_one_is_in_service(deploy: Deployer) -> None:
    old, new = deploy.config(deploy.model()), deploy.config(deploy.model(OPTION_DTYPE="bf16"))
    name = deploy.endpoint(old)
    deploy.endpoint_settled(name)
    before = deploy.processes(name)

    deploy.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=new)
    updating = deploy.sagemaker.describe_endpoint(EndpointName=name)

    assert (updating["EndpointStatus"], updating["EndpointConfigName"]) == ("Updating", old)
    assert updating["PendingDeploymentSummary"]["EndpointConfigName"] == new
    assert deploy.invoke(name)["generated_text"]
    with pytest.raises(ClientError, match="in-progress"):
        deploy.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=old)
    serving = deploy.endpoint_settled(name)
    assert (serving["EndpointStatus"], serving["EndpointConfigName"]) == ("InService", new)
    assert deploy.invoke(name)["generated_text"]
    deploy.until(lambda: not psutil.pid_exists(before[0]["pid"]))
    assert len(deploy.processes(name)) == 1


def test_an_update_that_fails_leaves_the_old_variant_in_service_with_a_reason(deploy: Deployer) -> None:
    old, broken = deploy.config(deploy.model()), deploy.config(deploy.model(OPTION_DTYPE="int3"))
    name = deploy.endpoint(old)
    deploy.endpoint_settled(name)
    before = deploy.processes(name)

    deploy.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=broken)
    serving = deploy.endpoint_settled(name)

    assert (serving["EndpointStatus"], serving["EndpointConfigName"]) == ("InService", old)
    assert "exited with status 1" in serving["FailureReason"]
    assert deploy.processes(name) == before
    assert deploy.invoke(name)["generated_text"]


def test_two_instances_are_two_processes_that_share_the_requests(deploy: Deployer) -> None:
    name = deploy.endpoint(deploy.config(deploy.model()))
    deploy.endpoint_settled(name)

    def scale(count: int) -> None:
        wanted = [{"VariantName": "AllTraffic", "DesiredInstanceCount": count}]
        deploy.sagemaker.update_endpoint_weights_and_capacities(
            EndpointName=name, DesiredWeightsAndCapacities=wanted
        )
        assert deploy.endpoint_settled(name)["EndpointStatus"] == "InService"

    scale(2)
    processes = deploy.processes(name)
    assert len({process["pid"] for process in processes}) == 2
    assert len({process["instance_id"] for process in processes}) == 2
    for _ in range(4):
        deploy.invoke(name)
    assert sorted(process["requests"] for process in deploy.processes(name)) == [2, 2]
    described = deploy.sagemaker.describe_endpoint(EndpointName=name)["ProductionVariants"][0]
    assert (described["CurrentInstanceCount"], described["DesiredInstanceCount"]) == (2, 2)

    scale(1)
    deploy.until(lambda: len(deploy.processes(name)) == 1)
    assert deploy.invoke(name)["generated_text"]


def test_an_endpoint_outlives_the_model_and_configuration_it_was_made_from(deploy: Deployer) -> None:
    model = deploy.model()
    config = deploy.config(model)
    name = deploy.endpoint(config)
    with pytest.raises(ClientError, match="being created or updated"):
        deploy.sagemaker.delete_endpoint_config(EndpointConfigName=config)
    deploy.endpoint_settled(name)

    deploy.sagemaker.delete_endpoint_config(EndpointConfigName=config)
    deploy.sagemaker.delete_model(ModelName=model)

    assert deploy.invoke(name)["generated_text"]


def test_simulated_seconds_are_marked_as_such(deploy: Deployer) -> None:
    deploy.aws.apply(provision_s={INSTANCE_TYPE: 0.5}, image_pull_s=0.7)
    name = deploy.endpoint(deploy.config(deploy.model()))
    deploy.endpoint_settled(name)

    spans = [json.loads(event["message"]) for event in events(deploy, f"/localaws/instances/{name}")]

    simulated = {span["phase"]: span["end"] - span["start"] for span in spans if span["simulated"]}
    assert set(simulated) == {"provision", "image_pull"}
    assert 0.5 <= simulated["provision"] < 0.7
    assert 0.7 <= simulated["image_pull"] < 0.9


def test_use_of_the_machine_is_measured_before_the_endpoint_is_in_service(deploy: Deployer) -> None:
    name = deploy.endpoint(deploy.config(deploy.model()))
    serving = deploy.endpoint_settled(name)
    instance = deploy.processes(name)[0]["instance_id"]
    cloudwatch = deploy.aws.client("cloudwatch")

    def maximum(namespace: str, metric: str, **dimensions: str) -> float:
        points = cloudwatch.get_metric_statistics(
            Namespace=namespace,
            MetricName=metric,
            Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
            StartTime=serving["CreationTime"],
            EndTime=serving["LastModifiedTime"],
            Period=3600,
            Statistics=["Maximum"],
        )["Datapoints"]
        value: float = max(point["Maximum"] for point in points)
        return value

    def own(metric: str) -> float:
        return maximum("LocalAWS/Instances", metric, EndpointName=name, InstanceId=instance)

    weights = deploy.aws.state_dir / "instances" / instance / "opt/ml/model/model.safetensors"
    model_bytes = weights.stat().st_size
    assert own("CPUSeconds") > 0.5
    assert own("MemoryPeakBytes") >= own("MemoryBytes") > 50e6
    assert own("NetworkReceiveBytes") >= model_bytes
    assert own("DiskWriteBytes") >= model_bytes
    variant = {"EndpointName": name, "VariantName": "AllTraffic"}
    assert maximum("/aws/sagemaker/Endpoints", "CPUUtilization", **variant) > 0


def test_a_second_look_is_held_until_something_changes_and_a_first_one_never(deploy: Deployer) -> None:
    deploy.aws.apply(provision_s=3)
    other = deploy.aws.client("sagemaker")
    other.list_endpoints(MaxResults=1)  # the first call of a client takes long on a busy machine
    name = deploy.endpoint(deploy.config(None))

    def look(client: Any) -> tuple[str, float]:
        begin_s = time.monotonic()
        status = client.describe_endpoint(EndpointName=name)["EndpointStatus"]
        return status, time.monotonic() - begin_s

    first_status, first_s = look(deploy.sagemaker)
    other_status, other_s = look(other)
    held_status, held_s = look(deploy.sagemaker)

    assert (first_status, other_status, held_status) == ("Creating", "Creating", "InService")
    assert held_s > 10 * max(first_s, other_s) or held_s > 1


def test_a_held_look_gives_up_after_a_few_seconds(deploy: Deployer) -> None:
    deploy.aws.apply(provision_s=9)
    name = deploy.endpoint(deploy.config(None))
    deploy.sagemaker.describe_endpoint(EndpointName=name)

    begin_s = time.monotonic()
    held = deploy.sagemaker.describe_endpoint(EndpointName=name)

    assert held["EndpointStatus"] == "Creating"
    assert 4 < time.monotonic() - begin_s < 8
