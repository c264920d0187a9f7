"""Every failure that `explain` knows, provoked on the embedded AWS: what its services and containers then say
is recognised as that failure, and no other.

Three are only said, not done, because they need what a test does not have: `gated_model` (the hub),
`out_of_memory` (a GPU) and `fastload` (vLLM). There the container prints configured last lines, which are
recorded ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import boto3
import pytest
from botocore import auth
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from loadbench.errors import RunError
from loadbench.run.explain_failure import EXPLANATIONS, explained
from localaws.server import lifecycle
from localaws.settings import Settings
from tests.localaws.conftest import EmbeddedAws
from tests.localaws.services.sagemaker.conftest import BUCKET, IMAGE, ROLE, Deployer, fill_bucket

Words = tuple[str, list[str]]  # of the service, and of the container
RECORDED = dict(
    line.split("\t", 1)
    for line in (Path(__file__).parents[1] / "loadbench/run/fixtures/failures.tsv").read_text().splitlines()
)
WITHOUT_THE_LOADER = IMAGE.replace("0.32.0-lmi14.0.0-cu126", "0.33.0-lmi15.0.0-cu128")


@pytest.fixture(scope="module")
def module_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedAws]:
    folder = tmp_path_factory.mktemp("failures")
    lifecycle.up(folder / "state", Settings())
    aws = EmbeddedAws(folder / "state")
    fill_bucket(aws, folder / "tiny")
    yield aws
    lifecycle.down(folder / "state")


@pytest.fixture
def deploy(module_aws: EmbeddedAws) -> Iterator[Deployer]:
    deployer = Deployer(module_aws)
    yield deployer
    module_aws.apply()
    deployer.clean_up()


def refused(call: Callable[[], Any]) -> Words:
    """What a call's refusal says."""
    with pytest.raises((ClientError, BotoCoreError)) as caught:
        call()
    return str(caught.value), []


def failed(deploy: Deployer, config: str) -> Words:
    """What an endpoint that does not come up says, with its container's log."""
    name = deploy.endpoint(config)
    reason = deploy.endpoint_settled(name)["FailureReason"]
    logs, group = deploy.aws.client("logs"), f"/aws/sagemaker/Endpoints/{name}"
    try:
        events = logs.filter_log_events(logGroupName=group)["events"]
    except logs.exceptions.ResourceNotFoundException:
        events = []  # no container was started
    return reason, [event["message"] for event in events]


def fault(kind: str, **fields: Any) -> Callable[[Deployer], Words]:
    """An endpoint under a fault."""

    def provoke(deploy: Deployer) -> Words:
        config = deploy.config(deploy.model())
        deploy.aws.apply(faults=[{"kind": kind, **fields}])
        return failed(deploy, config)

    return provoke


def refusal(kind: str, call: Callable[[Deployer], Any]) -> Callable[[Deployer], Words]:
    """A call under a fault."""

    def provoke(deploy: Deployer) -> Words:
        deploy.aws.apply(faults=[{"kind": kind}])
        return refused(lambda: call(deploy))

    return provoke


def quota(deploy: Deployer) -> Words:
    config = deploy.config(deploy.model())
    deploy.aws.apply(faults=[{"kind": "quota"}])
    return refused(lambda: deploy.endpoint(config))


def image_without_the_loader(deploy: Deployer) -> Words:
    shards = "fast/sagemaker-fast-model-loader-1/chunk"
    deploy.aws.client("s3").put_object(Bucket=BUCKET, Key=shards, Body=b"chunk")
    name = deploy.name()
    source = {"S3Uri": f"s3://{BUCKET}/fast/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    deploy.sagemaker.create_model(
        ModelName=name,
        ExecutionRoleArn=ROLE,
        PrimaryContainer={
            "Image": WITHOUT_THE_LOADER,
            "ModelDataSource": {"S3DataSource": source},
            "Environment": {"OPTION_LOAD_FORMAT": "sagemaker_fast_model_loader"},
        },
    )
    return failed(deploy, deploy.config(name))


def model_data_in_no_bucket(deploy: Deployer) -> Words:
    name = deploy.name()
    container = {"Image": IMAGE, "ModelDataUrl": "s3://no-such-bucket/model.tar.gz"}
    deploy.sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=container)
    return failed(deploy, deploy.config(name))


