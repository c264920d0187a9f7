"""The target, AWS or the embedded AWS: its boto3 session, and the environment for Terraform.

Only this module knows how the two differ: by an endpoint URL and a key pair.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loadbench.config import Config, Target
from loadbench.engines.installation import installed_engines
from loadbench.errors import LoadbenchError, RunError, UsageError
from loadbench.shell_variables import check_variables, require_visible
from loadbench.workspace import PRIVATE_FOLDER

if TYPE_CHECKING:
    import boto3

_LOG = logging.getLogger(__name__)
_START_TIMEOUT_S = 60
# Exit codes of the command `localaws`, which its help lists.
_EXIT_USAGE, _EXIT_STATE_FOLDER = 2, 3
_INSTALL = "In a checkout, run `make setup`; elsewhere, `pip install '/path/to/checkout[local]'`"


@dataclass(frozen=True)
class Account:
    """An account to deploy to; `environment` has the variables that any AWS client needs to reach it."""

    target: Target
    region: str
    account_id: str
    session: boto3.Session
    environment: Mapping[str, str]


def open_account(config: Config, home: Path) -> Account:
    """Reach the configured target, starting the embedded AWS where that is the target.

    Sets the AWS variables of this process, so that every client, Terraform's too, sees the same account.
    Raises UsageError without usable credentials, RunError when the embedded AWS does not come up.
    """
    environment = start_local(config, home) if config.target == "local" else {}
    if config.target == "local":
        # Other AWS variables of the shell (a profile, another endpoint URL, FIPS) must not reach the clients.
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            del os.environ[name]
    environment |= {"AWS_REGION": config.region, "AWS_DEFAULT_REGION": config.region}
    os.environ.update(environment)
    check_variables()

    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        session = boto3.Session(region_name=config.region)
        found = session.get_credentials()
        if found is not None:
            keys = found.get_frozen_credentials()
            for value in (keys.access_key, keys.secret_key, keys.token):
                require_visible(value or "", f"an AWS credential ({found.method})")
        session.events.register("needs-retry", _note_failed_attempt)
        account_id = session.client("sts").get_caller_identity()["Account"]
    except (BotoCoreError, ClientError, ValueError, OSError) as error:  # the last two: settings of the shell
        raise _unreachable(config, error) from error
    inherited = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    return Account(config.target, config.region, account_id, session, inherited)


@contextmanager
def aws_environment_kept() -> Iterator[None]:
    """Restore the AWS variables afterwards: opening an account sets them for the whole process."""
    before = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    try:
        yield
    finally:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            del os.environ[name]
        os.environ.update(before)


def _unreachable(config: Config, error: Exception) -> LoadbenchError:
    if config.target == "local":
        return RunError(
            f"the embedded AWS does not respond: {error}",
            remedy="Read `loadbench local logs`, then `loadbench local down` and try again.",
        )
    return UsageError(
        f"no usable AWS credentials for region {config.region}: {error}",
        remedy="Run `aws configure` or set AWS_PROFILE, then try `aws sts get-caller-identity`;"
        " or use the embedded AWS with TARGET=local.",
    )


def _note_failed_attempt(
    operation: Any, attempts: int, response: Any, caught_exception: Any, **_: Any
) -> None:
    """Log every attempt that a client may retry: botocore retries silently."""
    error = response[1].get("Error", {}).get("Code") if response else caught_exception
    if error and (caught_exception or response[0].status_code in (429, *range(500, 600)) or attempts > 1):
        service = operation.service_model.service_name
        _LOG.info("%s %s, attempt %d: %s", service, operation.name, attempts, error)


def start_local(config: Config, home: Path) -> dict[str, str]:
    """Start the embedded AWS with the configured settings; returns the variables that clients need to reach
    it.

    Raises UsageError when something of the extra `local` is not installed.
    """
    if missing := missing_of_local(metadata.requires("loadbench") or ()):
        raise UsageError(
            f"the embedded AWS needs packages that are not installed: {', '.join(missing)}",
            remedy=f"{_INSTALL}. Or use a real account: `target: aws`.",
        )
    local = config.local
    settings = {
        "network": local.network.model_dump() if local.network else "none",
        "provision_s": local.provision_s,
        "image_pull_s": local.image_pull_s,
        "instance_quota": local.instance_quota,
        "faults": local.faults,
        "engines": installed_engines(home / PRIVATE_FOLDER),
    }
    printed = localaws(["up", "--settings", "-", "--env"], config, home, stdin=json.dumps(settings))
    return _environment(printed, config)


def local_environment(config: Config, home: Path) -> dict[str, str]:
    """The variables that make any AWS client use the embedded AWS."""
    return _environment(localaws(["env", "--json"], config, home), config)


def _environment(printed: str, config: Config) -> dict[str, str]:
    environment: dict[str, str] = json.loads(printed)
    return environment | {"AWS_REGION": config.region, "AWS_DEFAULT_REGION": config.region}


def missing_of_local(requirements: Iterable[str]) -> list[str]:
    """Packages of the extra `local` that are not installed; without this check a model server would fail much
    later.
    """
    named = (re.match(r"([\w.-]+).*\bextra == ['\"]local['\"]", text) for text in requirements)
    missing = []
    for match in filter(None, named):
        try:
            metadata.version(match[1])
        except metadata.PackageNotFoundError:
            missing.append(match[1])
    return missing


def export_lines(environment: Mapping[str, str]) -> str:
    """`export NAME=value` lines for a shell's eval."""
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in sorted(environment.items()))


def localaws(arguments: list[str], config: Config, home: Path, *, stdin: str | None = None) -> str:
    """Run one command of the embedded AWS and return what it printed.

    It runs as a separate process: this package never imports it. Raises UsageError if it is not installed,
    RunError with its output if it fails.
    """
    state_dir = (home / config.local.state_dir).resolve()
    command = [sys.executable, "-m", "localaws", arguments[0], "--state-dir", str(state_dir), *arguments[1:]]
    try:
        done = subprocess.run(
            command,
            input=stdin,
            env=os.environ | {"PYTHONIOENCODING": "utf-8:backslashreplace"},  # whatever the locale is
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_START_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise RunError(
            f"the embedded AWS did not respond to `{arguments[0]}` within {_START_TIMEOUT_S} s",
            remedy="Read `loadbench local logs`, then `loadbench local down` and try again.",
        ) from error
    if done.returncode == 0:
        return done.stdout
    words = done.stderr.strip().removeprefix("error: ")
    if "No module named" in words:
        raise UsageError(
            f"the embedded AWS is not fully installed: {words.splitlines()[-1]}",
            remedy=f"{_INSTALL}.",
        )
    if done.returncode == _EXIT_USAGE:
        reason = words.splitlines()[-1].removeprefix("Error: ")  # after the usage text
        raise UsageError(
            f"the embedded AWS: {reason}", remedy="Check the section `local` of the configuration."
        )
    if done.returncode == _EXIT_STATE_FOLDER:
        raise UsageError(f"the embedded AWS: {words}", remedy="Set local.state_dir in the configuration.")
    raise RunError(
        f"`localaws {arguments[0]}` failed",
        details=words,
        remedy="Read `loadbench local logs`.",
    )
