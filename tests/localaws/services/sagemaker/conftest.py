"""A tiny model in the embedded AWS's S3, and deployments of it that clean up after themselves."""

from __future__ import annotations

import functools
import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ...conftest import EmbeddedAws
from ...tiny_model import write_tiny_model

IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/djl-inference:0.32.0-lmi14.0.0-cu126"
ROLE = "arn:aws:iam::123456789012:role/sagemaker"
INSTANCE_TYPE = "ml.g5.2xlarge"
BUCKET = "tiny-models"
SETTLED = ("InService", "Failed", "COMPLETED", "FAILED", "STOPPED")
PATIENCE_S = 120.0

_numbers = itertools.count(1)


@dataclass
class Deployer:
    """Makes SageMaker resources of the tiny model in one embedded AWS."""

    aws: EmbeddedAws
    endpoints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sagemaker = self.aws.client("sagemaker")
        self.runtime = self.aws.client("sagemaker-runtime")

    def name(self) -> str:
        return f"tiny-{next(_numbers)}"

    def model(self, prefix: str = "standard/", **environment: str) -> str:
        name = self.name()
        source = {"S3Uri": f"s3://{BUCKET}/{prefix}", "S3DataType": "S3Prefix", "CompressionType": "None"}
        self.sagemaker.create_model(
            ModelName=name,
            ExecutionRoleArn=ROLE,
            PrimaryContainer={
                "Image": IMAGE,
                "ModelDataSource": {"S3DataSource": source},
                "Environment": environment,
            },
        )
        return name

    def config(self, model: str | None, instances: int = 1, **variant: Any) -> str:
        name = self.name()
        described = {
            "VariantName": "AllTraffic",
            "InstanceType": INSTANCE_TYPE,
            "InitialInstanceCount": instances,
            **({"ModelName": model} if model else {}),
            **variant,
        }
        role = {} if model else {"ExecutionRoleArn": ROLE}
        self.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[described], **role)
        return name

    def endpoint(self, config: str) -> str:
        name = self.name()
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
        self.endpoints.append(name)
        return name

    def component(self, endpoint: str, model: str, copies: int = 1, **requirements: Any) -> str:
        name = self.name()
        self.sagemaker.create_inference_component(
            InferenceComponentName=name,
            EndpointName=endpoint,
            VariantName="AllTraffic",
            Specification={
                "ModelName": model,
                "ComputeResourceRequirements": {"MinMemoryRequiredInMb": 1024, **requirements},
            },
            RuntimeConfig={"CopyCount": copies},
        )
        return name

    def settled(self, describe: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The first answer with a status that does not change by itself."""
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            answer = describe()
            kinds = ("EndpointStatus", "ComponentStatus", "JobStatus")
            status = next(value for member, value in answer.items() if member.endswith(kinds))
            if status in SETTLED:
                return answer
            assert time.monotonic() < deadline_s, f"still {status}"
            # Describe is held while nothing changes: this does not spin.
            time.sleep(0.02)

    def endpoint_settled(self, name: str) -> dict[str, Any]:
        return self.settled(lambda: self.sagemaker.describe_endpoint(EndpointName=name))

    def component_settled(self, name: str) -> dict[str, Any]:
        return self.settled(lambda: self.sagemaker.describe_inference_component(InferenceComponentName=name))

    def invoke(self, endpoint: str, **arguments: Any) -> Any:
        answer = self.runtime.invoke_endpoint(
            EndpointName=endpoint,
            ContentType="application/json",
            Body=json.dumps({"inputs": "hello", "parameters": {"max_new_tokens": 4}}),
            **arguments,
        )
        return json.loads(answer["Body"].read())

    def processes(self, endpoint: str) -> list[dict[str, Any]]:
        """The endpoint's processes as `localaws status` shows them."""
        report = self.aws.control("GET", "status")[1]["endpoints"]
        found: list[dict[str, Any]] = next(item["processes"] for item in report if item["name"] == endpoint)
        return found

    def clean_up(self) -> None:
        """Delete components and endpoints, whatever state they are in."""
        for name in self.endpoints:
            listed = self.sagemaker.list_inference_components(EndpointNameEquals=name)["InferenceComponents"]
            for item in listed:
                component = item["InferenceComponentName"]
                self.component_settled(component)
                self.sagemaker.delete_inference_component(InferenceComponentName=component)
                self.gone(
                    functools.partial(
                        self.sagemaker.describe_inference_component, InferenceComponentName=component
                    )
                )
            describe = functools.partial(self.sagemaker.describe_endpoint, EndpointName=name)
            try:
                self.endpoint_settled(name)
                self.sagemaker.delete_endpoint(EndpointName=name)
            except ClientError as error:
                assert "Could not find" in str(error)
            self.gone(describe)

    def until(self, true: Callable[[], bool]) -> None:
        """Wait until a condition holds."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not true():
            assert time.monotonic() < deadline_s, "it never came true"
            time.sleep(0.02)

    def gone_from_service(self, name: str) -> None:
        """Wait until an endpoint that was in service is not any more."""

        def changed() -> bool:
            status = self.sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"]
            return bool(status != "InService")

        self.until(changed)

    def gone(self, describe: Callable[[], Any]) -> None:
        """Wait until Describe says that there is no such resource."""
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            try:
                describe()
            except ClientError as error:
                assert "Could not find" in str(error)
                return
            assert time.monotonic() < deadline_s, "still there"
            time.sleep(0.02)


def upload(aws: EmbeddedAws, folder: Path, prefix: str) -> None:
    """Put a folder's files under a prefix of the tests' bucket."""
    s3 = aws.client("s3")
    for path in folder.rglob("*"):
        if path.is_file():
            s3.upload_file(str(path), BUCKET, f"{prefix}{path.relative_to(folder)}")


def fill_bucket(aws: EmbeddedAws, folder: Path) -> None:
    """The tiny model as it is under `standard/`, and the role that may be passed to SageMaker."""
    assert aws.make_role("sagemaker") == ROLE
    aws.client("s3").create_bucket(Bucket=BUCKET)
    upload(aws, write_tiny_model(folder), "standard/")


@pytest.fixture(scope="session")
def _model_in_s3(_shared_aws: EmbeddedAws, tmp_path_factory: pytest.TempPathFactory) -> None:
    fill_bucket(_shared_aws, tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def aws(aws: EmbeddedAws, _model_in_s3: None) -> EmbeddedAws:
    """The shared embedded AWS with the model and the role."""
    return aws


@pytest.fixture
def deploy(aws: EmbeddedAws) -> Iterator[Deployer]:
    """Deployments in the shared embedded AWS."""
    deployer = Deployer(aws)
    yield deployer
    aws.apply()
    deployer.clean_up()


@pytest.fixture
def own_deploy(own_aws: EmbeddedAws, tmp_path: Path) -> Deployer:
    """Deployments in an embedded AWS of the test's own; they go with it."""
    fill_bucket(own_aws, tmp_path / "tiny")
    return Deployer(own_aws)
