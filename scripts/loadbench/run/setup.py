"""Prepares everything that a first run needs; quick if it is already there."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from loadbench.config import Config
from loadbench.errors import PreflightError, RunError
from loadbench.run.models import staging
from loadbench.run.run_context import hugging_face_token
from loadbench.run.terraform.download import TERRAFORM_VERSION, fetch_terraform
from loadbench.run.terraform.install import (
    BINARY_VARIABLE,
    Binary,
    data_dir_of,
    find_terraform,
    initialize,
    plugin_cache,
    terraform_environment,
)
from loadbench.run.terraform.working_copy import shared_copy
from loadbench.ui import Ui
from loadbench.workspace import Workspace


def set_up(config: Config, workspace: Workspace, ui: Ui, may_fetch: Callable[[str], bool]) -> None:
    """Terraform, its provider for every root, and the models of the configuration.

    Without a suitable Terraform, calls `may_fetch` to ask whether to download one. Raises PreflightError if
    there is none after that, RunError if a download fails.
    """
    binary = _terraform_or_fetched(workspace, ui, may_fetch)
    ui.note(f"{binary.product} {binary.version}: {binary.path}")
    with ui.step("Terraform's AWS provider"):
        install_provider(binary, workspace, ui)
    if config.target != "local":
        return  # on a real account the weights come from the hub, or staging downloads them later
    for model_id in dict.fromkeys(config.deployment(load_path).hf_model_id for load_path in config.paths):
        with ui.step(f"model {model_id}"):
            staging.resolve_model(model_id, staging.cache_dir(), hugging_face_token(), ui.progress)


def _terraform_or_fetched(workspace: Workspace, ui: Ui, may_fetch: Callable[[str], bool]) -> Binary:
    try:
        return find_terraform()
    except PreflightError as error:
        if os.environ.get(BINARY_VARIABLE):
            raise  # the user chose this binary
        if not may_fetch(f"{error.message}. Download Terraform {TERRAFORM_VERSION} for this folder?"):
            raise
    with ui.step(f"downloading Terraform {TERRAFORM_VERSION}"):
        fetch_terraform(workspace.private_dir, ui.progress)
    return find_terraform()


def install_provider(binary: Binary, workspace: Workspace, ui: Ui) -> None:
    """Initialize the root module if needed. Raises RunError with Terraform's messages."""
    root = workspace.terraform_root
    initialize(
        binary,
        shared_copy(root, binary, workspace.private_dir),
        data_dir_of(root, workspace.private_dir),
        cache_dir=plugin_cache(workspace.private_dir),
        on_progress=ui.progress,
    )


def check_terraform(workspace: Workspace, ui: Ui) -> None:
    """`terraform fmt -check`, `validate`, `test` for all modules. Raises RunError with Terraform's
    messages.
    """
    binary = find_terraform()
    install_provider(binary, workspace, ui)
    for command in (["fmt", "-check", "-recursive", "-diff"], ["validate"], ["test"]):
        with ui.step(f"terraform {command[0]}"):
            _terraform(binary.path, command, workspace.terraform_root, workspace)


def _terraform(binary: Path, arguments: list[str], folder: Path, workspace: Workspace) -> None:
    done = subprocess.run(
        [str(binary), f"-chdir={folder}", *arguments],
        env=terraform_environment(folder, workspace.private_dir),
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise RunError(
            f"terraform {arguments[0]} failed",
            details=done.stdout + done.stderr,
            remedy="Fix the reported problems; `terraform fmt -recursive terraform` fixes the format.",
        )
