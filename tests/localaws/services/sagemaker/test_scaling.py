"""Adding a copy to what serves, and taking it away: real processes, nothing unanswered, failures undone."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from .conftest import Deployer
from .test_components import ONE_GPU, component_endpoint
from .test_restart import kill, up

pytestmark = pytest.mark.slow


def scale(deploy: Deployer, endpoint: str, count: int) -> None:
    wanted = [{"VariantName": "AllTraffic", "DesiredInstanceCount": count}]
    deploy.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=endpoint, DesiredWeightsAndCapacities=wanted
    )


def recount(deploy: Deployer, component: str, copies: int) -> None:
    deploy.sagemaker.update_inference_component_runtime_config(
        InferenceComponentName=component, DesiredRuntimeConfig={"CopyCount": copies}
    )


def instances(described: dict[str, Any]) -> tuple[int, int]:
    """Current and desired number of instances."""
    variant = described["ProductionVariants"][0]
    return variant["CurrentInstanceCount"], variant["DesiredInstanceCount"]


def messages(deploy: Deployer, group: str) -> list[tuple[str, str]]:
    pages = deploy.aws.client("logs").get_paginator("filter_log_events").paginate(logGroupName=group)
    return [(event["logStreamName"], event["message"]) for page in pages for event in page["events"]]


def test_an_added_instance_loads_for_itself_while_the_old_one_answers(deploy: Deployer) -> None:
    name = deploy.endpoint(deploy.config(deploy.model()))
    deploy.endpoint_settled(name)
    (old,) = deploy.processes(name)
    deploy.aws.apply(provision_s=0.5)

    scale(deploy, name, 2)
    updating = deploy.sagemaker.describe_endpoint(EndpointName=name)
    assert (updating["EndpointStatus"], *instances(updating)) == ("Updating", 1, 2)
    assert deploy.invoke(name)["generated_text"]
    grown = deploy.endpoint_settled(name)

    assert (grown["EndpointStatus"], *instances(grown)) == ("InService", 2, 2)
    added = next(process for process in deploy.processes(name) if process["pid"] != old["pid"])
    downloads = [
        json.loads(text)["instance_id"]
        for _, text in messages(deploy, f"/localaws/instances/{name}")
        if json.loads(text)["phase"] == "artifact_download"
    ]
    assert downloads == [old["instance_id"], added["instance_id"]]
    started = [
        stream
        for stream, text in messages(deploy, f"/aws/sagemaker/Endpoints/{name}")
        if "Starting model server" in text
    ]
    assert started == [f"AllTraffic/{old['instance_id']}", f"AllTraffic/{added['instance_id']}"]

    scale(deploy, name, 1)
    assert instances(deploy.endpoint_settled(name)) == (1, 1)
    assert [process["pid"] for process in deploy.processes(name)] == [old["pid"]]


@pytest.mark.parametrize("of_component", [False, True])
def test_a_copy_that_is_taken_away_answers_first(deploy: Deployer, of_component: bool) -> None:
    if of_component:
        endpoint = component_endpoint(deploy, instances=2)
        component = deploy.component(endpoint, deploy.model(), copies=2, **ONE_GPU)
        deploy.component_settled(component)
        address = {"InferenceComponentName": component}
    else:
        endpoint = deploy.endpoint(deploy.config(deploy.model(), instances=2))
        deploy.endpoint_settled(endpoint)
        address = {}
    answers: list[Any] = []

    def ask() -> None:
        body = json.dumps({"inputs": "hello", "parameters": {"max_new_tokens": 400}})
        answer = deploy.runtime.invoke_endpoint(
            EndpointName=endpoint, ContentType="application/json", Body=body, **address
        )
        answers.append(json.loads(answer["Body"].read())["generated_text"])

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    deploy.until(lambda: sum(process["requests"] for process in deploy.processes(endpoint)) == 2)

    if of_component:
        recount(deploy, component, 1)
        deploy.component_settled(component)
    else:
        scale(deploy, endpoint, 1)
        deploy.endpoint_settled(endpoint)

    for thread in threads:
        thread.join()
    assert len(answers) == 2
    assert len(deploy.processes(endpoint)) == 1


@pytest.mark.parametrize(
    ("fault", "says"), [("insufficient_capacity", "Unable to provision"), ("container_exit", "health check")]
)
def test_an_instance_that_cannot_be_added_leaves_the_endpoint_as_it_was(
    deploy: Deployer, fault: str, says: str
) -> None:
    name = deploy.endpoint(deploy.config(deploy.model()))
    deploy.endpoint_settled(name)
    before = deploy.processes(name)
    deploy.aws.apply(faults=[{"kind": fault, "endpoint": name, "times": 1}])

    scale(deploy, name, 2)
    settled = deploy.endpoint_settled(name)

    assert (settled["EndpointStatus"], *instances(settled)) == ("InService", 1, 1)
    assert says in settled["FailureReason"]
    assert deploy.processes(name) == before
    scale(deploy, name, 2)
    again = deploy.endpoint_settled(name)
    assert instances(again) == (2, 2)
    assert "FailureReason" not in again


def test_a_quota_is_refused_before_anything_changes(deploy: Deployer) -> None:
    name = deploy.endpoint(deploy.config(deploy.model()))
    deploy.endpoint_settled(name)
    deploy.aws.apply(faults=[{"kind": "quota", "times": 1}])

    with pytest.raises(deploy.sagemaker.exceptions.ResourceLimitExceeded, match="request delta of 1"):
        scale(deploy, name, 2)

    described = deploy.sagemaker.describe_endpoint(EndpointName=name)
    assert (described["EndpointStatus"], *instances(described)) == ("InService", 1, 1)


def test_a_copy_that_cannot_be_added_leaves_the_component_as_it_was(deploy: Deployer) -> None:
    endpoint = component_endpoint(deploy)
    name = deploy.component(endpoint, deploy.model(), **ONE_GPU)
    deploy.component_settled(name)
    before = deploy.processes(endpoint)
    scale(deploy, endpoint, 2)
    deploy.endpoint_settled(endpoint)
    deploy.aws.apply(faults=[{"kind": "container_exit", "inference_component": name, "times": 1}])

    recount(deploy, name, 2)
    settled = deploy.component_settled(name)

    assert settled["InferenceComponentStatus"] == "InService"
    assert settled["RuntimeConfig"] == {"DesiredCopyCount": 1, "CurrentCopyCount": 1}
    assert "health check" in settled["FailureReason"]
    assert deploy.processes(endpoint) == before
    assert deploy.invoke(endpoint, InferenceComponentName=name)["generated_text"]


def test_a_restart_while_copies_are_added_goes_back_to_those_that_served(own_deploy: Deployer) -> None:
    aws = own_deploy.aws
    standard = own_deploy.endpoint(own_deploy.config(own_deploy.model()))
    shared = own_deploy.endpoint(own_deploy.config(None, instances=2))
    own_deploy.endpoint_settled(shared)
    component = own_deploy.component(shared, own_deploy.model(), **ONE_GPU)
    own_deploy.component_settled(component)
    own_deploy.endpoint_settled(standard)
    aws.apply(provision_s=60, image_pull_s=60)
    scale(own_deploy, standard, 2)
    recount(own_deploy, component, 2)
    aws.apply()

    kill(aws)
    deploy = up(aws)

    endpoint, copies = deploy.endpoint_settled(standard), deploy.component_settled(component)
    assert (endpoint["EndpointStatus"], *instances(endpoint)) == ("InService", 1, 1)
    assert copies["InferenceComponentStatus"] == "InService"
    assert copies["RuntimeConfig"] == {"DesiredCopyCount": 1, "CurrentCopyCount": 1}
    assert all("interrupted" in resource["FailureReason"] for resource in (endpoint, copies))
    assert len(deploy.processes(standard)) == len(deploy.processes(shared)) == 1
    scale(deploy, standard, 2)
    recount(deploy, component, 2)
    assert instances(deploy.endpoint_settled(standard)) == (2, 2)
    assert deploy.component_settled(component)["RuntimeConfig"]["CurrentCopyCount"] == 2
