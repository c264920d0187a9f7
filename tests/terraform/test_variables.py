"""Variables and outputs: typed, described, in order, declared once, and refused when they are wrong."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from loadbench.run.terraform.install import child_environment, find_terraform
from tests.terraform.hcl import MODULES, ROOT, attributes, blocks, copy_variables, declared_variables

FILES = sorted(file for file in ROOT.rglob("*.tf") if ".terraform" not in file.parts)
VALID: dict[str, dict[str, Any]] = {
    "endpoint": {
        "accelerators": 1,
        "configuration_name": "bench",
        "download_timeout_s": 600,
        "health_check_timeout_s": 600,
        "inference_component_name": "bench",
        "instance_type": "ml.g5.2xlarge",
        "kind": "inference_component",
        "name": "bench",
    },
    "model": {"environment": {}, "image": "image", "name": "bench"},
    "role": {"name": "bench", "readable_s3_uris": ["s3://models/llama/8b/", "s3://other"]},
    "tags": {},
}


def name_of(file: Path) -> str:
    return str(file.relative_to(ROOT))


@pytest.mark.parametrize("kind", ["variable", "output"])
@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_all_are_described_and_in_alphabetical_order(file: Path, kind: str) -> None:
    found = blocks(file, kind)
    assert list(found) == sorted(found)
    for name, text in found.items():
        assert re.search(r'^  description = ".+"$', text, re.M), name
        assert kind == "output" or re.search(r"^  type +=", text, re.M), name
        assert attributes(text) == sorted(attributes(text)), name


@pytest.mark.parametrize("name", ["endpoint", "model", "role"])
def test_an_object_is_declared_once(name: str) -> None:
    """Else an attribute that one declaration lacks would be dropped between root and module."""
    users = [folder for folder in (ROOT, *MODULES) if name in declared_variables(folder)]
    assert len(users) == 3, "the root, modules/deployment and the module that uses it"
    declarations = {(folder / f"variables-{name}.tf").resolve() for folder in users}
    (declaration,) = declarations
    assert declaration.parent in MODULES
    links = [folder / f"variables-{name}.tf" for folder in users if folder != declaration.parent]
    assert all(not link.readlink().is_absolute() for link in links), "a clone may lie anywhere"


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_every_attribute_is_used(module: Path) -> None:
    if module.name == "deployment":  # hands them on whole
        return
    text = "".join((module / name).read_text() for name in ("main.tf", "outputs.tf"))
    for variable, names in declared_variables(module).items():
        for name in names:
            # Whether there is a role to make is for modules/deployment to say.
            assert f"var.{variable}.{name}" in text or (variable, name) == ("role", "arn"), (variable, name)


def plan(variables: dict[str, Any], folder: Path) -> str:
    """What a real Terraform says about the root's variables; '' when it takes them."""
    copy_variables(folder)
    (folder / "x.auto.tfvars.json").write_text(json.dumps(variables | {"region": "us-west-2"}))
    done = subprocess.run(
        [str(find_terraform().path), "plan", "-input=false", "-no-color"],
        cwd=folder,
        env=child_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if done.returncode == 0 else re.sub(r"[\s│]+", " ", done.stderr)


@pytest.mark.parametrize(
    "role", [{"name": "bench"}, {"arn": "arn:aws:iam::123456789012:role/mine", "name": None}]
)
def test_what_is_right_is_taken(role: dict[str, Any], tmp_path: Path) -> None:
    assert plan(VALID | {"role": role}, tmp_path) == ""


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("endpoint", {"accelerators": 0.5}, "whole number"),
    ("endpoint", {"accelerators": -1}, "whole number"),
    ("endpoint", {"download_timeout_s": 3601}, "endpoint.download_timeout_s: SageMaker allows 60 to 3600"),
    ("endpoint", {"health_check_timeout_s": 59}, "endpoint.health_check_timeout_s: SageMaker allows 60"),
    ("endpoint", {"inference_ami_version": "ami-1"}, "endpoint.inference_ami_version reads"),
    ("endpoint", {"inference_component_name": None}, "inference_component needs one"),
    ("endpoint", {"inference_component_name": "has_underscore"}, "letters, digits and hyphens"),
    ("endpoint", {"instance_count": 0}, "endpoint.instance_count is a whole number"),
    ("endpoint", {"instance_count": 1.5}, "endpoint.instance_count is a whole number"),
    ("endpoint", {"instance_type": "g5.xlarge"}, "reads ml.family.size"),
    ("endpoint", {"kind": "serverless"}, "model_based or inference_component"),
    ("endpoint", {"kind": None}, "model_based or inference_component"),
    ("endpoint", {"min_memory_mib": 127}, "at least 128 MiB"),
    ("endpoint", {"name": "has_underscore"}, "letters, digits and hyphens"),
    ("model", {"data_uri": "s3://models/digest"}, "ends in a slash"),
    ("model", {"optimization_job_name": "job"}, "needs the job's output prefix"),
    ("role", {"name": None}, "unless role.arn is given"),
    ("role", {"name": "has space"}, "unless role.arn is given"),
    ("role", {"readable_s3_uris": ["s3://models/*"]}, "holds no wildcard"),
    ("role", {"readable_s3_uris": ["models/"]}, "reads s3://bucket/prefix/"),
]


@pytest.mark.parametrize(("variable", "change", "message"), WRONG, ids=lambda value: str(value)[:40])
def test_what_would_fail_or_cost_later_is_refused_now(
    variable: str, change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    said = plan(VALID | {variable: VALID[variable] | change}, tmp_path)
    assert "Invalid value for variable" in said
    assert message in said
