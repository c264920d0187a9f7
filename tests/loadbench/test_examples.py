"""Every configuration in docs/examples can be used: it loads, renders, and Terraform takes what it says."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import boto3
import pytest

from loadbench.config import Config, load_config
from loadbench.run.deployment_plan import rendered_variables
from loadbench.run.preflight import Check, container
from loadbench.run.preflight.check_result import CheckContext
from loadbench.run.run_context import RunContext
from loadbench.run.terraform.install import child_environment, find_terraform
from loadbench.target import Account
from loadbench.ui import Ui
from loadbench.workspace import Workspace
from tests.terraform.hcl import copy_variables

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "docs" / "examples").glob("*.yaml"))
LOAD_PATHS = ("standard", "fast")
TIMEOUT_S = 120


@pytest.fixture(params=EXAMPLES, ids=lambda file: file.stem)
def config(request: pytest.FixtureRequest) -> Config:
    return load_config(request.param)


def context(config: Config, home: Path) -> RunContext:
    session = boto3.Session(
        region_name=config.region, aws_access_key_id="key", aws_secret_access_key="secret"
    )
    account = Account(config.target, config.region, "123456789012", session, {})
    return RunContext(config, Workspace(ROOT, home), account, Ui(), ["loadbench"])


def test_the_examples_are_those_that_the_pages_name() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    named = [
        name
        for page in pages
        for name in re.findall(r"examples/([\w.-]+\.yaml)", page.read_text(encoding="utf-8"))
    ]
    assert sorted(set(named)) == [file.name for file in EXAMPLES]


def test_an_example_says_which_model_each_container_gets(config: Config) -> None:
    if config.fastload_info is not None:  # vLLM's own image: the model data, or what a run fills in
        assert config.target == "local"
        assert config.fastload_info.option("LOAD_FORMAT") == "fastload"
        return
    assert config.target == "aws"
    for path in LOAD_PATHS:
        info = config.deployment(path)
        assert info.container_env_vars["HF_MODEL_ID"] == info.hf_model_id


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_the_command_in_an_example_uses_that_example(file: Path) -> None:
    assert f"--config docs/examples/{file.name}\n" in file.read_text(encoding="utf-8")


def test_image_degree_and_instance_fit_together(config: Config) -> None:
    context = CheckContext(config, LOAD_PATHS, None, None)
    found: list[Check] = [*container.image(context), *container.accelerators(context)]
    assert found
    assert [check for check in found if check.status != "ok"] == []


@pytest.mark.parametrize("path", LOAD_PATHS)
def test_terraform_takes_what_an_example_renders(config: Config, path: str, tmp_path: Path) -> None:
    """The real root's variables, types and validations included, without its provider."""
    copy_variables(tmp_path)
    variables = tmp_path / f"{path}.auto.tfvars.json"
    variables.write_text(rendered_variables(context(config, tmp_path), path), encoding="utf-8")
    done = subprocess.run(
        [str(find_terraform().path), "plan", "-input=false", "-no-color"],
        cwd=tmp_path,
        env=child_environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def variables(config: Config, path: str, home: Path) -> Any:
    return json.loads(rendered_variables(context(config, home), path))


def test_the_seeds_example_is_the_seeds_configuration_in_the_dtype_of_its_shards() -> None:
    seed = load_config(ROOT / "tests" / "loadbench" / "fixtures" / "seed.yaml")
    example = load_config(ROOT / "docs" / "examples" / "llama-3.1-8b-g5.2xlarge.yaml")
    for path in LOAD_PATHS:
        ours = example.deployment(path).model_copy(update={"bucket": None})
        section = seed.deployment(path)
        environment = {**section.container_env_vars, "OPTION_DTYPE": "bf16"}
        assert ours == section.model_copy(update={"container_env_vars": environment})


def test_like_for_like_both_paths_differ_in_what_they_load_only(tmp_path: Path) -> None:
    config = load_config(ROOT / "docs" / "examples" / "like-for-like.yaml")
    standard, fast = (variables(config, path, tmp_path) for path in LOAD_PATHS)
    run = re.compile(r"\d{8}-\d{6}-\w+-[0-9a-f]{4}|\d{4}-\d\d-\d\dT[\d:]+Z")
    different = {
        (name, key)
        for name in ("endpoint", "model", "role", "tags")
        for key in standard[name]
        if run.sub("", json.dumps(standard[name][key])) != run.sub("", json.dumps(fast[name][key]))
    }
    assert standard["region"] == fast["region"]
    # The tag with the path's name, and the degree that shards are tied to.
    assert different == {
        ("model", "data_uri"),
        ("model", "environment"),
        ("model", "optimization_job_name"),
        ("role", "readable_s3_uris"),
        ("tags", "loadbench:path"),
    }
    assert standard["model"]["data_uri"].startswith("s3://your-bucket/models/")
    assert fast["model"]["data_uri"].startswith("s3://your-bucket/optimized/")


def test_tensor_parallel_degree_is_the_same_number_everywhere(tmp_path: Path) -> None:
    config = load_config(ROOT / "docs" / "examples" / "tensor-parallel-g5.12xlarge.yaml")
    for path in LOAD_PATHS:
        found = variables(config, path, tmp_path)
        assert found["endpoint"]["accelerators"] == 4
        assert found["model"]["environment"]["OPTION_TENSOR_PARALLEL_DEGREE"] == "4"
