"""A session whose services answer as configured, and configurations with other values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import boto3
from botocore.stub import Stubber

from loadbench.config import Config
from loadbench.load_paths import LoadPath
from loadbench.run.preflight import Check
from loadbench.run.preflight.check_result import CheckContext

CONFIG_FILE = Path(__file__).resolve().parents[4] / "config.yaml"
BOTH: list[LoadPath] = ["standard", "fast"]
ROLE = "arn:aws:iam::123456789012:role/loadbench"
CALLER = {
    "Account": "123456789012",
    "UserId": "u",
    "Arn": "arn:aws:sts::123456789012:assumed-role/me/session",
}


class Account:
    """A session whose clients are real, and whose services answer as configured."""

    def __init__(self) -> None:
        self._session = boto3.Session(
            region_name="us-west-2", aws_access_key_id="key", aws_secret_access_key="secret"
        )
        self._clients: dict[str, tuple[Any, Stubber]] = {}

    def client(self, service: str, config: Any = None) -> Any:
        return self._stubbed(service)[0]

    def answers(self, service: str, operation: str, answer: dict[str, Any]) -> None:
        self._stubbed(service)[1].add_response(operation, answer)

    def refuses(
        self, service: str, operation: str, code: str, status: int = 400, message: str = "no"
    ) -> None:
        self._stubbed(service)[1].add_client_error(operation, code, message, status)

    def _stubbed(self, service: str) -> tuple[Any, Stubber]:
        if service not in self._clients:
            client = self._session.client(service)
            stub = Stubber(client)
            stub.activate()
            self._clients[service] = client, stub
        return self._clients[service]


def changed(config: Config, path: LoadPath | None = None, **update: Any) -> Config:
    """The configuration with other values in one path's section, or in both."""
    sections = {"standard": "standard_deployment_info", "fast": "fast_model_loading_info"}
    return config.model_copy(
        update={
            section: getattr(config, section).model_copy(update=update)
            for name, section in sections.items()
            if path in (None, name)
        }
    )


def on_aws(config: Config, **update: Any) -> Config:
    return config.model_copy(update={"target": "aws", **update})


def context(
    config: Config, session: Any = None, paths: list[LoadPath] | None = None, token: str | None = None
) -> CheckContext:
    return CheckContext(config, paths or BOTH, session, token)


def only(found: Any) -> Check:
    (check,) = list(found)
    assert isinstance(check, Check)
    return check


def quota_named(name: str, value: float) -> dict[str, Any]:
    return {"QuotaName": f"{name} for endpoint usage", "Value": value}
