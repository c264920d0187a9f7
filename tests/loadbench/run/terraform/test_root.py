"""The root, the real provider, the embedded AWS: what is made, what a second look finds, what is left."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from loadbench.errors import RunError
from loadbench.load_paths import EndpointKind, LoadPath
from loadbench.results.run_record import ResourceNames
from loadbench.run.models.resolve import resolve_model
from loadbench.run.removal.remove_resources import find_resources, remove
from loadbench.run.terraform import install
from loadbench.run.terraform.commands import Terraform, TerraformEvent
from loadbench.run.terraform.render import Plan, render
from tests.loadbench.run.terraform.test_render import NASTY, SETTINGS
from tests.terraform.hcl import ROOT

pytestmark = pytest.mark.e2e

REGION = "us-west-2"
BUCKET = "roots-for-real"
PREFIX = f"s3://{BUCKET}/models/tiny/"
ENDPOINT = "module.deployment.module.endpoint.aws_sagemaker_endpoint.this"
# SageMaker's own limits on names and values leave these out.
ENVIRONMENT = {f"TEXT_{name}": text for name, text in NASTY.items() if name not in ("controls", "empty")}


@dataclass(frozen=True)
class Embedded:
    """A running embedded AWS with a model in its S3."""

    state_dir: Path
    environment: Mapping[str, str]
    session: boto3.Session

    def configure(self, **settings: Any) -> None:
        localaws(self.state_dir, "up", "--settings", "-", text=json.dumps({"network": "none"} | settings))


@dataclass(frozen=True)
class Run:
    """One deployment: its plan rendered, its root ready."""

    plan: Plan
    terraform: Terraform
    variables: Path
    state_file: Path
    data_dir: Path
    environment: Mapping[str, str]

    def differences(self) -> str:
        """What `terraform plan` would change now, '' for nothing."""
        done = subprocess.run(
            [
                *(str(install.find_terraform().path), "plan", "-detailed-exitcode", "-no-color"),
                *("-input=false", f"-var-file={self.variables}", f"-state={self.state_file}"),
            ],
            cwd=ROOT,
            env=install.child_environment(self.environment, data_dir=self.data_dir),
            capture_output=True,
            text=True,
            check=False,
        )
        return "" if done.returncode == 0 else done.stdout + done.stderr


def localaws(state_dir: Path, *arguments: str, text: str = "") -> str:
    return subprocess.run(
        [sys.executable, "-m", "localaws", arguments[0], "--state-dir", str(state_dir), *arguments[1:]],
        input=text,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    folder = tmp_path_factory.mktemp("embedded")
    state_dir = folder / "localaws"
    localaws(state_dir, "up", "--settings", "-", text=json.dumps({"network": "none"}))
    try:
        environment = json.loads(localaws(state_dir, "env", "--json")) | {"AWS_REGION": REGION}
        session = boto3.Session(
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
            region_name=REGION,
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL", environment["AWS_ENDPOINT_URL"])
            s3 = session.client("s3")
            s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
            for file in resolve_model("synthetic:llama-tiny", folder / "cache", None).folder.iterdir():
                s3.upload_file(str(file), BUCKET, f"models/tiny/{file.name}")
            yield Embedded(state_dir, environment, session)
    finally:
        localaws(state_dir, "down")


@pytest.fixture
def private_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared by all tests of this module: the provider is installed once."""
    return tmp_path_factory.getbasetemp() / "private"


def begin(embedded: Embedded, private_dir: Path, path: LoadPath, kind: EndpointKind) -> Run:
    run_id = f"20261123-061530-{path}-{secrets.token_hex(2)}"
    base = f"loadbench-{run_id}"
    plan = Plan(
        path=path,
        run_id=run_id,
        region=REGION,
        project="loadbench",
        names=ResourceNames(
            endpoint=base,
            endpoint_configuration=base,
            model=base,
            inference_component=base if kind == "inference_component" else None,
            role=base,
        ),
        image=f"763104351884.dkr.ecr.{REGION}.amazonaws.com/djl-inference:0.32.0-lmi14.0.0-cu126",
        environment=ENVIRONMENT | {"OPTION_DTYPE": "bf16", "OPTION_TENSOR_PARALLEL_DEGREE": "1"},
        model_data_uri=PREFIX,
        endpoint_settings=SETTINGS,
        endpoint_kind=kind,
        health_check_timeout_s=600,
        download_timeout_s=600,
        role_arn=None,
        readable_s3_uris=[PREFIX],
        use_hf_token=False,
        accelerators=1,
        enable_caching=None,
        tags={
            "loadbench:project": "loadbench",
            "loadbench:run-id": run_id,
            "loadbench:path": path,
            "loadbench:expires-at": "2026-11-23T10:15:30Z",
        },
    )
    run_dir = private_dir / "runs" / run_id
    run = Run(
        plan,
        Terraform(ROOT, run_dir / "terraform.tfstate", embedded.environment, run_dir / "terraform.jsonl"),
        render(plan, run_dir),
        run_dir / "terraform.tfstate",
        install.data_dir_of(ROOT, private_dir),
        embedded.environment,
    )
    run.terraform.init()
    return run


