"""The settings: network shaping, simulated seconds, faults. Unknown keys are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
)

from .errors import LocalAwsError
from .state.files import write_private

FaultKind = Literal[
    "insufficient_capacity",
    "quota",
    "health_check",
    "container_exit",
    "download_timeout",
    "image_not_found",
    "role_not_assumable",
    "unsupported_action",
    "access_denied",
    "expired_token",
    "throttling",
    "slow_down",
    "connection_reset",
    "truncated_body",
    "flipped_byte",
    "slow_first_byte",
]


# As small as those of a new account, and enough for an endpoint that is replaced while it serves.
DEFAULT_QUOTA = 4


class SettingsError(LocalAwsError):
    """The settings are invalid."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class NetworkShape(_Strict):
    """How an instance sees S3. The defaults are those of docs/facts/s3.md#connection-rate."""

    connection_bytes_per_s: PositiveFloat = 90e6
    # None means the figure of the instance's own type.
    instance_bytes_per_s: PositiveFloat | None = None
    first_byte_delay_s: NonNegativeFloat = 0.02


class FaultSpec(_Strict):
    """One injected fault. Every given match field must match (a shell pattern)."""

    kind: FaultKind
    # How often it applies; None is always.
    times: PositiveInt | None = None

    # Match fields.
    service: str | None = None
    operation: str | None = None
    bucket: str | None = None
    key: str | None = None
    instance_type: str | None = None
    endpoint: str | None = None
    inference_component: str | None = None
    model: str | None = None
    optimization_job: str | None = None
    access_key_id: str | None = None

    # Parameters of some kinds.
    # throttling, slow_down: requests over this rate are refused; None refuses all of them.
    requests_per_s: PositiveFloat | None = None
    # connection_reset, truncated_body: bytes of the body that still arrive; flipped_byte: offset in the body.
    after_bytes: int = Field(default=0, ge=0)
    # slow_first_byte: seconds before the first byte; health_check: seconds until the platform gives up
    # (0: the endpoint's own timeout, which is a minute at least).
    delay_s: NonNegativeFloat = 0.0
    # container_exit: the container's last log line.
    words: str = ""


class Settings(_Strict):
    """All settings. Simulated seconds are a number, or a number per instance type (others: zero)."""

    network: NetworkShape | Literal["none"] = NetworkShape()
    provision_s: NonNegativeFloat | dict[str, NonNegativeFloat] = 0.0
    image_pull_s: NonNegativeFloat | dict[str, NonNegativeFloat] = 0.0
    faults: tuple[FaultSpec, ...] = ()
    # How many instances of a type all endpoints of a region may have at once; a number goes for every type.
    instance_quota: NonNegativeInt | dict[str, NonNegativeInt] = DEFAULT_QUOTA

    # Virtual environments of real serving engines by name; without one the emulated server is used.
    engines: dict[Literal["vllm"], str] = Field(default_factory=dict)

    def quota(self, instance_type: str) -> int:
        """How many instances of this type the account may have for endpoints."""
        quota = self.instance_quota
        return quota.get(instance_type, DEFAULT_QUOTA) if isinstance(quota, dict) else quota

    def simulated_provision_s(self, instance_type: str) -> float:
        """Seconds that provisioning an instance of this type pretends to take."""
        return _of_type(self.provision_s, instance_type)

    def simulated_image_pull_s(self, instance_type: str) -> float:
        """Seconds that pulling the image pretends to take on an instance of this type."""
        return _of_type(self.image_pull_s, instance_type)


def parse_settings(document: Any) -> Settings:
    """Settings from parsed JSON. Raises SettingsError that names each wrong key."""
    try:
        return Settings.model_validate(document)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'settings'}: {e['msg']}" for e in error.errors())
        raise SettingsError(f"settings of the embedded AWS: {wrong}") from error


def read_settings(path: Path) -> Settings:
    """Settings from a file; the defaults where there is none."""
    if not path.exists():
        return Settings()
    try:
        return parse_settings(json.loads(path.read_text()))
    except (ValueError, RecursionError, OSError) as error:
        raise SettingsError(f"{path} is damaged ({error}); delete it to return to the defaults") from error


def write_settings(path: Path, settings: Settings) -> None:
    """Keep the settings for the next start."""
    write_private(path, settings.model_dump_json(indent=1).encode())


def _of_type(value: float | dict[str, float], instance_type: str) -> float:
    return value.get(instance_type, 0.0) if isinstance(value, dict) else value
