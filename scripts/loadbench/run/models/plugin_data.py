"""Model data for an engine that loads its weights with fastload's plug-in: everything except the weights.

A few MB: configuration, tokenizer, and wheels that the container installs from `requirements.txt` without a
package index (docs/facts/vllm.md#sagemaker-image): fastload, and what it needs to compare S3's checksums.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import io
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

from loadbench.errors import RunError
from loadbench.progress import OnProgress, ignore_progress
from loadbench.run.models.checkpoint import inspect_checkpoint
from loadbench.run.models.checksum_wheel import REQUIREMENT
from loadbench.run.models.resolve import LocalModel
from loadbench.run.models.upload import upload_folder
from loadbench.scratch import scratch_folder

_WEIGHT_SUFFIX = ".safetensors"
_ENTRY_POINTS = "[vllm.general_plugins]\nfastload = fastload.vllm.plugin:register\n"
# Python executes this line when it starts in the environment with the wheel.
_AT_START = (
    'import os; os.environ.get("FASTLOAD_LOCATION") and '
    '__import__("fastload.vllm.early_start", fromlist=["begin_in_server"]).begin_in_server()\n'
)
# A fixed time in every archive: equal content gives equal bytes, and so the same prefix in S3.
_TIMESTAMP = (2020, 1, 1, 0, 0, 0)


def stage_plugin_data(
    session: Any,
    model: LocalModel,
    bucket: str,
    checksums: Path | None,
    on_progress: OnProgress = ignore_progress,
) -> str:
    """Upload it to its own prefix beside the model's; returns the URI.

    `checksums` is the wheel of `checksum_wheel`.
    """
    with scratch_folder() as folder:
        digest = hashlib.sha256(model.digest.encode())
        for path in (*inspect_checkpoint(model.folder).files, *write_plugin(folder, checksums)):
            if path.suffix == _WEIGHT_SUFFIX or path.name.endswith(f"{_WEIGHT_SUFFIX}.index.json"):
                continue
            if path.is_relative_to(model.folder):
                copy = folder / path.relative_to(model.folder)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(path.read_bytes())
                path = copy
            digest.update(path.read_bytes())
        prefix = f"models/{model.digest}-plugin-{digest.hexdigest()[:12]}/"
        files = tuple(sorted(path for path in folder.rglob("*") if path.is_file()))
        upload_folder(session, folder, files, bucket, prefix, "plug-in and configuration", on_progress)
    return f"s3://{bucket}/{prefix}"


def write_plugin(folder: Path, checksums: Path | None) -> list[Path]:
    """Write the wheels and `requirements.txt` into a model folder; gives their paths."""
    version = metadata.version("loadbench")
    wheel = folder / "requirements" / f"fastload-{version}-py3-none-any.whl"
    wheel.parent.mkdir()
    wheel.write_bytes(build_wheel(version))
    written, lines = [wheel], ["--no-index", f"fastload=={version}"]
    if checksums is not None:
        copy = wheel.parent / checksums.name
        copy.write_bytes(checksums.read_bytes())
        written.append(copy)
        lines.append(REQUIREMENT)
    requirements = folder / "requirements.txt"
    requirements.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return [*written, requirements]


def build_wheel(version: str) -> bytes:
    """fastload alone as a wheel, from the files that are installed here (packaging.python.org, "Binary
    distribution format").
    """
    found = importlib.util.find_spec("fastload")
    if found is None or found.origin is None:
        raise RunError("fastload is not installed here", remedy="Run `make setup`.")
    source = Path(found.origin).parent
    information = f"fastload-{version}.dist-info"
    files = {
        f"fastload/{path.relative_to(source).as_posix()}": path.read_bytes()
        for path in sorted(source.rglob("*.py"))
    }
    files["fastload_ahead.pth"] = _AT_START.encode()
    files[f"{information}/METADATA"] = f"Metadata-Version: 2.1\nName: fastload\nVersion: {version}\n".encode()
    files[f"{information}/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: loadbench\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    files[f"{information}/entry_points.txt"] = _ENTRY_POINTS.encode()
    record = "".join(f"{name},sha256={_digest(data)},{len(data)}\n" for name, data in files.items())
    files[f"{information}/RECORD"] = f"{record}{information}/RECORD,,\n".encode()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, data in files.items():
            wheel.writestr(zipfile.ZipInfo(name, _TIMESTAMP), data, zipfile.ZIP_DEFLATED)
    return archive.getvalue()


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
