"""Clients that nobody here wrote, unmodified: sagemaker-core, AWS CLI v1, Terraform's AWS provider."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import BUCKET, IMAGE, INSTANCE_TYPE, ROLE, Deployer

pytestmark = pytest.mark.slow

BIN = Path(sys.executable).parent
HERE = Path(__file__).parent


@pytest.fixture
def environment(deploy: Deployer, tmp_path: Path) -> dict[str, str]:
    """What `localaws env` gives, a home of its own, and nothing else of AWS."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TF_"))}
    return {**kept, **deploy.aws.variables, "HOME": str(tmp_path)}


def test_sagemaker_cores_resources_are_created_waited_for_got_and_deleted(
    deploy: Deployer, environment: dict[str, str]
) -> None:
    name = deploy.name()

    done = subprocess.run(
        [sys.executable, str(HERE / "sagemaker_core_client.py"), IMAGE, ROLE, BUCKET, INSTANCE_TYPE, name],
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
    )

    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert done.stdout.endswith("all done\n")


def test_the_aws_command_line_describes_invokes_and_reads_logs(
    deploy: Deployer, environment: dict[str, str], tmp_path: Path
) -> None:
    name = deploy.endpoint(deploy.config(deploy.model()))
    deploy.endpoint_settled(name)
    out = tmp_path / "answer.json"

    def cli(*arguments: str) -> Any:
        done = subprocess.run(
            [str(BIN / "aws"), *arguments, "--output", "json"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout else None

    described = cli("sagemaker", "describe-endpoint", "--endpoint-name", name)
    assert described["EndpointStatus"] == "InService"
    cli("sagemaker", "wait", "endpoint-in-service", "--endpoint-name", name)
    body = json.dumps({"inputs": "hello", "parameters": {"max_new_tokens": 2}})
    invocation = ("--endpoint-name", name, "--content-type", "application/json", "--body", body, str(out))
    cli("sagemaker-runtime", "invoke-endpoint", *invocation)
    assert json.loads(out.read_text())["generated_text"]
    group = f"/aws/sagemaker/Endpoints/{name}"
    lines = cli("logs", "filter-log-events", "--log-group-name", group)["events"]
    assert any("initialized" in line["message"] for line in lines)
    refused = subprocess.run(
        [str(BIN / "aws"), "sagemaker", "describe-endpoint", "--endpoint-name", "absent"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert refused.returncode != 0
    assert "(ValidationException) when calling the DescribeEndpoint operation" in refused.stderr


class Terraform:
    """Runs real Terraform with the real provider in a folder of its own."""

    def __init__(self, folder: Path, environment: dict[str, str], **variables: Any) -> None:
        self.folder = folder
        self.environment = {**environment, "TF_IN_AUTOMATION": "1"}
        self.variables = variables
        (folder / "main.tf").write_text((HERE / "clients.tf").read_text())

    def run(self, *arguments: str, status: int = 0) -> str:
        done = subprocess.run(
            ["terraform", *arguments, "-no-color"],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=280,
        )
        assert done.returncode == status, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    def planned(self, verb: str, *arguments: str, status: int = 0) -> str:
        values = [f"-var={name}={value}" for name, value in self.variables.items()]
        return self.run(verb, "-input=false", *values, *arguments, status=status)

    def unchanged(self) -> None:
        """A plan after a refresh has nothing to do (with -detailed-exitcode, 2 would mean changes)."""
        self.planned("plan", "-detailed-exitcode")


def plugin_folder() -> Path | None:
    """A local mirror of the provider, found as docs/facts/terraform.md#provider-mirrors describes."""
    home = Path.home() / ".terraform.d/plugins"
    nearby = [path for root in ("/opt", "/srv", "/usr/local/share") for path in Path(root).glob("*")]
    wanted = "registry.terraform.io/hashicorp/aws/5.100.0"
    return next((path for path in [home, *nearby] if (path / wanted).is_dir()), None)


@pytest.fixture
def terraform(deploy: Deployer, environment: dict[str, str], tmp_path: Path) -> Iterator[Terraform]:
    folder = tmp_path / "terraform"
    folder.mkdir()
    name = deploy.name()
    settings = {"name": name, "bucket": BUCKET, "image": IMAGE, "role": ROLE, "instance_type": INSTANCE_TYPE}
    terraform = Terraform(folder, environment, **settings)
    mirror = plugin_folder()
    terraform.run("init", *([f"-plugin-dir={mirror}"] if mirror else []))
    yield terraform
    terraform.planned("destroy", "-auto-approve")


@pytest.mark.e2e
def test_the_terraform_provider_creates_refreshes_updates_imports_and_destroys(
    deploy: Deployer, terraform: Terraform
) -> None:
    name = terraform.variables["name"]
    terraform.planned("apply", "-auto-approve")
    terraform.unchanged()
    assert deploy.invoke(f"{name}-model")["generated_text"]
    assert deploy.invoke(f"{name}-shared", InferenceComponentName=f"{name}-component")["generated_text"]

    terraform.variables |= {"copies": 2, "generation": "b", "tag": "changed"}
    terraform.planned("apply", "-auto-approve")
    terraform.unchanged()
    assert len(deploy.processes(f"{name}-shared")) == 2
    described = deploy.sagemaker.describe_endpoint(EndpointName=f"{name}-model")
    assert described["EndpointConfigName"] == f"{name}-b"
    rollback = described["LastDeploymentConfig"]["AutoRollbackConfiguration"]
    assert rollback == {"Alarms": [{"AlarmName": f"{name}-errors"}]}
    arn = described["EndpointArn"]
    assert deploy.sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "project", "Value": "changed"}]

    imported = {
        "aws_sagemaker_model.model": f"{name}-model",
        "aws_sagemaker_endpoint_configuration.model": f"{name}-b",
        "aws_sagemaker_endpoint.model": f"{name}-model",
        "aws_cloudwatch_metric_alarm.errors": f"{name}-errors",
    }
    for address, identifier in imported.items():
        terraform.run("state", "rm", address)
        terraform.planned("import", address, identifier)
    terraform.unchanged()

    terraform.planned("destroy", "-auto-approve")
    assert (
        deploy.aws.client("cloudwatch").describe_alarms(AlarmNames=[f"{name}-errors"])["MetricAlarms"] == []
    )
    found = deploy.sagemaker.list_endpoints(NameContains=name)["Endpoints"]
    assert found == deploy.sagemaker.list_models(NameContains=name)["Models"] == []
    assert deploy.sagemaker.list_inference_components(NameContains=name)["InferenceComponents"] == []


@pytest.mark.e2e
def test_a_component_that_fails_fails_the_apply_with_its_reason(
    deploy: Deployer, terraform: Terraform
) -> None:
    deploy.aws.apply(faults=[{"kind": "container_exit", "inference_component": "*"}])

    said = terraform.folder / "said"
    with said.open("w") as file:
        subprocess.run(
            ["terraform", "apply", "-auto-approve", "-no-color", "-input=false"]
            + [f"-var={name}={value}" for name, value in terraform.variables.items()],
            cwd=terraform.folder,
            env=terraform.environment,
            stdout=file,
            stderr=subprocess.STDOUT,
            timeout=200,
        )

    text = " ".join(said.read_text().replace("│", " ").split())
    assert "did not pass the ping health check" in text
    assert "/aws/sagemaker/InferenceComponents/" in text
