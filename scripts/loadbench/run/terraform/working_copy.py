"""The HCL as Terraform runs it: a copy in the user's folder, so that nothing is written where it came from.

`terraform init` writes into the folder it runs in: the lock file gets the hash of a new platform, and a
backend has to be named there. An installed package may be read-only, and a checkout should not change by
being used.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loadbench.run.terraform.install import LOCK_FILE, Binary

_NOT_CODE = re.compile(r"\.terraform$|\.tfstate|\.tfvars")


def shared_copy(root: Path, binary: Binary, private_dir: Path) -> Path:
    """`root` in the copy that all runs with the same HCL use."""
    files = _files(root.parent)
    digest = hashlib.sha256(binary.registry.encode())
    for file in files:
        digest.update(f"\n{file.relative_to(root.parent)}\n".encode() + file.read_bytes())
    folder = private_dir.resolve() / "terraform" / f"code-{digest.hexdigest()[:12]}"
    if not folder.is_dir():
        _copy(root.parent, files, folder, binary)
    return folder / root.name


def own_copy(root: Path, binary: Binary, run_dir: Path, backend: Mapping[str, Any]) -> Path:
    """`root` in a copy for one run, with the S3 backend that holds its state."""
    folder = run_dir.resolve() / "terraform"
    if not folder.is_dir():
        _copy(root.parent, _files(root.parent), folder, binary)
    copy = folder / root.name
    # Files of this name are merged over the rest: the roots themselves know of no backend.
    override = {"terraform": {"backend": {"s3": dict(backend)}}}
    (copy / "backend_override.tf.json").write_text(json.dumps(override, indent=2), encoding="utf-8")
    return copy


def _files(folder: Path) -> list[Path]:
    return sorted(
        file
        for file in folder.rglob("*")
        if file.is_file() and not any(map(_NOT_CODE.search, file.relative_to(folder).parts))
    )


def _copy(source: Path, files: list[Path], destination: Path, binary: Binary) -> None:
    """All or nothing: a second process that copies at the same time finds a whole folder."""
    destination.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(prefix=".copy-", dir=destination.parent) as scratch:
        for file in files:
            target = Path(scratch) / "code" / file.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            text = file.read_bytes()
            target.write_bytes(_for_opentofu(text) if binary.is_opentofu and file.name == LOCK_FILE else text)
        try:
            (Path(scratch) / "code").rename(destination)
        except OSError:
            if not destination.is_dir():
                raise
            shutil.rmtree(Path(scratch) / "code")


def _for_opentofu(lock: bytes) -> bytes:
    """The same version from OpenTofu's registry, which builds providers itself: its hashes are others."""
    moved = lock.replace(b'"registry.terraform.io/', b'"registry.opentofu.org/')
    return re.sub(rb"\n  hashes = \[.*?\n  \]", b"", moved, flags=re.DOTALL)
