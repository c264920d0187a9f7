"""Finding Terraform and its provider, and doing `init` once."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from loadbench.errors import PreflightError, RunError
from loadbench.run.terraform import install
from loadbench.run.terraform.install import (
    Binary,
    find_plugins,
    find_terraform,
    initialize,
    locked_version,
)

ROOT = Path(__file__).parents[4] / "terraform"
VERSION = "5.100.0"


def make_binary(folder: Path, name: str, version: str, product: str = "Terraform") -> Path:
    """A program that says its version as both products do."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(f"#!/bin/sh\necho '{product} v{version}'\necho 'on linux_amd64'\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return file


def make_plugins(folder: Path, version: str = VERSION, *, packed: bool = False) -> Path:
    base = folder / "registry.terraform.io" / "hashicorp" / "aws"
    machine = install.machine_name()
    if packed:
        base.mkdir(parents=True)
        (base / f"terraform-provider-aws_{version}_{machine}.zip").touch()
    else:
        (base / version / machine).mkdir(parents=True)
    return folder


class TestFindTerraform:
    def test_terraform_comes_before_opentofu(self, tmp_path: Path) -> None:
        make_binary(tmp_path, "tofu", "1.9.0", "OpenTofu")
        expected = make_binary(tmp_path, "terraform", "1.11.4")
        assert find_terraform({"PATH": str(tmp_path)}) == Binary(expected, "1.11.4")

    def test_opentofu_stands_in_for_an_old_terraform(self, tmp_path: Path) -> None:
        make_binary(tmp_path, "terraform", "1.5.7")
        expected = make_binary(tmp_path, "tofu", "1.9.0", "OpenTofu")
        assert find_terraform({"PATH": str(tmp_path)}) == Binary(expected, "1.9.0", "OpenTofu")

    def test_opentofu_under_terraforms_name_is_known_for_what_it_is(self, tmp_path: Path) -> None:
        make_binary(tmp_path, "terraform", "1.8.0", "OpenTofu")
        assert find_terraform({"PATH": str(tmp_path)}).registry == "registry.opentofu.org"
        make_binary(tmp_path, "terraform", "1.7.3", "OpenTofu")
        with pytest.raises(PreflightError, match=r"OpenTofu 1\.8 or newer"):
            find_terraform({"PATH": str(tmp_path)})

    def test_the_fetched_one_comes_after_the_path_and_before_opentofu(self, tmp_path: Path) -> None:
        private_dir, programs = tmp_path / "private", tmp_path / "bin"
        fetched = make_binary(private_dir / "tools" / "terraform-1.11.4", "terraform", "1.11.4")
        make_binary(programs, "tofu", "1.9.0", "OpenTofu")
        assert find_terraform({"PATH": str(programs)}, private_dir).path == fetched
        make_binary(programs, "terraform", "1.5.7")
        assert find_terraform({"PATH": str(programs)}, private_dir).path == fetched
        on_path = make_binary(programs, "terraform", "1.9.0")
        assert find_terraform({"PATH": str(programs)}, private_dir).path == on_path

    @pytest.mark.parametrize("version", ["1.7.0", "1.10.0", "2.0.0-beta1"])
    def test_new_enough(self, tmp_path: Path, version: str) -> None:
        make_binary(tmp_path, "terraform", version)
        assert find_terraform({"PATH": str(tmp_path)}).version == version

    @pytest.mark.parametrize("version", ["1.6.6", "0.15.5"])
    def test_too_old_is_said_with_the_version_and_the_way_to_install(
        self, tmp_path: Path, version: str
    ) -> None:
        make_binary(tmp_path, "terraform", version)
        with pytest.raises(PreflightError, match=version) as caught:
            find_terraform({"PATH": str(tmp_path)})
        assert "install Terraform" in caught.value.remedy

    def test_missing_is_said_with_the_way_to_install(self, tmp_path: Path) -> None:
        with pytest.raises(PreflightError, match="terraform was not found") as caught:
            find_terraform({"PATH": str(tmp_path)})
        assert "install Terraform" in caught.value.remedy

    def test_a_named_binary_wins_and_is_not_silently_replaced(self, tmp_path: Path) -> None:
        named = make_binary(tmp_path / "mine", "terraform-next", "1.12.0")
        make_binary(tmp_path / "bin", "terraform", "1.11.4")
        environment = {"PATH": str(tmp_path / "bin"), "LOADBENCH_TERRAFORM": str(named)}
        assert find_terraform(environment).path == named
        named.unlink()
        with pytest.raises(PreflightError, match="terraform-next"):
            find_terraform(environment)

    def test_something_else_by_that_name_is_explained(self, tmp_path: Path) -> None:
        file = make_binary(tmp_path, "terraform", "x")
        file.write_text("#!/bin/sh\necho hello\n")
        with pytest.raises(PreflightError, match="version check failed"):
            find_terraform({"PATH": str(tmp_path)})

    def test_one_that_is_killed_is_not_called_unfit(self, tmp_path: Path) -> None:
        make_binary(tmp_path, "terraform", "1.11.4").write_text("#!/bin/sh\nkill -KILL $$\n")
        with pytest.raises(RunError, match="killed by signal 9"):
            find_terraform({"PATH": str(tmp_path)})


