"""The embedded AWS for tests of code that talks to AWS: S3, logs, metrics, IAM, jobs, over a socket."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

REGION = "us-west-2"
SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture(scope="session")
def aws_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The variables that reach an embedded AWS of these tests' own, unshaped."""
    state_dir = tmp_path_factory.mktemp("localaws")
    try:
        _localaws(state_dir, "up", "--settings", "-", stdin=json.dumps({"network": "none"}))
        environment = json.loads(_localaws(state_dir, "env", "--json"))
        yield {**environment, "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}
    finally:
        _localaws(state_dir, "down")


@pytest.fixture
def aws_session(aws_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """A boto3 session on it; every client made from it, and by the code under test, goes there."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in aws_environment.items():
        monkeypatch.setenv(name, value)
    return boto3.Session(region_name=REGION)


def _localaws(state_dir: Path, verb: str, *arguments: str, stdin: str = "") -> str:
    # As the benchmark does it: a process, never an import.
    return subprocess.run(
        [sys.executable, "-m", "localaws", verb, "--state-dir", str(state_dir), *arguments],
        input=stdin,
        env={**os.environ, "PYTHONPATH": str(SCRIPTS)},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout
