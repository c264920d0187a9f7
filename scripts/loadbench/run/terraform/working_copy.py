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

from loadbench.run.terraform.install import LOCK_FILE, Binary
from loadbench.scratch import scratch_folder

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
    files = sorted(
        file
        for file in root.rglob("*")
        if file.is_file() and not any(map(_NOT_CODE.search, file.relative_to(root).parts))
    )
    digest = hashlib.sha256(binary.registry.encode())
    for file in files:
        digest.update(f"\n{file.relative_to(root)}\n".encode() + file.read_bytes())
    destination = parent / f"code-{digest.hexdigest()[:12]}"
    if destination.is_dir():
        return destination
    parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with scratch_folder(parent) as scratch:
        for file in files:
            target = scratch / "code" / file.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            text = file.read_bytes()
            target.write_bytes(_for_opentofu(text) if binary.is_opentofu and file.name == LOCK_FILE else text)
        try:
            (scratch / "code").rename(destination)
        except OSError:
            if not destination.is_dir():
                raise
    return destination


def _for_opentofu(lock: bytes) -> bytes:
    """The same version from OpenTofu's registry, which builds providers itself: its hashes differ."""
    moved = lock.replace(b'"registry.terraform.io/', b'"registry.opentofu.org/')
    return re.sub(rb"\n  hashes = \[.*?\n  \]", b"", moved, flags=re.DOTALL)
