"""`kill -9` of the whole thing and `up` again: what was in service is back, the rest has a reason."""

from __future__ import annotations

import os
import random
import signal
import threading
from typing import Any

import psutil
import pytest
from botocore.exceptions import BotoCoreError, ClientError

from localaws.server import lifecycle

from ...conftest import EmbeddedAws
from .conftest import BUCKET, IMAGE, INSTANCE_TYPE, ROLE, Deployer

pytestmark = pytest.mark.slow


def kill(aws: EmbeddedAws) -> list[int]:
    """Kill the server as a power cut would; gives the processes it had started."""
    children = [child.pid for child in psutil.Process(aws.pid).children(recursive=True)]
    os.kill(aws.pid, signal.SIGKILL)
    return children


def up(aws: EmbeddedAws) -> Deployer:
    lifecycle.up(aws.state_dir, None)
    return Deployer(aws)


def statuses(deploy: Deployer) -> dict[str, str]:
    listed = deploy.sagemaker.list_endpoints()["Endpoints"]
    return {item["EndpointName"]: item["EndpointStatus"] for item in listed}


def test_what_was_in_service_serves_again_and_no_process_is_left_over(own_deploy: Deployer) -> None:
    aws = own_deploy.aws
    standard = own_deploy.endpoint(own_deploy.config(own_deploy.model()))
    shared = own_deploy.endpoint(own_deploy.config(None))
    own_deploy.endpoint_settled(shared)
    component = own_deploy.component(shared, own_deploy.model())
    own_deploy.component_settled(component)
    own_deploy.endpoint_settled(standard)
    before = own_deploy.invoke(standard)
    keys_before = (aws.state_dir / "keys.json").read_text()

    children = kill(aws)
    own_deploy.until(lambda: not any(map(psutil.pid_exists, children)))
    deploy = up(aws)

    assert statuses(deploy)[standard] in ("SystemUpdating", "InService")
    assert deploy.endpoint_settled(standard)["EndpointStatus"] == "InService"
    assert deploy.component_settled(component)["InferenceComponentStatus"] == "InService"
    assert deploy.invoke(standard) == before
    assert deploy.invoke(shared, InferenceComponentName=component) == before
    # The dead machines' key pairs are worth nothing any more, and their folders are gone.
    assert len((aws.state_dir / "keys.json").read_text()) == len(keys_before)
    assert len(list((aws.state_dir / "instances").iterdir())) == 2


def test_what_was_half_finished_ends_failed_with_a_reason(own_deploy: Deployer) -> None:
    aws = own_deploy.aws
    shared = own_deploy.endpoint(own_deploy.config(None))
    own_deploy.endpoint_settled(shared)
    aws.apply(faults=[{"kind": "health_check"}], provision_s=60)
    component = own_deploy.component(shared, own_deploy.model())
    creating = own_deploy.endpoint(own_deploy.config(own_deploy.model()))
    job = own_deploy.name()
    own_deploy.sagemaker.create_optimization_job(
        OptimizationJobName=job,
        RoleArn=ROLE,
        ModelSource={"S3": {"S3Uri": f"s3://{BUCKET}/standard/"}},
        DeploymentInstanceType=INSTANCE_TYPE,
        OptimizationConfigs=[{"ModelShardingConfig": {"Image": IMAGE}}],
        OutputConfig={"S3OutputLocation": f"s3://{BUCKET}/out/"},
        StoppingCondition={"MaxRuntimeInSeconds": 60},
    )

    kill(aws)
    deploy = up(aws)
    aws.apply()

    ended: list[dict[str, Any]] = [
        deploy.sagemaker.describe_endpoint(EndpointName=creating),
        deploy.sagemaker.describe_inference_component(InferenceComponentName=component),
        deploy.sagemaker.describe_optimization_job(OptimizationJobName=job),
    ]
    assert ended[0]["EndpointStatus"] == ended[1]["InferenceComponentStatus"] == "Failed"
    assert ended[2]["OptimizationJobStatus"] == "FAILED"
    assert all("restart" in resource["FailureReason"] for resource in ended)


def test_an_interrupted_update_goes_back_to_the_configuration_that_served(own_deploy: Deployer) -> None:
    aws = own_deploy.aws
    old, new = own_deploy.config(own_deploy.model()), own_deploy.config(own_deploy.model())
    name = own_deploy.endpoint(old)
    own_deploy.endpoint_settled(name)
    aws.apply(provision_s=60)
    own_deploy.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=new)
    aws.apply()

    kill(aws)
    deploy = up(aws)

    serving = deploy.endpoint_settled(name)
    assert (serving["EndpointStatus"], serving["EndpointConfigName"]) == ("InService", old)
    assert "interrupted" in serving["FailureReason"]
    assert deploy.invoke(name)["generated_text"]


def test_a_deletion_that_was_acknowledged_is_finished(own_deploy: Deployer) -> None:
    aws = own_deploy.aws
    name = own_deploy.endpoint(own_deploy.config(own_deploy.model()))
    own_deploy.endpoint_settled(name)

    own_deploy.sagemaker.delete_endpoint(EndpointName=name)
    kill(aws)
    deploy = up(aws)

    try:
        deploy.sagemaker.describe_endpoint(EndpointName=name)
    except ClientError as error:
        assert "Could not find endpoint" in str(error)
    else:
        raise AssertionError("the endpoint is still there")


@pytest.mark.e2e
@pytest.mark.parametrize("seed", range(int(os.environ.get("CRASH_POINTS", "3"))))
def test_a_kill_at_a_random_moment_of_a_deployment_breaks_no_promise(own_deploy: Deployer, seed: int) -> None:
    """`CRASH_POINTS=50` tries fifty moments."""
    aws = own_deploy.aws
    moment_s = random.Random(seed).uniform(0.0, 4.0)
    acknowledged: list[tuple[str, str]] = []
    server = psutil.Process(aws.pid)
    timer = threading.Timer(moment_s, lambda: os.kill(server.pid, signal.SIGKILL))
    children: list[psutil.Process] = []

    timer.start()
    try:
        while server.is_running() and server.status() != psutil.STATUS_ZOMBIE:
            model = own_deploy.model()
            acknowledged.append(("model", model))
            config = own_deploy.config(model)
            acknowledged.append(("config", config))
            if len(acknowledged) < 5:
                acknowledged.append(("endpoint", own_deploy.endpoint(config)))
            children += server.children(recursive=True)
    except (BotoCoreError, ClientError, psutil.NoSuchProcess):
        timer.join()
    deploy = up(aws)

    own_deploy.until(lambda: not any(child.is_running() for child in children))
    for kind, name in acknowledged:
        if kind == "model":
            deploy.sagemaker.describe_model(ModelName=name)
        elif kind == "config":
            deploy.sagemaker.describe_endpoint_config(EndpointConfigName=name)
        else:
            settled = deploy.endpoint_settled(name)
            assert settled["EndpointStatus"] == "InService" or "restart" in settled["FailureReason"]
            if settled["EndpointStatus"] == "InService":
                assert deploy.invoke(name)["generated_text"]
