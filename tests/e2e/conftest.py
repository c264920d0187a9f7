"""A checkout of its own for every module: the real verbs, with the real Terraform and real model servers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
VERB_TIMEOUT_S = 600  # a comparison on a busy machine; ends a hanging command only


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test here may take as long as its commands."""
    for item in items:
        if Path(__file__).parent in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(VERB_TIMEOUT_S + 300))


@dataclass(frozen=True)
class Checkout:
    """A folder to work in, with its own embedded AWS and its own results."""

    home: Path
    python: str = sys.executable

    def loadbench(
        self, *arguments: str, exit_code: int = 0, timeout_s: float = VERB_TIMEOUT_S
    ) -> subprocess.CompletedProcess[str]:
        """Run one command and check how it ended."""
        done = subprocess.run(
            [self.python, "-c", "from loadbench.cli import main; main()", *arguments],
            cwd=self.home,
            env=self.plain_environment(),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert done.returncode == exit_code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Start one command and go on; `communicate()[0]` is all it says."""
        return subprocess.Popen(
            [self.python, "-c", "from loadbench.cli import main; main()", *arguments],
            cwd=self.home,
            env=self.plain_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def plain_environment(self) -> dict[str, str]:
        """This process's environment without anybody's AWS variables, and with no way to other code."""
        unwanted = ("AWS_", "PYTHONPATH")
        return {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}

    def aws_environment(self) -> dict[str, str]:
        """What `eval "$(loadbench local env)"` gives a shell."""
        exported: dict[str, str] = json.loads(self.loadbench("local", "env", "--json").stdout)
        return self.plain_environment() | exported

    def aws(self, *arguments: str) -> str:
        """The plain AWS CLI, as a user would call it."""
        command = [str(Path(sys.executable).with_name("aws")), *arguments]
        done = subprocess.run(
            command, env=self.aws_environment(), capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def client(self, service: str) -> Any:
        """A boto3 client of this checkout's embedded AWS."""
        import boto3

        environment = self.aws_environment()
        return boto3.client(
            service,
            region_name=environment["AWS_REGION"],
            endpoint_url=environment["AWS_ENDPOINT_URL"],
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        )

    def local_status(self) -> Any:
        """What `loadbench local status --json` tells."""
        return json.loads(self.loadbench("local", "status", "--json").stdout)

    def everything_left(self) -> dict[str, list[str]]:
        """Names of all that exists in the account, by kind."""
        client = self.client("sagemaker")
        return {
            "endpoints": [item["EndpointName"] for item in client.list_endpoints()["Endpoints"]],
            "components": [
                item["InferenceComponentName"]
                for item in client.list_inference_components()["InferenceComponents"]
            ],
            "configurations": [
                item["EndpointConfigName"] for item in client.list_endpoint_configs()["EndpointConfigs"]
            ],
            "models": [item["ModelName"] for item in client.list_models()["Models"]],
            "roles": [item["RoleName"] for item in self.client("iam").list_roles()["Roles"]],
        }


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    home = tmp_path_factory.mktemp("checkout")
    text = (ROOT / "config.yaml").read_text(encoding="utf-8")
    # The default's slow link makes a demonstration; here it would cost every deployment seven seconds.
    slow, fast = "instance_bytes_per_s: 40.0e+6", "instance_bytes_per_s: 1.25e+9"
    assert slow in text
    (home / "config.yaml").write_text(text.replace(slow, fast), encoding="utf-8")
    place = Checkout(home)
    yield place
    place.loadbench("local", "down")
