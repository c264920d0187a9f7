"""What Terraform works on is a copy: nothing is written into the package or the checkout."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from loadbench.run.terraform.commands import Terraform
from loadbench.run.terraform.install import (
    LOCK_FILE,
    Binary,
    child_environment,
    find_plugins,
    find_terraform,
    locked_version,
)
from loadbench.run.terraform.working_copy import own_copy, removal_folder, shared_copy
from loadbench.workspace import Workspace

SOURCE = Workspace.here().terraform_root
TERRAFORM = Binary(Path("terraform"), "1.11.4")
OPENTOFU = Binary(Path("tofu"), "1.9.0", "OpenTofu")


def tree(folder: Path) -> dict[Path, bytes]:
    return {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_one_copy_for_the_same_code_and_another_for_changed_code(tiny_root: Path, tmp_path: Path) -> None:
    (tiny_root / "terraform.tfstate").write_text("secret")
    (tiny_root / ".terraform").mkdir()
    (tiny_root / ".terraform" / "plugin").write_text("large")
    first = shared_copy(tiny_root, TERRAFORM, tmp_path / "private")
    assert set(tree(first)) == {Path("main.tf"), Path("outputs.tf")}, "code only, no state, no plugins"
    (first / LOCK_FILE).write_text("# what init adds stays\n")
    assert shared_copy(tiny_root, TERRAFORM, tmp_path / "private") == first
    assert (first / LOCK_FILE).exists()
    (tiny_root / "main.tf").write_text("# changed\n")
    second = shared_copy(tiny_root, TERRAFORM, tmp_path / "private")
    assert second != first
    assert (second / "main.tf").read_text() == "# changed\n"


def test_read_only_code_is_enough(tiny_root: Path, no_variables: Path, tmp_path: Path) -> None:
    """As in a package that somebody else has installed. (Root may write anyway, hence the comparison.)"""
    for file in (tiny_root, *tiny_root.iterdir()):
        file.chmod(file.stat().st_mode & ~0o222)
    before = tree(tiny_root)
    state_file = tmp_path / "private" / "runs" / "a-run" / "terraform.tfstate"
    terraform = Terraform(tiny_root, state_file, {}, tmp_path / "log")
    terraform.init()
    terraform.apply(no_variables)
    terraform.destroy(no_variables)
    assert tree(tiny_root) == before
    tiny_root.chmod(0o755)


def test_a_copy_holds_the_modules_and_the_lock_and_no_link(tmp_path: Path) -> None:
    copy = shared_copy(SOURCE, TERRAFORM, tmp_path)
    assert (copy / LOCK_FILE).read_bytes() == (SOURCE / LOCK_FILE).read_bytes()
    assert tree(copy / "modules") == tree(SOURCE / "modules")
    assert not [file for file in copy.rglob("*") if file.is_symlink()]


def test_a_run_of_its_own_gets_its_backend_and_the_root_none(tmp_path: Path) -> None:
    backend = {"bucket": "state", "key": "a/b"}
    copy = own_copy(SOURCE, TERRAFORM, tmp_path / "run", backend)
    override = json.loads((copy / "backend_override.tf.json").read_text())
    assert override == {"terraform": {"backend": {"s3": backend}}}
    assert not list(SOURCE.rglob("*override*"))
    assert json.loads((removal_folder(copy) / "backend_override.tf.json").read_text()) == override


def test_opentofu_gets_the_same_version_from_its_own_registry(tmp_path: Path) -> None:
    copy = shared_copy(SOURCE, OPENTOFU, tmp_path)
    text = (copy / LOCK_FILE).read_text()
    assert 'provider "registry.opentofu.org/hashicorp/aws" {' in text
    assert "registry.terraform.io" not in text
    assert locked_version(copy) == locked_version(SOURCE)
    assert "h1:" not in text, "that registry builds the provider itself: other hashes"
    assert "zh:" not in text


def test_terraform_takes_a_lock_without_hashes_and_adds_its_own(tmp_path: Path) -> None:
    """What OpenTofu is given, with the host that the Terraform of this machine knows."""
    version = locked_version(SOURCE)
    assert version
    plugins = find_plugins(version)
    if plugins is None:
        pytest.skip("no provider in a folder of this machine")
    copy = shared_copy(SOURCE, OPENTOFU, tmp_path)
    lock = copy / LOCK_FILE
    lock.write_text(lock.read_text().replace("registry.opentofu.org", "registry.terraform.io"))
    done = subprocess.run(
        [str(find_terraform().path), "init", "-input=false", f"-plugin-dir={plugins}"],
        cwd=copy,
        env=child_environment(data_dir=tmp_path / "data"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "h1:" in lock.read_text()


def test_removal_has_the_lock_file_of_its_copy_and_no_resource(tmp_path: Path) -> None:
    copy = shared_copy(SOURCE, TERRAFORM, tmp_path)
    folder = removal_folder(copy)
    (copy / LOCK_FILE).write_text("# what init adds\n")
    assert (folder / LOCK_FILE).read_text() == "# what init adds\n"
    assert {file.name for file in folder.iterdir()} == {LOCK_FILE, "provider.tf", "versions.tf"}
    assert removal_folder(copy) == folder, "twice is fine"
