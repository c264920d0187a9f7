"""A working copy of the HCL in the user's folder, because Terraform writes into the folder it runs in.

`terraform init` adds the hash of a new platform to the lock file, and a backend must be configured there. But
an installed package may be read-only, and using a checkout should not change it.

`terraform destroy` runs in a folder of the copy with the provider and without resources: the state has the
resources and their order. So runs of earlier versions with other variables and modules can be removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loadbench.run.terraform.install import LOCK_FILE, Binary, locked_version
from loadbench.scratch import scratch_folder

# Files that replace others of the root from a version of the provider on: terraform/variants/README.md.
_VARIANTS = "variants"
_NATIVE_CONFIGURATION = Path("modules/component_configuration/main.tf")
_NOT_CODE = re.compile(r"\.terraform$|\.tfstate|\.tfvars")
_BACKEND_FILE = "backend_override.tf.json"
_REMOVAL_FILES = (LOCK_FILE, _BACKEND_FILE, "provider.tf", "versions.tf")


def shared_copy(root: Path, binary: Binary, private_dir: Path) -> Path:
    """The copy of `root` that all runs with the same HCL use."""
    return _copy(root, binary, private_dir.resolve() / "terraform")


def own_copy(root: Path, binary: Binary, run_dir: Path, backend: Mapping[str, Any]) -> Path:
    """A copy of `root` for one run, with the S3 backend of its state."""
    copy = _copy(root, binary, run_dir.resolve())
    # Terraform merges files with this name over the others: the root module itself has no backend.
    override = {"terraform": {"backend": {"s3": dict(backend)}}}
    (copy / _BACKEND_FILE).write_text(json.dumps(override, indent=2), encoding="utf-8")
    return copy


def removal_folder(copy: Path) -> Path:
    """The folder of a copy in which `terraform destroy` runs: links to provider, lock file and backend."""
    folder = copy / "removal"
    folder.mkdir(exist_ok=True)
    for name in _REMOVAL_FILES:
        if (copy / name).is_file():
            with contextlib.suppress(FileExistsError):
                (folder / name).symlink_to(f"../{name}")
    return folder


def _copy(root: Path, binary: Binary, parent: Path) -> Path:
    """A copy of `root` in a folder of `parent` named by its content, created if it does not exist.

    It is created atomically: a concurrent process never sees a partial folder.
    """
    files = _files(root) | _replacements(root)
    digest = hashlib.sha256(binary.registry.encode())
    for place, file in sorted(files.items()):
        digest.update(f"\n{place}\n".encode() + file.read_bytes())
    destination = parent / f"code-{digest.hexdigest()[:12]}"
    if destination.is_dir():
        return destination
    parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with scratch_folder(parent) as scratch:
        for place, file in files.items():
            target = scratch / "code" / place
            target.parent.mkdir(parents=True, exist_ok=True)
            text = file.read_bytes()
            target.write_bytes(_for_opentofu(text) if binary.is_opentofu and file.name == LOCK_FILE else text)
        try:
            (scratch / "code").rename(destination)
        except OSError:
            if not destination.is_dir():
                raise
    return destination


def _files(root: Path) -> dict[Path, Path]:
    """The code of a root by its path within it, without the variants."""
    places = (file.relative_to(root) for file in root.rglob("*") if file.is_file())
    return {
        place: root / place
        for place in places
        if not any(map(_NOT_CODE.search, place.parts)) and place.parts[0] != _VARIANTS
    }


def _replacements(root: Path) -> dict[Path, Path]:
    """The files of every variant that the locked provider is new enough for, the newest variant's last."""
    locked = _numbers(locked_version(root) or "")
    variants = sorted((root / _VARIANTS).glob("provider-*"), key=lambda folder: _numbers(folder.name))
    return {
        place: file
        for folder in variants
        if locked >= _numbers(folder.name)
        for place, file in _files(folder).items()
    }


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def configuration_by(root: Path) -> str:
    """Who makes the endpoint configuration of inference components: the provider itself, or Cloud Control."""
    version = locked_version(root) or "not locked"
    if _NATIVE_CONFIGURATION in _replacements(root):
        return f"AWS provider {version}"
    return f"Cloud Control (AWS provider {version} needs a model name)"


def _for_opentofu(lock: bytes) -> bytes:
    """The same version from OpenTofu's registry, which builds providers itself: its hashes differ."""
    moved = lock.replace(b'"registry.terraform.io/', b'"registry.opentofu.org/')
    return re.sub(rb"\n  hashes = \[.*?\n  \]", b"", moved, flags=re.DOTALL)