class TestFindPlugins:
    """An explicit setting, what Terraform finds by itself, a shared folder, and else the registry."""

    def test_the_registry_is_the_last_resort(self, tmp_path: Path) -> None:
        empty = tmp_path / "empty"
        empty.mkdir()
        shared = [empty, tmp_path / "not-there"]
        assert find_plugins(VERSION, environment={"HOME": str(tmp_path)}, shared_folders=shared) is None

    @pytest.mark.parametrize("packed", [False, True])
    def test_a_shared_folder_is_found_one_level_down(self, tmp_path: Path, packed: bool) -> None:
        make_plugins(tmp_path / "opt" / "old", "5.0.0")
        expected = make_plugins(tmp_path / "opt" / "plugins", packed=packed)
        found = find_plugins(VERSION, environment={"HOME": str(tmp_path)}, shared_folders=[tmp_path / "opt"])
        assert found == expected

    def test_what_terraform_finds_by_itself_needs_no_flag(self, tmp_path: Path) -> None:
        make_plugins(tmp_path / "opt" / "plugins")
        make_plugins(tmp_path / ".terraform.d" / "plugins")
        found = find_plugins(VERSION, environment={"HOME": str(tmp_path)}, shared_folders=[tmp_path / "opt"])
        assert found is None

    def test_the_users_own_configuration_is_left_alone(self, tmp_path: Path) -> None:
        make_plugins(tmp_path / "opt" / "plugins")
        (tmp_path / ".terraformrc").write_text("provider_installation {\n}\n")
        found = find_plugins(VERSION, environment={"HOME": str(tmp_path)}, shared_folders=[tmp_path / "opt"])
        assert found is None

    def test_an_explicit_folder_comes_first(self, tmp_path: Path) -> None:
        make_plugins(tmp_path / "opt" / "plugins")
        mine = make_plugins(tmp_path / "mine")
        environment = {"HOME": str(tmp_path), "LOADBENCH_TERRAFORM_PLUGINS": str(mine)}
        found = find_plugins(VERSION, environment=environment, shared_folders=[tmp_path / "opt"])
        assert found == mine

    def test_an_explicit_folder_without_the_provider_is_an_error(self, tmp_path: Path) -> None:
        environment = {"HOME": str(tmp_path), "LOADBENCH_TERRAFORM_PLUGINS": str(tmp_path)}
        with pytest.raises(PreflightError, match=VERSION):
            find_plugins(VERSION, environment=environment, shared_folders=[])


class TestInitialize:
    def test_once_is_enough_until_a_file_changes(self, tiny_root: Path, tmp_path: Path) -> None:
        binary, data_dir = find_terraform(), tmp_path / "data"
        assert initialize(binary, tiny_root, data_dir, cache_dir=tmp_path)
        assert not initialize(binary, tiny_root, data_dir, cache_dir=tmp_path)
        (tiny_root / "main.tf").write_text("# nothing\n")
        assert initialize(binary, tiny_root, data_dir, cache_dir=tmp_path)

    def test_a_failed_one_is_not_taken_for_done(self, tiny_root: Path, tmp_path: Path) -> None:
        binary, data_dir = find_terraform(), tmp_path / "data"
        good = (tiny_root / "main.tf").read_text()
        (tiny_root / "main.tf").write_text('module "gone" {\n  source = "../gone"\n}\n')
        with pytest.raises(RunError, match="terraform init failed") as caught:
            initialize(binary, tiny_root, data_dir, cache_dir=tmp_path)
        assert "gone" in caught.value.details
        with pytest.raises(RunError):
            initialize(binary, tiny_root, data_dir, cache_dir=tmp_path)
        (tiny_root / "main.tf").write_text(good)
        assert initialize(binary, tiny_root, data_dir, cache_dir=tmp_path)

    def test_a_provider_that_has_gone_away_is_fetched_again(self, tmp_path: Path) -> None:
        """A link into a shared folder outlives the folder."""
        root = tmp_path / "root"
        root.mkdir()
        (root / ".terraform.lock.hcl").write_text((ROOT / ".terraform.lock.hcl").read_text())
        data_dir, calls = tmp_path / "data", tmp_path / "calls"
        stand_in = tmp_path / "terraform"
        link = data_dir / "providers" / "registry.terraform.io" / "hashicorp" / "aws" / VERSION
        stand_in.write_text(
            f"#!/bin/sh\necho init >> {calls}\nmkdir -p {link}\n"
            f"ln -sfn {tmp_path}/shared {link}/{install.machine_name()}\n"
        )
        stand_in.chmod(0o755)
        (tmp_path / "shared").mkdir()
        binary = Binary(stand_in, "1.11.4")
        assert initialize(binary, root, data_dir, cache_dir=tmp_path)
        assert not initialize(binary, root, data_dir, cache_dir=tmp_path)
        (tmp_path / "shared").rmdir()
        assert initialize(binary, root, data_dir, cache_dir=tmp_path)
        assert calls.read_text().splitlines() == ["init", "init"]


def test_the_lock_file_holds_hashes_of_several_platforms() -> None:
    text = (ROOT / ".terraform.lock.hcl").read_text()
    assert locked_version(ROOT) == VERSION
    assert text.count('"h1:') >= 2, "linux_amd64 and darwin_arm64, for unpacked providers"
    assert text.count('"zh:') >= 10, "every platform, for packed ones"


def test_a_configuration_file_that_is_there_is_handed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "terraformrc"
    file.touch()
    monkeypatch.setenv("TF_CLI_CONFIG_FILE", os.fspath(file))
    assert install.child_environment()["TF_CLI_CONFIG_FILE"] == str(file)
