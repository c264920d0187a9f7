"""Everything a first run needs, quick when it is there already."""

from __future__ import annotations

import subprocess
from pathlib import Path

from loadbench.config import Config
from loadbench.errors import RunError
from loadbench.paths import PATHS
from loadbench.run import staging
from loadbench.run.bench import hugging_face_token
from loadbench.run.terraform_setup import find_terraform, install_providers, terraform_environment
from loadbench.ui import Ui
from loadbench.workspace import Workspace


def set_up(config: Config, workspace: Workspace, ui: Ui) -> None:
    """Terraform, its provider for both roots, and the models of the configuration.

    Raises PreflightError when Terraform is missing or too old, RunError when a download fails.
    """
    with ui.step("Terraform"):
        binary = find_terraform()
        ui.detail(f"{binary.path} {binary.version}")
    with ui.step("Terraform's AWS provider"):
        install_providers(
            [workspace.terraform_root(path) for path in PATHS], workspace.private_dir, ui.progress
        )
    if config.target != "local":
        return  # on a real account the hub serves the weights, or staging fetches them when they are needed
    for model_id in dict.fromkeys(config.deployment(path).hf_model_id for path in PATHS):
        with ui.step(f"model {model_id}"):
            staging.resolve_model(model_id, staging.cache_dir(), hugging_face_token(), ui.progress)


def check_terraform(workspace: Workspace, ui: Ui) -> None:
    """`terraform fmt -check`, `validate` in every root, `test` for all modules; RunError with its words."""
    binary = find_terraform()
    folder = workspace.assets / "terraform"
    with ui.step("terraform fmt"):
        _terraform(binary.path, ["fmt", "-check", "-recursive", "-diff"], folder, workspace)
    roots, tests = [folder / path for path in PATHS], folder / "tests"
    install_providers([*roots, tests], workspace.private_dir, ui.progress)
    for root in roots:
        with ui.step(f"terraform validate: {root.name}"):
            _terraform(binary.path, ["validate"], root, workspace)
    with ui.step("terraform test"):
        _terraform(binary.path, ["test", "-test-directory=."], tests, workspace)


def _terraform(binary: Path, arguments: list[str], folder: Path, workspace: Workspace) -> None:
    done = subprocess.run(
        [str(binary), f"-chdir={folder}", *arguments],
        env=terraform_environment(folder, workspace.private_dir),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RunError(
            f"terraform {arguments[0]} failed in terraform/{folder.name}",
            details=done.stdout + done.stderr,
            remedy="Mend what it names; `terraform fmt -recursive terraform` mends the format.",
        )
