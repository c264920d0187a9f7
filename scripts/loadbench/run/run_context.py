"""The context of a run: configuration, account, folders, terminal."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from loadbench.clock import SteadyClock
from loadbench.config import Config
from loadbench.errors import PreflightError, UsageError, storage_error
from loadbench.file_lock import locked
from loadbench.target import Account
from loadbench.ui import Ui
from loadbench.workspace import Workspace

TOKEN_NAMES = ("HUGGING_FACE_HUB_TOKEN", "HF_TOKEN")


def hugging_face_token() -> str | None:
    """The token from the environment or `.env`; None when unset."""
    return next((os.environ[name] for name in TOKEN_NAMES if os.environ.get(name)), None)


@dataclass(frozen=True)
class RunContext:
    """The context of one command."""

    config: Config
    workspace: Workspace
    account: Account
    ui: Ui
    command: list[str]
    clock: SteadyClock = field(default_factory=SteadyClock)

    def terraform_environment(self) -> Mapping[str, str]:
        """Terraform's environment: the account, and the token as a sensitive variable, never in a file."""
        variables = dict(self.account.environment)
        if token := hugging_face_token():
            variables["TF_VAR_hugging_face_token"] = token
        return variables

    @contextmanager
    def path_lock(self, load_path: str) -> Iterator[int]:
        """Lock a load path; gives and raises the same as `lock_path`."""
        with lock_path(self.workspace, load_path) as lock:
            yield lock


@contextmanager
def lock_path(workspace: Workspace, load_path: str) -> Iterator[int]:
    """Allow one run of a load path at a time in one checkout. Gives the lock's file descriptor.

    A child process that inherits the descriptor keeps the lock until it ends. Raises UsageError if another
    process holds the lock, PreflightError if it cannot be created.
    """
    file = workspace.private_dir / f"{load_path}.lock"
    with ExitStack() as closing:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            lock = closing.enter_context(locked(file, wait=False))
            os.ftruncate(lock, 0)
            os.write(lock, str(os.getpid()).encode())
        except BlockingIOError as error:
            raise UsageError(
                f"{_holder(file.read_text().strip())} is running the {load_path} path in this checkout",
                remedy="Wait until it ends, or use a second checkout.",
            ) from error
        except OSError as error:
            known = storage_error(error)
            raise PreflightError(
                f"cannot create the lock {file}: {error.strerror}", remedy=known.remedy if known else ""
            ) from error
        yield lock


def _holder(pid: str) -> str:
    if pid.isascii() and pid.isdigit() and not Path(f"/proc/{pid}").exists():
        return f"a process that was started by process {pid}, which has ended,"
    return f"process {pid}"
