"""Whatever a plan says reaches Terraform unchanged, or is refused by name."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
import subprocess
import tempfile
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadbench.config import EndpointSettings
from loadbench.errors import ConfigError, RunError
from loadbench.results.run_record import ResourceNames
from loadbench.run.terraform.install import child_environment, find_terraform
from loadbench.run.terraform.render import Plan, render
from tests.terraform.hcl import ROOT, copy_variables, declared_variables

NASTY = {
    "quotes": "\"'`",
    "newlines": "one\ntwo\r\n\tthree",
    "template": "${var.x} $${y} %{ if true }%{ endif } %%{",
    "backslashes": "\\n \\u0041 \\",
    "emoji": "👩‍👩‍👧 ß 漢字 \U0010ffff",
    "json": '{"a": [1, null]}',
    "jinja": "{{ plan }} {% raw %} {# gone? #}",
    "markup": "<b>&amp;</b>",
    "controls": "\x00\x07\x1b\x7f\u2028\ufeff",
    "spaces": "  padded  ",
    "empty": "",
}
SETTINGS = EndpointSettings(instance_type="ml.g5.2xlarge").model_dump()


def make_plan(**changes: Any) -> Plan:
    plan = Plan(
        path="standard",
        run_id="20261123-061530-standard-4f2a",
        region="us-west-2",
        project="loadbench",
        names=ResourceNames(
            endpoint="bench", endpoint_configuration="bench-config", model="bench-model", role="bench-role"
        ),
        image="763104351884.dkr.ecr.us-west-2.amazonaws.com/djl-inference:0.32.0-lmi14.0.0-cu126",
        environment={"OPTION_DTYPE": "bf16"},
        model_data_uri="s3://models/digest/",
        endpoint_settings=SETTINGS,
        endpoint_kind="model_based",
        health_check_timeout_s=600,
        download_timeout_s=1800,
        role_arn=None,
        readable_s3_uris=["s3://models/digest/"],
        use_hf_token=False,
        accelerators=1,
        enable_caching=None,
        tags={"loadbench:project": "loadbench"},
    )
    return dataclasses.replace(plan, **changes)


def through_terraform(environment: Mapping[str, str]) -> dict[str, str]:
    """The container environment as a real Terraform reads it from the rendered file."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        copy_variables(root)
        rendered = render(make_plan(environment=environment), root)
        done = subprocess.run(
            [str(find_terraform().path), "console", f"-var-file={rendered}"],
            input="base64encode(jsonencode(var.model.environment))\n",
            cwd=root,
            env=child_environment(),
            capture_output=True,
            text=True,
            check=True,
        )
    answer: dict[str, str] = json.loads(base64.b64decode(done.stdout.strip().strip('"')))
    return answer


def test_nasty_values_reach_terraform_unchanged() -> None:
    assert through_terraform(NASTY) == NASTY


# Terraform's tables of composed forms are another Unicode version's: leave unassigned characters (Cn) out.
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cn"]), max_size=40).filter(
    lambda text: unicodedata.is_normalized("NFC", text)
)


@settings(max_examples=20, deadline=None)
@given(values=st.lists(TEXT, min_size=30, max_size=60))
def test_any_string_reaches_terraform_unchanged(values: list[str]) -> None:
    environment = {f"KEY_{index}": value for index, value in enumerate(values)}
    assert through_terraform(environment) == environment


@pytest.mark.parametrize("value", ["cafe\u0301", "\u2126 is the ohm sign", "broken \ud800"])
def test_a_string_that_terraform_would_change_is_refused_by_name(value: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="GREETING"):
        render(make_plan(environment={"GREETING": value}), tmp_path)


def test_terraform_really_changes_text_in_decomposed_form(tmp_path: Path) -> None:
    """The reason for the refusal; when this fails, the refusal can go."""
    (tmp_path / "main.tf").write_text('variable "text" {\n  type = string\n}\n')
    done = subprocess.run(
        [str(find_terraform().path), "console"],
        input="length(base64encode(var.text))\n",
        cwd=tmp_path,
        env=child_environment({"TF_VAR_text": "e\u0301"}),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "4", "three bytes became two"


def test_the_file_sets_exactly_the_variables_and_their_attributes(tmp_path: Path) -> None:
    """Terraform drops an attribute that it does not know, and takes the default of one that is missing."""
    rendered = render(make_plan(path="fast"), tmp_path)
    assert rendered.name == "fast.tfvars.json"
    declared = declared_variables(ROOT)
    del declared["hugging_face_token"]  # comes from the process's environment, never from a file
    found = json.loads(rendered.read_text())
    assert {name: sorted(value) if declared[name] else [] for name, value in found.items()} == declared


def test_every_value_of_the_plan_arrives_under_its_name(tmp_path: Path) -> None:
    plan = make_plan(
        path="fast",
        endpoint_settings=SETTINGS | {"inference_ami_version": "al2-ami-sagemaker-inference-gpu-3-1"},
        names=ResourceNames(
            endpoint="e",
            endpoint_configuration="c",
            model="m",
            inference_component="i",
            optimization_job="o",
        ),
        role_arn="arn:aws:iam::123456789012:role/mine",
        endpoint_kind="inference_component",
        enable_caching=False,
        use_hf_token=True,
    )
    assert json.loads(render(plan, tmp_path).read_text()) == {
        "endpoint": {
            **plan.endpoint_settings,
            "accelerators": 1,
            "configuration_name": "c",
            "download_timeout_s": 1800,
            "enable_caching": False,
            "health_check_timeout_s": 600,
            "inference_component_name": "i",
            "kind": "inference_component",
            "name": "e",
        },
        "model": {
            "data_uri": "s3://models/digest/",
            "environment": {"OPTION_DTYPE": "bf16"},
            "image": plan.image,
            "name": "m",
            "optimization_job_name": "o",
            "use_hugging_face_token": True,
        },
        "region": "us-west-2",
        "role": {
            "arn": "arn:aws:iam::123456789012:role/mine",
            "name": None,
            "readable_s3_uris": ["s3://models/digest/"],
        },
        "tags": {"loadbench:project": "loadbench"},
    }


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        ('{"image": {{ plan.image }}}', "filter `json`"),
        ('{"image": "{{ plan.image }}"}', "filter `json`"),
        ('{"image": {{ plan.imgae | json }}}', "imgae"),
        ('{"image": {{ plan.image | json }},}', "does not produce JSON"),
        ("{% if %}", "does not produce JSON"),
        ('{"model": {"environment": {}}}', "changes the container's environment"),
        ("[]", "changes the container's environment"),
    ],
)
def test_a_broken_template_is_distinguished_from_a_broken_configuration(
    template: str, complaint: str, tmp_path: Path
) -> None:
    (tmp_path / "deployment.tfvars.json.j2").write_text(template)
    with pytest.raises(RunError, match=re.escape(complaint)) as caught:
        render(make_plan(), tmp_path / "out", templates=tmp_path)
    assert "deployment.tfvars.json.j2" in caught.value.message
    assert not (tmp_path / "out").exists()
