"""Starts, stops and queries the server process, from outside it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import LocalAwsError
from ..protocol import sigv4
from ..settings import Settings
from ..state.files import state_folder
from ..state.keys import Credentials, read_keys
from . import lock
from .daemon_file import DaemonFileError, read_daemon_file

REGION = "us-east-1"
_START_S = 60.0
_STOP_S = 30.0
_POLL_S = 0.02
_LOG_TAIL_LINES = 15
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class LifecycleError(LocalAwsError):
    """The server does not start, stop or answer."""


def up(state_dir: Path, settings: Settings | None) -> dict[str, Any]:
    """Start the server unless it runs, apply the settings if given, and return its status."""
    state_dir = state_folder(state_dir).resolve()
    process = None if lock.is_locked(state_dir) else _spawn(state_dir)
    report = _await_answer(state_dir, process)
    if settings is not None:
        try:
            _request(state_dir, "POST", "settings", settings.model_dump_json().encode())
        except LifecycleError as error:
            # They were checked here: who refuses them was started by another version of this code.
            raise LifecycleError(
                f"{error}; it runs another version: stop it (down), then start again"
            ) from error
        report = _request(state_dir, "GET", "status")
    return report


def down(state_dir: Path) -> bool:
    """Stop the server and wait for its end; False if none ran."""
    if not lock.is_locked(state_dir):
        return False
    pid = _holder(state_dir)
    _signal(pid, signal.SIGTERM)
    if not _await_end(state_dir, _STOP_S):
        _signal(pid, signal.SIGKILL)
        if not _await_end(state_dir, _STOP_S):
            raise LifecycleError(
                f"process {pid} of {state_dir} does not exit, not even on SIGKILL; inspect it"
            )
    return True


def status(state_dir: Path) -> dict[str, Any]:
    """The server's own report, or {"running": false} if none runs."""
    state_dir = state_dir.resolve()
    if not lock.is_locked(state_dir):
        return {"running": False, "state_dir": str(state_dir), "endpoints": []}
    return _request(state_dir, "GET", "status")


def environment(state_dir: Path) -> dict[str, str]:
    """The variables that make any AWS client use this server."""
    if not lock.is_locked(state_dir):
        raise LifecycleError(f"no embedded AWS runs in {state_dir}; start it with `localaws up`")
    credentials = _user(state_dir)
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{_daemon_file(state_dir)['port']}",
        "AWS_ACCESS_KEY_ID": credentials.access_key_id,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_access_key,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        # A profile of the user must not redirect these requests to a real account.
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        **loopback_without_proxy(os.environ),
    }


def loopback_without_proxy(variables: Mapping[str, str]) -> dict[str, str]:
    """Where a proxy is set, the variables that keep requests to this machine away from it."""
    if not any(value and name.lower() in _PROXIES for name, value in variables.items()):
        return {}
    given = [variables.get(name, "").strip() for name in ("no_proxy", "NO_PROXY")]
    if "*" in given:
        return {}
    hosts = dict.fromkeys(host.strip() for text in given for host in text.split(",") if host.strip())
    merged = ",".join([*hosts, *(host for host in _LOOPBACK if host not in hosts)])
    return {"NO_PROXY": merged, "no_proxy": merged}  # clients differ in which one they read


def log_path(state_dir: Path) -> Path:
    """Where the server writes its log."""
    return state_dir / "daemon.log"


def _spawn(state_dir: Path) -> subprocess.Popen[bytes]:
    descriptor = os.open(log_path(state_dir), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    # Nothing of the caller's AWS settings may reach the server, or the processes that it starts.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    kept |= loopback_without_proxy(kept)
    package_root = str(Path(__file__).resolve().parents[2])
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, (package_root, kept.get("PYTHONPATH"))))
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "localaws.server.daemon", str(state_dir)],
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            cwd=state_dir,
            env=kept,
            start_new_session=True,
        )
    finally:
        os.close(descriptor)


def _await_answer(state_dir: Path, process: subprocess.Popen[bytes] | None) -> dict[str, Any]:
    deadline_s = time.monotonic() + _START_S
    while time.monotonic() < deadline_s:
        exit_code = None if process is None else process.poll()
        if not lock.is_locked(state_dir):
            if exit_code == lock.EXIT_ALREADY_RUNNING or process is None:
                # The one that ran was on its way out.
                process = _spawn(state_dir)
            elif exit_code is not None:
                break
        try:
            return _request(state_dir, "GET", "status")
        except (LifecycleError, OSError, http.client.HTTPException):
            time.sleep(_POLL_S)
    path = log_path(state_dir)
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    tail = "\n".join(lines[-_LOG_TAIL_LINES:])
    raise LifecycleError(f"the embedded AWS in {state_dir} does not answer; the end of {path}:\n{tail}")


def _await_end(state_dir: Path, timeout_s: float) -> bool:
    deadline_s = time.monotonic() + timeout_s
    while lock.is_locked(state_dir):
        if time.monotonic() > deadline_s:
            return False
        time.sleep(_POLL_S)
    return True


def _holder(state_dir: Path) -> int:
    deadline_s = time.monotonic() + _STOP_S
    while (pid := lock.holder(state_dir)) is None:
        if time.monotonic() > deadline_s:
            raise LifecycleError(f"the server of {state_dir} does not say which process it is")
        time.sleep(_POLL_S)
    return pid


def _request(state_dir: Path, method: str, action: str, body: bytes = b"") -> dict[str, Any]:
    described = _daemon_file(state_dir)
    host = f"127.0.0.1:{described['port']}"
    path = f"/_localaws/{action}"
    headers = sigv4.signed_headers(
        _user(state_dir),
        sigv4.Request(method, path, "", {"host": [host]}),
        "localaws",
        REGION,
        body,
        datetime.now(UTC),
    )
    connection = http.client.HTTPConnection(host, timeout=10.0)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        document: dict[str, Any] = json.loads(answer.read())
    except ValueError as error:
        raise LifecycleError(f"what listens on {host} is not the embedded AWS of {state_dir}") from error
    finally:
        connection.close()
    if answer.status != 200:
        raise LifecycleError(f"the embedded AWS refused {action}: {document.get('message', answer.status)}")
    return document


def _daemon_file(state_dir: Path) -> dict[str, int]:
    """The file of the server that locks the folder; a file that another process left is ignored."""
    try:
        described = read_daemon_file(state_dir)
    except FileNotFoundError as error:
        raise LifecycleError(f"the embedded AWS in {state_dir} has not started yet") from error
    except DaemonFileError as error:
        raise LifecycleError(str(error)) from error
    if not lock.is_locked(state_dir) or described["pid"] != lock.holder(state_dir):
        raise LifecycleError(f"the embedded AWS in {state_dir} does not listen yet")
    return described


def _user(state_dir: Path) -> Credentials:
    try:
        keys = read_keys(state_dir / "keys.json")
    except FileNotFoundError as error:
        raise LifecycleError(f"the embedded AWS in {state_dir} has not made its key pair yet") from error
    user = next((key for key in keys if key.label == "user"), None)
    if user is None:
        raise LifecycleError(f"the embedded AWS in {state_dir} has not made its key pair yet")
    return Credentials(user.access_key_id, user.secret_access_key)


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