@pytest.mark.parametrize(
    ("path", "kind"),
    [("standard", "model_based"), ("fast", "inference_component")],
)
def test_a_deployment_is_what_was_planned_and_leaves_nothing(
    embedded: Embedded, private_dir: Path, path: LoadPath, kind: EndpointKind
) -> None:
    run = begin(embedded, private_dir, path, kind)
    name = run.plan.names.endpoint
    removals: list[str] = []

    outputs = run.terraform.apply(run.variables)

    component = name if kind == "inference_component" else None
    assert outputs["endpoint_name"] == outputs["model_name"] == name
    assert outputs["inference_component_name"] == component
    sagemaker = embedded.session.client("sagemaker")
    container = sagemaker.describe_model(ModelName=name)["PrimaryContainer"]
    assert container["Environment"] == run.plan.environment, "to the letter, through two programs and an API"
    found = find_resources(embedded.session, "loadbench")
    assert {item.run_id for item in found} == {run.plan.run_id}, "everything carries the tags"
    assert {item.expires_at for item in found} == {"2026-11-23T10:15:30Z"}
    assert len(found) == (5 if component else 4)
    assert run.differences() == ""

    def note(event: TerraformEvent) -> None:
        if event.type == "apply_start":
            removals.append(event.resource)

    run.terraform.destroy(run.variables, note)
    assert find_resources(embedded.session, "loadbench") == []
    if component:
        assert removals[0].endswith("aws_cloudcontrolapi_resource.component[0]"), "a component goes first"


def test_it_can_be_removed_whatever_became_of_the_state(embedded: Embedded, private_dir: Path) -> None:
    run = begin(embedded, private_dir, "standard", "inference_component")
    run.terraform.apply(run.variables)
    state = run.state_file.read_bytes()

    run.state_file.write_bytes(state[: len(state) // 2])
    with pytest.raises(RunError):
        run.terraform.destroy(run.variables)
    run.state_file.unlink()
    run.terraform.destroy(run.variables)
    found = find_resources(embedded.session, "loadbench")
    assert len(found) == 5, "without state, Terraform knows of nothing"

    assert remove(embedded.session, found, print) == []
    assert find_resources(embedded.session, "loadbench") == []
    assert remove(embedded.session, found, print) == [], "twice is fine"
    run.state_file.write_bytes(state)
    run.terraform.destroy(run.variables)  # a state of what somebody else has removed


def test_an_interrupt_while_the_endpoint_is_creating_leaves_nothing(
    embedded: Embedded, private_dir: Path
) -> None:
    embedded.configure(provision_s=5)
    run = begin(embedded, private_dir, "standard", "model_based")

    def interrupt_when_asked_for(event: TerraformEvent) -> None:
        if event.type == "apply_start" and event.resource == ENDPOINT:
            os.kill(os.getpid(), signal.SIGINT)

    try:
        with pytest.raises(KeyboardInterrupt):
            run.terraform.apply(run.variables, interrupt_when_asked_for)
        try:
            run.terraform.destroy(run.variables)
        except RunError as error:
            assert "in-progress endpoint" in error.details  # SageMaker's own rule; listing takes over
        assert remove(embedded.session, find_resources(embedded.session, "loadbench"), print) == []
        assert find_resources(embedded.session, "loadbench") == []
    finally:
        embedded.configure()


def test_a_failed_endpoint_tells_why_and_leaves_nothing(embedded: Embedded, private_dir: Path) -> None:
    embedded.configure(faults=[{"kind": "insufficient_capacity", "times": 1}])
    run = begin(embedded, private_dir, "standard", "model_based")
    try:
        with pytest.raises(RunError) as caught:
            run.terraform.apply(run.variables)
        assert "Unable to provision requested ML compute capacity" in caught.value.details
        run.terraform.destroy(run.variables)
        assert find_resources(embedded.session, "loadbench") == []
    finally:
        embedded.configure()
