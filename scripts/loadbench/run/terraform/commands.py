"""Runs Terraform commands. Only this module uses python-terraform, and only to build command lines.

The library itself shows no output before the end, forwards no signals, inherits stdin, ignores errors, and
turns every misspelt method into a Terraform command (docs/traps.md). So only its `generate_cmd_string` is
used.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import python_terraform

from loadbench.errors import RunError, ServiceError, StateLockedError
from loadbench.progress import OnProgress, ignore_progress
from loadbench.run.terraform import install, working_copy
from loadbench.run.terraform.install import Binary
from loadbench.run.terraform.process import POLL_INTERVAL_S, TerraformProcess

_FLAG = python_terraform.IsFlagged
# Since 1.10 Terraform prefers the path in the backend block, where it cannot depend on the run.
_DEPRECATION = b"Warning: Deprecated flag: -state"
_STOPPING = "Stopping Terraform gracefully, so that its state is saved. This can take minutes."
_STILL_STOPPING = "Terraform is still stopping; a second signal is not sent, because it would lose the state."


_RESOURCE_MESSAGE = re.compile(
    r"(?:module\.[\w-]+(?:\[[^\]]*\])?\.)+(?P<resource>[\w.\-]+)(?:\[[^\]]*\])?: "
    r"(?P<what>[^\[]*?) *(?:\[.*)?$"
)


@dataclass(frozen=True)
class TerraformEvent:
    """One line of `terraform … -json`, or our own event `interrupting`."""

    timestamp_s: float
    type: str  # apply_start, apply_progress, apply_complete, apply_errored, diagnostic, outputs, text, …
    message: str
    resource: str = ""  # its address
    action: str = ""  # create, delete, …
    raw: Mapping[str, Any] = field(default_factory=dict)

    @property
    def short_message(self) -> str:
        """`module.a.type.name: Still creating... [10s elapsed]` as `type.name: still creating`."""
        found = _RESOURCE_MESSAGE.match(self.message)
        if not found:
            return self.message
        return f"{found['resource']}: {found['what'][:1].lower()}{found['what'][1:].rstrip('.')}"


OnEvent = Callable[[TerraformEvent], None]


def ignore_event(_: TerraformEvent) -> None:
    """For callers that show nothing."""


class Terraform:
    """The root module with the state of one run.

    `environment` has the AWS_* and TF_VAR_* variables; secrets are never on a command line or in a file.
    `backend` is the place of the state in S3; None: in `state_file`. `log_file` gets the output of all
    commands, one JSON object per line.
    """

    def __init__(
        self,
        root: Path,
        state_file: Path,
        environment: Mapping[str, str],
        log_file: Path,
        *,
        binary: Binary | None = None,
        backend: Mapping[str, Any] | None = None,
    ) -> None:
        self._root = root.resolve()
        self._state_file = state_file.resolve()
        self._environment = environment
        self._log_file = log_file.resolve()
        self._given_binary = binary
        self._backend = backend
        # State files are in <private>/runs/<run id>/, plugins in <private>/terraform/<root's name>/.
        self._private_dir = self._state_file.parents[2]
        self._data_dir = (
            install.data_dir_of(self._root, self._private_dir)
            if backend is None
            else self._state_file.parent / "terraform-data"  # it stores the backend, which differs by run
        )

    @cached_property
    def _binary(self) -> Binary:
        return self._given_binary or install.find_terraform()

    @cached_property
    def _code(self) -> Path:
        if self._backend is None:
            return working_copy.shared_copy(self._root, self._binary, self._private_dir)
        return working_copy.own_copy(self._root, self._binary, self._state_file.parent, self._backend)

    def version(self) -> str:
        """Terraform's version; OpenTofu's with its name."""
        return f"OpenTofu {self._binary.version}" if self._binary.is_opentofu else self._binary.version

    def provider_version(self) -> str:
        """The AWS provider's version, as locked."""
        return install.locked_version(self._root) or "unknown"

    def configuration_by(self) -> str:
        """Who makes the endpoint configuration of inference components."""
        return working_copy.configuration_by(self._root)

    def init(self, on_progress: OnProgress = ignore_progress) -> bool:
        """Install provider and modules if these files need it; returns whether it was done."""
        return install.initialize(
            self._binary,
            self._code,
            self._data_dir,
            account=self._environment if self._backend else None,
            cache_dir=install.plugin_cache(self._private_dir),
            on_progress=on_progress,
        )

    def apply(
        self, var_file: Path, on_event: OnEvent = ignore_event, *, targets: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Apply the root module and return its outputs; None for an output that is null.

        With `targets`, only these resources and modules, and their dependencies.

        Raises RunError with Terraform's diagnostics. An interruption is raised again after Terraform has
        stopped gracefully and saved its state.
        """
        declared = (self._root / "outputs.tf").read_text(encoding="utf-8")
        outputs: dict[str, Any] = dict.fromkeys(re.findall(r'^output "(\w+)"', declared, re.MULTILINE))

        def take_outputs(event: TerraformEvent) -> None:
            # From the output of apply: another command would take a second.
            if event.type == "outputs":
                outputs.update((name, item.get("value")) for name, item in event.raw["outputs"].items())
            on_event(event)

        options: dict[str, Any] = {"target": list(targets)} if targets else {}
        self._run("apply", take_outputs, self._code, {}, var_file=str(var_file.resolve()), **options)
        return outputs

    def destroy(self, var_file: Path, on_event: OnEvent = ignore_event) -> None:
        """Destroy everything in the state; of the variables only `region` is used.

        The first attempt does not refresh the state, which saves reading every resource. If it fails,
        something else has changed the resources, and a second attempt refreshes first. Raises RunError like
        `apply`, also for an endpoint that is still being created, which SageMaker does not delete.
        """
        folder, region = working_copy.removal_folder(self._code), _region_variable(var_file)
        try:
            self._run("destroy", on_event, folder, region, refresh=False)
        except StateLockedError:
            raise
        except RunError:
            self._run("destroy", on_event, folder, region)

    def command(self, name: str, **options: Any) -> list[str]:
        """A non-interactive command line that prints JSON and uses this run's state."""
        # Called on the class: on an instance, a misspelt method becomes a Terraform command.
        built = python_terraform.Terraform.generate_cmd_string(
            _Builder(str(self._binary.path)),
            name,
            auto_approve=_FLAG,
            input=False,
            json=_FLAG,
            **({"state": str(self._state_file), "backup": "-"} if self._backend is None else {}),
            **options,
        )
        return [str(part) for part in built]

    def _run(
        self, name: str, on_event: OnEvent, folder: Path, variables: Mapping[str, str], **options: Any
    ) -> None:
        command = self.command(name, **options)
        self._state_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        self._log_file.touch(mode=0o600)  # error messages quote values of the configuration
        errors_file = self._state_file.with_name(f"terraform-{name}.stderr")
        # Its output goes to a file, not a pipe: if this process dies, Terraform still completes and saves its
        # state.
        with self._log_file.open("ab") as log, errors_file.open("wb") as errors:
            start_offset = self._log_file.stat().st_size
            process = self._start(command, folder, {**self._environment, **variables}, log, errors)
            with self._log_file.open("rb") as stream:
                stream.seek(start_offset)
                code = _follow(process, Tail(stream), on_event)
        if code != 0:
            raise self._failure(name, code, start_offset, errors_file)

    def _start(
        self,
        command: list[str],
        folder: Path,
        environment: Mapping[str, str],
        log: BinaryIO,
        errors: BinaryIO,
    ) -> TerraformProcess:
        try:
            return TerraformProcess(
                command,
                self._state_file.parent,
                cwd=folder,
                env=install.child_environment(environment, data_dir=self._data_dir),
                output=log,
                errors=errors,
            )
        except OSError as error:
            raise RunError(
                f"cannot run {command[0]}: {error}",
                remedy="Check that Terraform is installed and executable.",
            ) from error

    def _failure(self, name: str, code: int, start_offset: int, errors_file: Path) -> RunError:
        with self._log_file.open("rb") as stream:
            stream.seek(start_offset)
            events = list(Tail(stream).events())
        problems = [_diagnostic(event) for event in events if _is_error(event)]
        plain = [event.message for event in events if event.type == "text"]
        words = problems or [text for text in ("\n".join(plain), _tail_of(errors_file)) if text.strip()]
        # Without "Lock Info" nobody has the lock: the state or the lock cannot be read or written.
        if words and words[0].startswith("Error acquiring the state lock") and "Lock Info:" in words[0]:
            return _locked(words[0], self._backend)
        if code < 0:
            cause = f"Terraform was ended by {signal.Signals(-code).name}"
        else:
            cause = words[0].splitlines()[0] if words else f"exit code {code} without output"
        return ServiceError(
            f"terraform {name} failed: {cause}",
            details="\n\n".join(words),
            remedy=f"Terraform's full output is in {self._log_file.name} beside the run's record.",
        )


def _region_variable(var_file: Path) -> dict[str, str]:
    """The region from a variable file, for the environment of Terraform.

    Empty if it cannot be read: Terraform then reports the missing variable.
    """
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        return {"TF_VAR_region": str(json.loads(var_file.read_text(encoding="utf-8"))["region"])}
    return {}


@dataclass(frozen=True)
class _Builder:
    """The attributes that `generate_cmd_string` reads; a real object would read a stray state file."""

    terraform_bin_path: str


class Tail:
    """Reads complete lines of a file that is still being written."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._rest = b""

    def events(self) -> Iterator[TerraformEvent]:
        """Events since the last call; an incomplete line is kept for the next call."""
        *lines, self._rest = (self._rest + self._stream.read()).split(b"\n")
        for line in lines:
            if line.strip() and _DEPRECATION not in line:
                yield parse_event(line)


def parse_event(line: bytes) -> TerraformEvent:
    """The event of one line; a line that is not JSON (usage errors, a crash) becomes a `text` event."""
    text = line.decode("utf-8", errors="replace").rstrip("\r")
    try:
        raw = json.loads(text)
    except ValueError:
        raw = None
    if not isinstance(raw, dict):
        return TerraformEvent(time.time(), "text", text)
    subject = raw.get("hook") or raw.get("change") or raw.get("diagnostic") or {}
    resource = subject.get("resource") or {}
    return TerraformEvent(
        timestamp_s=_timestamp_s(raw.get("@timestamp")),
        type=str(raw.get("type", "text")),
        message=str(raw.get("@message", "")),
        resource=str(resource.get("addr") or subject.get("address") or ""),
        action=str(subject.get("action") or ""),
        raw=raw,
    )


def _timestamp_s(value: object) -> float:
    try:
        return datetime.datetime.fromisoformat(str(value)).timestamp()
    except ValueError:
        return time.time()


def _follow(process: TerraformProcess, tail: Tail, on_event: OnEvent) -> int:
    """Pass on events until the process has ended, and return its exit code; interruptions are raised
    after that.
    """
    stopped: BaseException | None = None
    announcements: list[str] = []
    while True:
        try:
            while announcements:
                on_event(TerraformEvent(time.time(), "interrupting", announcements.pop()))
            for event in tail.events():
                on_event(event)
            code = process.wait(POLL_INTERVAL_S)
            for event in tail.events():
                on_event(event)
            break
        except subprocess.TimeoutExpired:
            continue
        except BaseException as error:  # noqa: BLE001 -- an interrupt or a bug in on_event: Terraform must end first
            if stopped is None:
                stopped = error
                process.interrupt()
            if not isinstance(error, KeyboardInterrupt):
                on_event = ignore_event
            announcements.append(_STOPPING if stopped is error else _STILL_STOPPING)
    if stopped is not None:
        raise stopped
    return code


def _is_error(event: TerraformEvent) -> bool:
    return event.type == "diagnostic" and event.raw.get("diagnostic", {}).get("severity") == "error"


def _diagnostic(event: TerraformEvent) -> str:
    diagnostic = event.raw["diagnostic"]
    where = [diagnostic["address"]] if diagnostic.get("address") else []
    return "\n".join(
        [str(diagnostic.get("summary", "")), *where, *str(diagnostic.get("detail", "")).splitlines()]
    )


def _locked(words: str, backend: Mapping[str, Any] | None) -> StateLockedError:
    """Terraform's error names the owner of the lock and its time."""
    found = dict(re.findall(r"^ *(Who|Created): +(\S.*)$", words, re.MULTILINE))
    who, since = found.get("Who", "another process"), found.get("Created", "").partition(".")[0]
    lock = f"s3://{backend['bucket']}/{backend['key']}.tflock" if backend else "the state file"
    return StateLockedError(
        f"{who} is using this run's state{f' since {since} UTC' if since else ''}",
        details=words,
        remedy=f"Wait until it is finished. If that process has died, remove the lock and try again: {lock}",
    )


def _tail_of(file: Path, size_bytes: int = 4000) -> str:
    return file.read_bytes()[-size_bytes:].decode("utf-8", errors="replace").strip() if file.is_file() else ""
