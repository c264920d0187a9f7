"""The part that depends on the provider's version: which variant is taken, and whether it fits that version.

Provider 5.100.0 checks the first variant for real (`terraform test`). The second one needs 6.21 or newer; it
is checked against an excerpt of that version's documentation.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from loadbench.run.terraform.install import LOCK_FILE, Binary, locked_version
from loadbench.run.terraform.working_copy import configuration_by, shared_copy
from tests.terraform.hcl import ROOT, declared_variables

EXCERPT = json.loads(
    (Path(__file__).parent / "fixtures" / "aws-6.21-endpoint-configuration.json").read_text(encoding="utf-8")
)
MODULE = Path("modules/component_configuration")
VARIANT = ROOT / "variants" / "provider-6.21"
TERRAFORM = Binary(Path("terraform"), "1.11.4")


def root_with(version: str | None, folder: Path) -> Path:
    """The root with another version of the provider in its lock file, or without a lock file."""
    root = folder / "terraform"
    shutil.copytree(ROOT, root, ignore=shutil.ignore_patterns(".terraform"))
    lock = root / LOCK_FILE
    if version is None:
        lock.unlink()
    else:
        lock.write_text(re.sub(r'(version +=) "[\d.]+"', rf'\1 "{version}"', lock.read_text()))
    assert locked_version(root) == version
    return root


@pytest.mark.parametrize(
    ("version", "is_native"),
    [
        ("5.100.0", False),
        ("6.0.0", False),
        ("6.9.0", False),  # 9 is less than 21
        ("6.20.0", False),
        ("6.21.0", True),
        ("6.55.0", True),
        ("7.0.0", True),
        (None, False),
    ],
)
def test_the_locked_version_chooses_the_variant_and_it_is_named(
    version: str | None, is_native: bool, tmp_path: Path
) -> None:
    root = root_with(version, tmp_path)
    copy = shared_copy(root, TERRAFORM, tmp_path / "private")
    text = (copy / MODULE / "main.tf").read_text()
    assert ("aws_sagemaker_endpoint_configuration" in text) == is_native
    assert ("aws_cloudcontrolapi_resource" in text) != is_native
    said = configuration_by(root)
    assert said.startswith("AWS provider" if is_native else "Cloud Control")
    assert version is None or version in said
    assert not (copy / "variants").exists()
    assert (copy / MODULE / "variables.tf").read_text() == (ROOT / MODULE / "variables.tf").read_text()


def test_another_version_is_another_copy(tmp_path: Path) -> None:
    copies = {
        shared_copy(root_with(version, tmp_path / version), TERRAFORM, tmp_path / "private")
        for version in ("5.100.0", "6.21.0")
    }
    assert len(copies) == 2


def test_a_variant_replaces_files_that_exist_and_declares_the_same_outputs() -> None:
    replaced = [file.relative_to(VARIANT) for file in VARIANT.rglob("*.tf")]
    assert replaced
    assert all((ROOT / place).is_file() for place in replaced)
    outputs = [
        re.findall(r'^output "(\w+)"', (folder / MODULE / "outputs.tf").read_text(), re.M)
        for folder in (ROOT, VARIANT)
    ]
    assert outputs[0] == outputs[1] != []


def test_both_variants_use_every_input_and_no_other() -> None:
    inputs = set(declared_variables(ROOT / MODULE))
    for folder in (ROOT, VARIANT):
        text = (folder / MODULE / "main.tf").read_text()
        assert set(re.findall(r"\bvar\.(\w+)", text)) == inputs


def test_the_endpoint_passes_every_input() -> None:
    """Terraform says nothing about one with a default that is left out."""
    text = (ROOT / "modules" / "endpoint" / "main.tf").read_text()
    (block,) = re.findall(r'^module "configuration" \{\n(.*?)^\}', text, re.M | re.S)
    passed = set(re.findall(r"^  (\w+) +=", block, re.M)) - {"source", "count"}
    assert passed == set(declared_variables(ROOT / MODULE))


def test_the_second_variant_fits_the_documented_schema() -> None:
    text = (VARIANT / MODULE / "main.tf").read_text()
    (body,) = re.findall(rf'^resource "{EXCERPT["resource"]}" "this" \{{\n(.*?)^\}}', text, re.M | re.S)
    assert misfits(tree(body), EXCERPT) == []


@pytest.mark.parametrize(
    ("before", "after", "misfit"),
    [
        ("execution_role_arn =", "role_arn           =", "role_arn"),
        ("variant_name  ", "variant_names ", "production_variants.variant_names"),
        ("routing_strategy = routing", "strategy = routing", "production_variants.routing_config.strategy"),
        ("production_variants {", "variants {", "production_variants is required"),
    ],
)
def test_what_the_schema_does_not_have_is_found(before: str, after: str, misfit: str) -> None:
    text = (VARIANT / MODULE / "main.tf").read_text()
    assert before in text
    (body,) = re.findall(
        rf'^resource "{EXCERPT["resource"]}" "this" \{{\n(.*?)^\}}', text.replace(before, after), re.M | re.S
    )
    assert misfit in misfits(tree(body), EXCERPT)


Tree = dict[str, Any]
_META = {"lifecycle", "depends_on", "count"}


def tree(body: str) -> Tree:
    """Arguments (None) and blocks (their tree) of a resource, as `terraform fmt` lays them out."""
    found: Tree = {}
    lines = iter(body.splitlines())
    for line in lines:
        if argument := re.match(r"^ +(\w+) += ", line):
            found[argument[1]] = None
        elif block := re.match(r'^( +)(?:dynamic "(\w+)"|(\w+)) \{$', line):
            inner = []
            for inner_line in lines:
                if inner_line == f"{block[1]}}}":
                    break
                inner.append(inner_line)
            content = tree("\n".join(inner))
            found[block[2] or block[3]] = content.get("content", content) if block[2] else content
    return found


def misfits(used: Mapping[str, Any], schema: Mapping[str, Any], where: str = "") -> list[str]:
    """What the schema does not have, and what it requires."""
    found = [f"{where}{name} is required" for name in schema["required"] if name not in used]
    for name, inner in used.items():
        if inner is None and name not in schema["arguments"]:
            found.append(f"{where}{name}")
        elif inner is not None and name in schema["blocks"]:
            found += misfits(inner, schema["blocks"][name], f"{where}{name}.")
        elif inner is not None and name not in _META:
            found.append(f"{where}{name}")
    return found
