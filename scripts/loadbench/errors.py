"""Every error that a user can see. Each says what happened, to which resource, and what to do next."""

from __future__ import annotations

import errno


class LoadbenchError(Exception):
    """Base of all errors of this package; `exit_code` is the exit code of the command.

    `message` says what happened and where, `remedy` what to do next; `details` holds helpful output
    (a container's last log lines, Terraform's error).
    """

    exit_code = 1

    def __init__(self, message: str, *, remedy: str = "", details: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.details = details


class UsageError(LoadbenchError):
    """The configuration or the command line is wrong; nothing was started."""

    exit_code = 2


class ConfigError(UsageError):
    """The configuration file is wrong: names the file, the line and the key."""


class NotFoundError(UsageError):
    """A resource that the user named does not exist, or not yet."""


class PreflightError(UsageError):
    """A pre-flight check failed; nothing was created."""


class RunError(LoadbenchError):
    """A step of a run failed after it had started."""


class ServiceError(RunError):
    """A failure reported by AWS, Terraform or a container: `explain_failure.py` looks for its cause."""


class StorageError(RunError):
    """A file cannot be written or read: full disk, read-only folder, missing permission."""


class StateLockedError(RunError):
    """Another process uses the Terraform state of the same run; nothing was changed."""


class LeftoverError(LoadbenchError):
    """A resource that costs money still exists."""

    exit_code = 3


class InterruptedRunError(LoadbenchError):
    """The user stopped the run; what it had created was removed."""

    exit_code = 130


_STORAGE_REMEDIES = {
    errno.ENOSPC: "Free space on that disk (`df -h .`), or work in a folder on another one; then try again.",
    errno.EDQUOT: "Your disk quota is used up: remove files, or work in another folder; then try again.",
    errno.EROFS: "That disk is read-only: work in a folder that can be written, or mount it writable.",
    errno.EACCES: "Give yourself permission to write there (`ls -ld`), or work in another folder.",
    errno.EPERM: "Give yourself permission to write there (`ls -ld`), or work in another folder.",
    errno.EIO: "The disk reports errors: look at the system's log, or work in a folder on another disk.",
    errno.ENAMETOOLONG: "Choose a shorter name, or a folder with a shorter path.",
    errno.ENOTDIR: "A parent of that path is a file: choose another folder.",
    errno.EISDIR: "That is a folder: choose the path of a file.",
    errno.ELOOP: "The symbolic links of that path form a loop: correct them.",
    errno.EMFILE: "Too many files are open: raise the limit (`ulimit -n 4096`), then try again.",
}


def storage_error(error: OSError) -> StorageError | None:
    """An error of the disk with its remedy; None for other errors of the operating system."""
    remedy = _STORAGE_REMEDIES.get(error.errno or 0)
    if remedy is None:
        return None
    where = f" {str(error.filename)[:200]}" if error.filename else ""
    return StorageError(f"a file{where} cannot be used: {error.strerror}", remedy=remedy)
