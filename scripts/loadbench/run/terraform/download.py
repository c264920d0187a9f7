"""Downloads Terraform for a machine without one: a pinned version, from HashiCorp's release server."""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Mapping
from pathlib import Path

from loadbench.errors import PreflightError, RunError, UsageError
from loadbench.progress import OnProgress, Progress, ignore_progress
from loadbench.run.terraform.install import machine_name, tools_dir
from loadbench.scratch import scratch_folder

TERRAFORM_VERSION = "1.11.4"
SERVER_VARIABLE = "LOADBENCH_TERRAFORM_SERVER"  # a mirror with the layout of the release server

_SERVER = "https://releases.hashicorp.com"
# SHA-256 of terraform_1.11.4_<platform>.zip. Source: docs/releasing.md.
_SHA256 = {
    "linux_amd64": "1ce994251c00281d6845f0f268637ba50c0005657eb3cf096b92f753b42ef4dc",
    "linux_arm64": "a43d1d0da9b9bab214a8305a39db0e40869572594ccf50c416a7756499143633",
    "darwin_amd64": "a56d5002b9f7647291faccc3dd1a70350e60fb61e4c45037629508b8fdc2575b",
    "darwin_arm64": "867e0808fa971217043e25b7a792b10720c79b1546f8a68479b74f138be73e18",
}
_TIMEOUT_S = 60.0
_PIECE_BYTES = 1 << 18
_BY_HAND = "Install Terraform manually: https://developer.hashicorp.com/terraform/install"


def fetch_terraform(
    private_dir: Path,
    on_progress: OnProgress = ignore_progress,
    *,
    environment: Mapping[str, str] | None = None,
    sha256: Mapping[str, str] = _SHA256,
) -> Path:
    """Download the pinned Terraform to the tools folder of `private_dir`; returns the program.

    LOADBENCH_TERRAFORM_SERVER names another server; plain HTTP is allowed only for this machine. Raises
    PreflightError if there is no version for this platform, UsageError for an unsafe address, RunError if the
    download fails or has a wrong checksum; then no file is left.
    """
    platform = machine_name()
    if platform not in sha256:
        raise PreflightError(
            f"no Terraform {TERRAFORM_VERSION} is known for {platform}, only for {', '.join(sha256)}",
            remedy=_BY_HAND,
        )
    archive_name = f"terraform_{TERRAFORM_VERSION}_{platform}.zip"
    url = f"{_server(os.environ if environment is None else environment)}/terraform/{TERRAFORM_VERSION}/"
    tools = tools_dir(private_dir)
    tools.mkdir(parents=True, exist_ok=True, mode=0o700)
    with scratch_folder(tools) as scratch:
        archive = scratch / archive_name
        found = _download(url + archive_name, archive, on_progress)
        if found != sha256[platform]:
            raise RunError(
                f"{url}{archive_name} has SHA-256 {found}, expected {sha256[platform]}",
                remedy=f"It was deleted. Check {SERVER_VARIABLE} and proxies, or: {_BY_HAND}",
            )
        unpacked = scratch / "unpacked"
        with zipfile.ZipFile(archive) as content:
            program = Path(content.extract("terraform", unpacked))
        program.chmod(0o755)
        destination = tools / f"terraform-{TERRAFORM_VERSION}"
        shutil.rmtree(destination, ignore_errors=True)
        unpacked.rename(destination)
    return destination / program.name


def _server(environment: Mapping[str, str]) -> str:
    server = (environment.get(SERVER_VARIABLE) or _SERVER).rstrip("/")
    address = urllib.parse.urlsplit(server)
    if address.scheme == "https" or (
        address.scheme == "http" and address.hostname in ("127.0.0.1", "localhost")
    ):
        return server
    raise UsageError(f"{SERVER_VARIABLE}={server} is not an https address", remedy="Use https://…")


def _download(url: str, file: Path, on_progress: OnProgress) -> str:
    """Download `url` to `file`; returns its SHA-256."""
    digest = hashlib.sha256()
    try:
        # The scheme was checked by `_server`.
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer, file.open("wb") as target:  # noqa: S310
            length = answer.headers.get("Content-Length")
            total_bytes = int(length) if length else None
            done_bytes = 0
            while piece := answer.read(_PIECE_BYTES):
                target.write(piece)
                digest.update(piece)
                done_bytes += len(piece)
                on_progress(Progress(file.name, done_bytes, total_bytes, "bytes"))
        if total_bytes is not None and done_bytes != total_bytes:
            raise OSError(f"the connection ended after {done_bytes} of {total_bytes} bytes")
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise RunError(f"cannot download {url}: {error}", remedy=f"Try again, or: {_BY_HAND}") from error
    return digest.hexdigest()
