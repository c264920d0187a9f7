"""Tiny real roots, and a stand-in for the Terraform binary where the real one cannot be made to do it."""

from __future__ import annotations

import stat
import sys
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from loadbench.run.terraform.commands import Terraform
from loadbench.run.terraform.install import Binary

# terraform_data is built in: real applies in a tenth of a second, without any provider.
TINY_ROOT = """
variable "environment" {
  type    = map(string)
  default = {}
}

variable "seconds" {
  type    = number
  default = 0
}

variable "hugging_face_token" {
  type      = string
  default   = ""
  sensitive = true
}

resource "terraform_data" "first" {
  input = var.environment
}

resource "terraform_data" "second" {
  input = var.hugging_face_token

  provisioner "local-exec" {
    command = "exec sleep ${var.seconds}"
  }

  depends_on = [terraform_data.first]
}
"""
TINY_OUTPUTS = """
output "environment" {
  value = base64encode(jsonencode(terraform_data.first.output))
}

output "nothing" {
  value = null
}
"""

MakeTerraform = Callable[..., Terraform]


@pytest.fixture
def tiny_root(tmp_path: Path) -> Path:
    root = tmp_path / "terraform" / "tiny"
    root.mkdir(parents=True)
    (root / "main.tf").write_text(TINY_ROOT)
    (root / "outputs.tf").write_text(TINY_OUTPUTS)
    return root


@pytest.fixture
def make_terraform(tmp_path: Path, tiny_root: Path) -> MakeTerraform:
    """A Terraform on the tiny root; with `script`, its binary is that Python program instead."""

    def make(script: str | None = None, environment: Mapping[str, str] | None = None) -> Terraform:
        binary = None
        if script is not None:
            file = tmp_path / "bin" / "terraform"
            file.parent.mkdir(exist_ok=True)
            file.write_text(f"#!{sys.executable}\n{textwrap.dedent(script)}")
            file.chmod(file.stat().st_mode | stat.S_IXUSR)
            binary = Binary(file, "1.11.4")
        return Terraform(
            tiny_root,
            tmp_path / "private" / "runs" / "a-run" / "terraform.tfstate",
            environment or {},
            tmp_path / "results" / "a-run" / "terraform.jsonl",
            binary=binary,
        )

    return make


@pytest.fixture
def no_variables(tmp_path: Path) -> Path:
    file = tmp_path / "tiny.tfvars.json"
    file.write_text("{}")
    return file
