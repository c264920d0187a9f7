"""State in S3: real Terraform, the embedded AWS's object store, and two folders that share nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest

from loadbench.config import load_config
from loadbench.errors import LeftoverError
from loadbench.run import deployment
from loadbench.run.removal.deployed_runs import DeployedRun, runs_with_state
from loadbench.run.removal.remove_run import remove_run
from loadbench.run.run_context import RunContext
from loadbench.run.terraform import remote_state
from loadbench.run.terraform.commands import Terraform
from loadbench.target import Account
from loadbench.ui import Ui
from loadbench.workspace import Workspace

pytestmark = pytest.mark.e2e

CONFIG = Path(__file__).parents[4] / "config.yaml"
REGION = "us-west-2"
BUCKET = "state-of-many"
RUN_ID = "20261123-061530-standard-abcd"
ROOT = """
variable "wait_for" { type = string }

resource "terraform_data" "this" {
  input = "made"
  provisioner "local-exec" {
    command = "until test -e '${var.wait_for}'; do sleep 0.05; done"
  }
}

output "made" { value = terraform_data.this.output }
"""


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    state_dir = str(tmp_path_factory.mktemp("embedded"))

    def localaws(name: str, *arguments: str) -> str:
        command = [sys.executable, "-m", "localaws", name, "--state-dir", state_dir, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    localaws("up")
    try:
        yield json.loads(localaws("env", "--json")) | {"AWS_REGION": REGION}
    finally:
        localaws("down")


@pytest.fixture
def assets(tmp_path: Path) -> Path:
    root = tmp_path / "assets" / "terraform"
    root.mkdir(parents=True)
    (root / "main.tf").write_text(ROOT)
    (root / "outputs.tf").write_text("")
    return tmp_path / "assets"


def bench_in(home: Path, assets: Path, aws: Mapping[str, str]) -> RunContext:
    home.mkdir()
    session = boto3.Session(aws["AWS_ACCESS_KEY_ID"], aws["AWS_SECRET_ACCESS_KEY"], region_name=REGION)
    account = Account("local", REGION, "123456789012", session, aws)
    config = load_config(CONFIG, [f"state.bucket={BUCKET}"])
    return RunContext(config, Workspace(assets, home), account, Ui(), [])


def start(context: RunContext, wait_for: Path) -> tuple[Terraform, Path]:
    variables = context.workspace.run_dir(RUN_ID) / "standard.tfvars.json"
    variables.parent.mkdir(parents=True)
    variables.write_text(json.dumps({"wait_for": str(wait_for)}))
    remote_state.begin(context, RUN_ID, variables)
    terraform = deployment.terraform_for(context, RUN_ID)
    terraform.init()
    return terraform, variables


def only_run(context: RunContext) -> DeployedRun:
    (run,) = runs_with_state(context.workspace, context.config)
    return run


def objects(context: RunContext) -> dict[str, Any]:
    client = context.account.session.client("s3")
    found = client.list_objects_v2(Bucket=BUCKET).get("Contents", [])
    return {item["Key"].rpartition("/")[2]: item["Key"] for item in found}


def test_another_checkout_finds_locks_and_destroys_a_run(
    aws: Mapping[str, str], assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws["AWS_ENDPOINT_URL"])
    here, there = (bench_in(tmp_path / name, assets, aws) for name in ("here", "there"))
    assert remote_state.adopt(there) == [], "no bucket yet"
    go = tmp_path / "go"
    terraform, variables = start(here, go)
    outputs: dict[str, Any] = {}
    applying = threading.Thread(target=lambda: outputs.update(terraform.apply(variables)))
    applying.start()
    try:
        deadline = time.monotonic() + 60
        while "terraform.tfstate.tflock" not in objects(here):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert remote_state.adopt(there) == [RUN_ID]
        with pytest.raises(LeftoverError, match="is using this run's state since") as caught:
            remove_run(there, only_run(there))
        assert f"{BUCKET}/terraform-state/loadbench/{RUN_ID}/terraform.tfstate.tflock" in caught.value.remedy
    finally:
        go.touch()
        applying.join()

    assert outputs == {"made": "made"}
    keys = objects(here)
    assert set(keys) == {"terraform.tfstate", "standard.tfvars.json"}, "the lock is gone"
    client = here.account.session.client("s3")
    state = json.loads(client.get_object(Bucket=BUCKET, Key=keys["terraform.tfstate"])["Body"].read())
    assert state["outputs"]["made"]["value"] == "made"
    local = [file for file in tmp_path.rglob("terraform.tfstate") if "resources" in file.read_text()]
    assert local == [], "what lies here names the backend and holds no state"

    assert remote_state.adopt(there) == [], "known by now"
    remove_run(there, only_run(there))
    assert objects(there) == {}
    assert not there.workspace.run_dir(RUN_ID).exists()


def test_a_run_stays_where_it_is_when_the_configuration_changes(
    aws: Mapping[str, str], assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws["AWS_ENDPOINT_URL"])
    before = bench_in(tmp_path / "home", assets, aws)
    terraform, variables = start(before, tmp_path)
    terraform.apply(variables)
    after = RunContext(load_config(CONFIG), before.workspace, before.account, Ui(), [])
    remove_run(after, only_run(after))
    assert objects(before) == {}