def unreachable(deploy: Deployer) -> Words:
    client = boto3.client(
        "sagemaker",
        region_name="us-east-1",
        endpoint_url="http://127.0.0.1:9",  # the discard port: nobody listens
        aws_access_key_id="a",
        aws_secret_access_key="b",
        config=Config(retries={"total_max_attempts": 1}),
    )
    return refused(client.list_models)


def archived(deploy: Deployer) -> Words:
    s3 = deploy.aws.client("s3")
    s3.put_object(Bucket=BUCKET, Key="archived/weights", Body=b"weights", StorageClass="GLACIER")
    return refused(lambda: s3.get_object(Bucket=BUCKET, Key="archived/weights"))


def component_too_large(deploy: Deployer) -> Words:
    endpoint = deploy.endpoint(deploy.config(None))
    deploy.endpoint_settled(endpoint)
    component = deploy.component(endpoint, deploy.model(), MinMemoryRequiredInMb=65536)
    return deploy.component_settled(component)["FailureReason"], []


def configuration_without_a_model(deploy: Deployer) -> Any:
    variant = {"VariantName": "AllTraffic", "InstanceType": "ml.g5.2xlarge", "InitialInstanceCount": 1}
    wanted = {"EndpointConfigName": "c", "ExecutionRoleArn": ROLE, "ProductionVariants": [variant]}
    return deploy.aws.client("cloudcontrol").create_resource(
        TypeName="AWS::SageMaker::EndpointConfig", DesiredState=json.dumps(wanted)
    )


def clock_an_hour_late(deploy: Deployer) -> Words:
    """A request that is signed for an hour ago."""
    late = datetime.now(UTC) - timedelta(hours=1)
    with (
        mock.patch.dict(auth.AUTH_TYPE_MAPS, v4=auth.SigV4Auth),  # awscrt has a clock of its own
        mock.patch.object(auth, "get_current_datetime", return_value=late.replace(tzinfo=None)),
    ):
        return refused(deploy.sagemaker.list_endpoints)


PROVOKED: dict[str, Callable[[Deployer], Words]] = {
    "quota": quota,
    "capacity": fault("insufficient_capacity"),
    "image": refusal("image_not_found", lambda deploy: deploy.model()),
    "cloud_control": refusal("unsupported_action", configuration_without_a_model),
    "gated_model": fault("container_exit", words=RECORDED["gated_model"]),
    "image_without_fast_loader": image_without_the_loader,
    "download_timeout": fault("download_timeout"),
    "clock_skew": clock_an_hour_late,
    "archived_object": archived,
    "component_resources": component_too_large,
    "fastload": fault("container_exit", words=RECORDED["fastload"]),
    "access_denied": fault("access_denied", service="s3", key="standard/*"),
    "corrupt_weights": fault("flipped_byte", key="*.safetensors", after_bytes=5),
    "model_data": model_data_in_no_bucket,
    "assume_role": refusal("role_not_assumable", lambda deploy: deploy.model()),
    "out_of_memory": fault("container_exit", words=RECORDED["out_of_memory"]),
    "process_died": fault("container_exit"),
    "health_check": fault("health_check", delay_s=3),
    "throttling": refusal("throttling", lambda deploy: deploy.sagemaker.list_endpoints()),
    "credentials": refusal("expired_token", lambda deploy: deploy.sagemaker.list_endpoints()),
    "unreachable": unreachable,
}


def test_every_known_failure_is_provoked() -> None:
    assert set(PROVOKED) == {known.name for known in EXPLANATIONS}


@pytest.mark.parametrize("name", PROVOKED)
def test_a_provoked_failure_is_explained_as_itself(deploy: Deployer, name: str) -> None:
    reason, lines = PROVOKED[name](deploy)
    reported = explained(RunError(f"the deployment failed: {reason}"), lines)
    known = next(item for item in EXPLANATIONS if item.name == name)
    assert known.cause in reported.message, (reason, lines)
    assert reported.remedy == known.remedy


def test_the_containers_own_words_are_shown_with_the_failure(deploy: Deployer) -> None:
    reason, lines = PROVOKED["out_of_memory"](deploy)
    reported = explained(RunError(f"the deployment failed: {reason}"), lines)
    assert any(RECORDED["out_of_memory"] in line for line in reported.details.splitlines())
