"""A bucket as Terraform modules make it: applied, planned without changes, and destroyed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from ...conftest import EmbeddedAws
from ..sagemaker.test_clients import plugin_folder

NAME = "made-by-terraform"


class Folder:
    """A Terraform configuration in a folder of its own."""

    def __init__(self, path: Path, aws: EmbeddedAws) -> None:
        self.path = path
        unset = {name: "" for name in os.environ if name.startswith("AWS_")}
        self.environment = {**os.environ, **unset, **aws.variables, "TF_VAR_name": NAME}

    def run(self, *arguments: str) -> str:
        """Terraform's output. Fails where Terraform does."""
        done = subprocess.run(
            ["terraform", *arguments, "-no-color"],
            cwd=self.path,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=280,
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return done.stdout


@pytest.fixture
def terraform(aws: EmbeddedAws, tmp_path: Path) -> Iterator[Folder]:
    shutil.copy(Path(__file__).parent / "bucket.tf", tmp_path / "main.tf")
    (tmp_path / "provider.tf").write_text('provider "aws" {\n  s3_use_path_style = true\n}\n')
    folder = Folder(tmp_path, aws)
    mirror = plugin_folder()
    folder.run("init", *([f"-plugin-dir={mirror}"] if mirror else []))
    yield folder
    folder.run("destroy", "-auto-approve")


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_bucket_with_everything_that_modules_set_is_applied_planned_empty_and_destroyed(
    aws: EmbeddedAws, terraform: Folder
) -> None:
    terraform.run("apply", "-auto-approve")
    # With -detailed-exitcode, 2 would mean changes.
    terraform.run("plan", "-detailed-exitcode")
    terraform.run("destroy", "-auto-approve")
    with pytest.raises(ClientError, match="404"):
        aws.client("s3").head_bucket(Bucket=NAME)
