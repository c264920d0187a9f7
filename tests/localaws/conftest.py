"""A real embedded AWS over its socket, started and stopped by its own commands' code."""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from hypothesis import settings as hypothesis_settings

from localaws.protocol import sigv4
from localaws.server import lifecycle
from localaws.settings import Settings, parse_settings
from localaws.state.keys import Credentials, KeyRing

# How long one example takes says nothing on a machine that does other work, too.
hypothesis_settings.register_profile("localaws", deadline=None)
hypothesis_settings.load_profile("localaws")


@dataclass
class EmbeddedAws:
    """One running embedded AWS."""

    state_dir: Path

    @property
    def variables(self) -> dict[str, str]:
        """What `localaws env` prints."""
        return lifecycle.environment(self.state_dir)

    @property
    def process_environment(self) -> dict[str, str]:
        """The environment for another program that is to use it."""
        return {**os.environ, **self.variables, "S3_ENDPOINT_URL": self.variables["AWS_ENDPOINT_URL"]}

    @property
    def port(self) -> int:
        """Its port on loopback."""
        return int(self.variables["AWS_ENDPOINT_URL"].rpartition(":")[2])

    @property
    def pid(self) -> int:
        """The server's process id."""
        pid: int = lifecycle.status(self.state_dir)["pid"]
        return pid

    @property
    def user(self) -> Credentials:
        """The user's key pair."""
        return KeyRing(self.state_dir / "keys.json").user

    def client(self, service: str, credentials: Credentials | None = None, **config: Any) -> Any:
        """A boto3 client that tries once and knows nothing but this server."""
        key = credentials or self.user
        return boto3.Session().client(
            service,
            endpoint_url=f"http://127.0.0.1:{self.port}",
            region_name="us-east-1",
            aws_access_key_id=key.access_key_id,
            aws_secret_access_key=key.secret_access_key,
            config=Config(retries={"total_max_attempts": 1}, read_timeout=30, **config),
        )

    def make_role(self, name: str) -> str:
        """The ARN of a new role that SageMaker may assume."""
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "sagemaker.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
        trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        role = self.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]
        arn: str = role["Arn"]
        return arn

    def apply(self, **settings: Any) -> None:
        """Apply settings; what is not named returns to its default."""
        lifecycle.up(self.state_dir, parse_settings(settings))

    def control(self, method: str, action: str, document: Any = None) -> tuple[int, dict[str, Any]]:
        """A signed control call: its status and answer."""
        body = b"" if document is None else json.dumps(document).encode()
        path = f"/_localaws/{action}"
        request = sigv4.Request(method, path, "", {"host": [f"127.0.0.1:{self.port}"]})
        headers = sigv4.signed_headers(self.user, request, "localaws", "us-east-1", body, datetime.now(UTC))
        return self.send(method, path, body, headers)

    def send(
        self, method: str, target: str, body: bytes, headers: dict[str, str]
    ) -> tuple[int, dict[str, Any]]:
        """One plain HTTP request: status, and the answer if it is JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, target, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        return answer.status, json.loads(content) if content.startswith(b"{") else {}


@pytest.fixture(scope="session")
def _shared_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedAws]:
    state_dir = tmp_path_factory.mktemp("localaws") / "state"
    lifecycle.up(state_dir, Settings())
    yield EmbeddedAws(state_dir)
    lifecycle.down(state_dir)


@pytest.fixture
def aws(_shared_aws: EmbeddedAws) -> Iterator[EmbeddedAws]:
    """An embedded AWS that the tests share; settings are back at their defaults after each."""
    yield _shared_aws
    if lifecycle.status(_shared_aws.state_dir)["settings"] != Settings().model_dump(mode="json"):
        _shared_aws.apply()


@pytest.fixture
def own_aws(tmp_path: Path) -> Iterator[EmbeddedAws]:
    """An embedded AWS of the test's own, to be stopped or killed at will."""
    state_dir = tmp_path / "state"
    lifecycle.up(state_dir, None)
    yield EmbeddedAws(state_dir)
    lifecycle.down(state_dir)
