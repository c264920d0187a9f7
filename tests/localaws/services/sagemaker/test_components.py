"""Inference components: copies as processes, placement, updates, the order of deletion, failures."""

from __future__ import annotations

import os
import signal

import psutil
import pytest
from botocore.exceptions import ClientError

from .conftest import INSTANCE_TYPE, Deployer

pytestmark = pytest.mark.slow

ONE_GPU = {"NumberOfAcceleratorDevicesRequired": 1}


def component_endpoint(deploy: Deployer, instances: int = 1) -> str:
    name = deploy.endpoint(deploy.config(None, instances))
    assert deploy.endpoint_settled(name)["EndpointStatus"] == "InService"
    return name


def test_a_component_goes_into_service_and_holds_its_endpoint(deploy: Deployer) -> None:
    endpoint = component_endpoint(deploy)
    model = deploy.model()
    with pytest.raises(ClientError, match="Inference Component Name header is required"):
        deploy.invoke(endpoint)

    name = deploy.component(endpoint, model, **ONE_GPU)
    creating = deploy.sagemaker.describe_inference_component(InferenceComponentName=name)
    assert creating["InferenceComponentStatus"] == "Creating"
    assert creating["RuntimeConfig"] == {"DesiredCopyCount": 1, "CurrentCopyCount": 0}
    with pytest.raises(ClientError, match="in-progress"):
        deploy.sagemaker.delete_inference_component(InferenceComponentName=name)
    serving = deploy.component_settled(name)

    assert serving["InferenceComponentStatus"] == "InService", serving.get("FailureReason")
    assert serving["RuntimeConfig"] == {"DesiredCopyCount": 1, "CurrentCopyCount": 1}
    assert serving["EndpointArn"].endswith(f":endpoint/{endpoint}")
    assert serving["Specification"]["ModelName"] == model
    assert deploy.invoke(endpoint, InferenceComponentName=name)["generated_text"]
    with pytest.raises(ClientError, match="Cannot delete endpoint with inference component associated"):
        deploy.sagemaker.delete_endpoint(EndpointName=endpoint)

    process = deploy.processes(endpoint)[0]
    assert process["inference_component"] == name
    streams = deploy.aws.client("logs").describe_log_streams(
        logGroupName=f"/aws/sagemaker/InferenceComponents/{name}"
    )["logStreams"]
    assert [stream["logStreamName"].partition("/")[0] for stream in streams] == [name]
    deploy.sagemaker.delete_inference_component(InferenceComponentName=name)
    deploy.gone(lambda: deploy.sagemaker.describe_inference_component(InferenceComponentName=name))
    assert not psutil.pid_exists(process["pid"])
    deploy.sagemaker.delete_endpoint(EndpointName=endpoint)


def test_copies_are_counted_up_and_down_as_processes_on_their_instances(deploy: Deployer) -> None:
    endpoint = component_endpoint(deploy, instances=2)
    name = deploy.component(endpoint, deploy.model(), **ONE_GPU)
    deploy.component_settled(name)

    def recount(copies: int) -> None:
        deploy.sagemaker.update_inference_component_runtime_config(
            InferenceComponentName=name, DesiredRuntimeConfig={"CopyCount": copies}
        )
        settled = deploy.component_settled(name)
        assert settled["InferenceComponentStatus"] == "InService"
        assert settled["RuntimeConfig"] == {"DesiredCopyCount": copies, "CurrentCopyCount": copies}

    recount(2)
    processes = deploy.processes(endpoint)
    assert len({process["instance_id"] for process in processes}) == 2
    for _ in range(4):
        deploy.invoke(endpoint, InferenceComponentName=name)
    assert sorted(process["requests"] for process in deploy.processes(endpoint)) == [2, 2]

    fewer = [{"VariantName": "AllTraffic", "DesiredInstanceCount": 1}]
    with pytest.raises(ClientError, match="lower their copy counts first"):
        deploy.sagemaker.update_endpoint_weights_and_capacities(
            EndpointName=endpoint, DesiredWeightsAndCapacities=fewer
        )

    recount(0)
    assert deploy.processes(endpoint) == []
    with pytest.raises(ClientError, match="no capacity"):
        deploy.invoke(endpoint, InferenceComponentName=name)


