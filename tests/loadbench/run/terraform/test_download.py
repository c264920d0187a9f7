"""Fetching Terraform, from a release server on this machine."""

from __future__ import annotations

import hashlib
import io
import os
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from loadbench.errors import PreflightError, RunError, UsageError
from loadbench.progress import Progress
from loadbench.run.terraform import download
from loadbench.run.terraform.download import SERVER_VARIABLE, TERRAFORM_VERSION, fetch_terraform
from loadbench.run.terraform.install import find_terraform, machine_name

PROGRAM = f"#!/bin/sh\necho 'Terraform v{TERRAFORM_VERSION}'\n"


def archive_with(program: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("LICENSE.txt", "terms")
        archive.writestr("terraform", program)
        archive.writestr("padding", os.urandom(2_000_000))
    return file.getvalue()


@dataclass
class ReleaseServer:
    archive: bytes
    served_bytes: int | None = None  # where the connection breaks
    paths: list[str] = field(default_factory=list)
    address: str = ""

    @property
    def environment(self) -> dict[str, str]:
        return {SERVER_VARIABLE: self.address}

    @property
    def sha256(self) -> dict[str, str]:
        return {machine_name(): hashlib.sha256(self.archive).hexdigest()}


@pytest.fixture
def releases() -> Iterator[ReleaseServer]:
    release = ReleaseServer(archive_with(PROGRAM))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            release.paths.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(release.archive)))
            self.end_headers()
            self.wfile.write(release.archive[: release.served_bytes])

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    release.address = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield release
    server.shutdown()
    server.server_close()


def left_in(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file()]


def test_what_was_fetched_is_found_and_runs(releases: ReleaseServer, tmp_path: Path) -> None:
    seen: list[Progress] = []
    program = fetch_terraform(tmp_path, seen.append, environment=releases.environment, sha256=releases.sha256)
    assert releases.paths == [
        f"/terraform/{TERRAFORM_VERSION}/terraform_{TERRAFORM_VERSION}_{machine_name()}.zip"
    ]
    assert left_in(tmp_path) == [program], "the program and nothing else"
    assert find_terraform({"PATH": ""}, tmp_path).path == program
    assert seen[-1].done == seen[-1].total == len(releases.archive)


def test_a_second_fetch_replaces_the_first(releases: ReleaseServer, tmp_path: Path) -> None:
    for _ in range(2):
        program = fetch_terraform(tmp_path, environment=releases.environment, sha256=releases.sha256)
    assert left_in(tmp_path) == [program]


def test_something_else_than_expected_is_deleted(releases: ReleaseServer, tmp_path: Path) -> None:
    """Against the hashes in the code: what this server has is not HashiCorp's."""
    with pytest.raises(RunError, match="has SHA-256") as caught:
        fetch_terraform(tmp_path, environment=releases.environment)
    assert "was deleted" in caught.value.remedy
    assert left_in(tmp_path) == []


def test_a_connection_that_breaks_leaves_nothing(releases: ReleaseServer, tmp_path: Path) -> None:
    releases.served_bytes = 1_000_000
    with pytest.raises(RunError, match="cannot download"):
        fetch_terraform(tmp_path, environment=releases.environment, sha256=releases.sha256)
    assert left_in(tmp_path) == []


def test_an_interrupt_leaves_nothing(releases: ReleaseServer, tmp_path: Path) -> None:
    def interrupt(_: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_terraform(tmp_path, interrupt, environment=releases.environment, sha256=releases.sha256)
    assert left_in(tmp_path) == []


def test_no_server_is_said_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot download") as caught:
        fetch_terraform(tmp_path, environment={SERVER_VARIABLE: "http://127.0.0.1:1"})
    assert "developer.hashicorp.com" in caught.value.remedy


@pytest.mark.parametrize("address", ["http://releases.example.com", "file:///etc", "releases"])
def test_only_https_leaves_this_machine(address: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not an https address"):
        fetch_terraform(tmp_path, environment={SERVER_VARIABLE: address})


def test_a_platform_without_a_release_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "machine_name", lambda: "plan9_mips")
    with pytest.raises(PreflightError, match="plan9_mips") as caught:
        fetch_terraform(tmp_path)
    assert "manually" in caught.value.remedy
