"""The README of each module lists its inputs and outputs, and its example works."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from loadbench.run.terraform.install import child_environment, find_terraform, initialize
from tests.terraform.hcl import MODULES, ROOT, attributes, blocks, declared_variables

MOCKED_PROVIDER = """
mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
}
"""
RUN = """
run "NAME" {
  command = plan

  module {
    source = "./examples/NAME"
  }
}
"""


def example_of(module: Path) -> str:
    (code,) = re.findall(
        r"^```hcl\n(.*?)^```", (module / "README.md").read_text(encoding="utf-8"), re.M | re.S
    )
    return str(code)


def inputs(module: Path) -> str:
    rows = {}
    for file in module.glob("*.tf"):
        for name, text in blocks(file, "variable").items():
            kind = re.search(r"^  type += ([\w()]+)", text, re.M)
            assert kind is not None
            shown = f"[object]({file.name})" if attributes(text) else kind[1]
            default = re.search(r"^  default += (.+)$", text, re.M)
            needed = f"`{default[1]}`" if default else "required"
            rows[name] = f"| `{name}` | {shown} | {needed} | {description(text)} |"
    return "\n".join(["| name | type | default | meaning |", "|---|---|---|---|", *sorted(rows.values())])


def outputs(module: Path) -> str:
    found = blocks(module / "outputs.tf", "output")
    rows = [f"| `{name}` | {description(text)} |" for name, text in found.items()]
    return "\n".join(["| name | meaning |", "|---|---|", *rows])


def description(text: str) -> str:
    found = re.search(r'^  description = "(.+)"$', text, re.M)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_a_readme_lists_the_inputs_and_outputs_as_they_are_declared(module: Path) -> None:
    text = (module / "README.md").read_text(encoding="utf-8")
    expected = f"## Inputs\n\n{inputs(module)}\n\n## Outputs\n\n{outputs(module)}\n"
    assert text.endswith(expected), f"replace the end of the README by this:\n\n{expected}"


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_an_example_sets_attributes_that_exist(module: Path) -> None:
    """Terraform says nothing about others."""
    declared = declared_variables(module)
    for variable, body in re.findall(r"^  (\w+) = \{\n(.*?)^  \}", example_of(module), re.M | re.S):
        assert set(re.findall(r"^    (\w+) +=", body, re.M)) <= set(declared[variable])


@pytest.mark.e2e
def test_terraform_plans_every_example(tmp_path: Path) -> None:
    """With the real provider's schema and without its calls."""
    root = tmp_path / "terraform"
    shutil.copytree(ROOT, root, ignore=shutil.ignore_patterns(".terraform", "tests"))
    (root / "tests").mkdir()
    test = [MOCKED_PROVIDER]
    for module in MODULES:
        folder = root / "examples" / module.name
        folder.mkdir(parents=True)
        code = example_of(module)
        assert f'source = "./modules/{module.name}"' in code
        (folder / "main.tf").write_text(code.replace('"./modules/', '"../../modules/'), encoding="utf-8")
        shutil.copy(module / "versions.tf", folder)  # names the provider that is mocked
        test.append(RUN.replace("NAME", module.name))
    (root / "tests" / "examples.tftest.hcl").write_text("\n".join(test), encoding="utf-8")
    binary, data_dir = find_terraform(), tmp_path / "data"
    initialize(binary, root, data_dir, cache_dir=tmp_path / "cache")
    done = subprocess.run(
        [str(binary.path), "test", "-no-color"],
        cwd=root,
        env=child_environment(data_dir=data_dir),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(MODULES)} passed, 0 failed" in done.stdout
