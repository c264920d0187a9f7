"""Input and result of a check."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from botocore.config import Config as ClientConfig
from botocore.exceptions import ClientError

from loadbench.config import Config, DeploymentInfo
from loadbench.load_paths import LoadPath
from loadbench.run.models import hub

Status = Literal["ok", "warning", "failure"]

# A hanging check must not delay the others for long.
_CLIENT_CONFIG = ClientConfig(
    connect_timeout=3, read_timeout=4, retries={"mode": "standard", "total_max_attempts": 2}
)


@dataclass(frozen=True)
class Check:
    """One finding. `remedy` says what to do; it is empty if nothing needs to be done."""

    name: str
    status: Status
    message: str
    remedy: str = ""
    methods: tuple[LoadPath, ...] = ()
    """The loading methods that the finding is about, if several were checked."""


@dataclass(frozen=True)
class CheckContext:
    """Input of every check."""

    config: Config
    paths: Sequence[LoadPath]
    session: Any
    token: str | None
    _clients: dict[str, Any] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _hub: list[bool] = field(default_factory=list)
    _hub_lock: threading.Lock = field(default_factory=threading.Lock)

    def client(self, service: str) -> Any:
        """The client of a service; creating one from a session is not thread-safe."""
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self.session.client(service, config=_CLIENT_CONFIG)
            return self._clients[service]

    def hub_answers(self) -> bool:
        """Whether the Hugging Face Hub is reachable; checked once, because a timeout takes seconds."""
        with self._hub_lock:
            if not self._hub:
                self._hub.append(hub.is_reachable())
            return self._hub[0]

    def deployments(self) -> list[tuple[LoadPath, DeploymentInfo]]:
        """The paths' sections."""
        return [(load_path, self.config.deployment(load_path)) for load_path in self.paths]


def error_code(error: ClientError) -> str:
    """The service's error code."""
    return str(error.response["Error"]["Code"])


def is_denied(error: ClientError) -> bool:
    """Whether the caller lacks the permission to check, which says nothing about the result."""
    return any(
        word in error_code(error) for word in ("AccessDenied", "UnauthorizedOperation", "NotAuthorized")
    )