def test_copies_that_do_not_fit_fail_with_what_is_there_and_what_they_need(deploy: Deployer) -> None:
    endpoint = component_endpoint(deploy)

    name = deploy.component(endpoint, deploy.model(), copies=2, **ONE_GPU)

    failed = deploy.component_settled(name)
    assert failed["InferenceComponentStatus"] == "Failed"
    assert f"1 x {INSTANCE_TYPE}" in failed["FailureReason"]
    assert "1 accelerators" in failed["FailureReason"]
    assert deploy.processes(endpoint) == []


def test_more_copies_than_fit_leave_those_that_serve(deploy: Deployer) -> None:
    endpoint = component_endpoint(deploy)
    name = deploy.component(endpoint, deploy.model(), **ONE_GPU)
    deploy.component_settled(name)

    deploy.sagemaker.update_inference_component_runtime_config(
        InferenceComponentName=name, DesiredRuntimeConfig={"CopyCount": 2}
    )

    settled = deploy.component_settled(name)
    assert settled["InferenceComponentStatus"] == "InService"
    assert settled["RuntimeConfig"] == {"DesiredCopyCount": 1, "CurrentCopyCount": 1}
    assert "Insufficient resources" in settled["FailureReason"]
    assert deploy.invoke(endpoint, InferenceComponentName=name)["generated_text"]


def test_another_model_replaces_the_copy_even_where_there_is_no_room_for_both(deploy: Deployer) -> None:
    endpoint = component_endpoint(deploy)
    name = deploy.component(endpoint, deploy.model(), **ONE_GPU)
    deploy.component_settled(name)
    before = deploy.processes(endpoint)[0]["pid"]
    other = deploy.model(OPTION_DTYPE="bf16")

    deploy.sagemaker.update_inference_component(
        InferenceComponentName=name,
        Specification={
            "ModelName": other,
            "ComputeResourceRequirements": {"MinMemoryRequiredInMb": 1024, **ONE_GPU},
        },
    )

    settled = deploy.component_settled(name)
    assert settled["InferenceComponentStatus"] == "InService", settled.get("FailureReason")
    assert settled["Specification"]["ModelName"] == other
    assert [process["pid"] for process in deploy.processes(endpoint)] != [before]
    assert deploy.invoke(endpoint, InferenceComponentName=name)["generated_text"]


def test_two_components_share_an_endpoint_and_one_failure_is_its_own(deploy: Deployer) -> None:
    endpoint = component_endpoint(deploy)
    names = [deploy.component(endpoint, deploy.model()) for _ in range(2)]
    for name in names:
        deploy.component_settled(name)
    victim = next(p for p in deploy.processes(endpoint) if p["inference_component"] == names[0])

    os.kill(victim["pid"], signal.SIGKILL)

    def failed() -> bool:
        described = deploy.sagemaker.describe_inference_component(InferenceComponentName=names[0])
        return bool(described["InferenceComponentStatus"] == "Failed")

    deploy.until(failed)
    reason = deploy.sagemaker.describe_inference_component(InferenceComponentName=names[0])["FailureReason"]
    assert "killed by signal 9" in reason
    assert f"/aws/sagemaker/InferenceComponents/{names[0]}" in reason
    assert deploy.sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointStatus"] == "InService"
    assert deploy.invoke(endpoint, InferenceComponentName=names[1])["generated_text"]


def test_a_component_needs_an_endpoint_made_for_components(deploy: Deployer) -> None:
    model = deploy.model()
    endpoint = deploy.endpoint(deploy.config(model))
    deploy.endpoint_settled(endpoint)

    with pytest.raises(ClientError, match="not supported"):
        deploy.component(endpoint, model)
    with pytest.raises(ClientError, match="Could not find endpoint"):
        deploy.component("absent", model)


def test_components_are_listed_by_endpoint_and_status(deploy: Deployer) -> None:
    endpoint = component_endpoint(deploy)
    name = deploy.component(endpoint, deploy.model("nothing/"))
    deploy.component_settled(name)

    def listed(**filters: str) -> list[str]:
        found = deploy.sagemaker.list_inference_components(EndpointNameEquals=endpoint, **filters)
        return [item["InferenceComponentName"] for item in found["InferenceComponents"]]

    assert listed(StatusEquals="Failed") == [name]
    assert listed(StatusEquals="InService") == []
