"""Every error a user can meet. Each says what happened, in which resource, and what to do next."""

from __future__ import annotations

import errno


class LoadbenchError(Exception):
    """Base of all errors of this package; `exit_code` is what the command line ends with.

    `message` says what happened and where, `remedy` what to do next, `details` holds lines that help
    (a container's last log lines, Terraform's own words).
    """

    exit_code = 1

    def __init__(self, message: str, *, remedy: str = "", details: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.details = details


class UsageError(LoadbenchError):
    """The configuration or the call is wrong; nothing was started."""

    exit_code = 2


class ConfigError(UsageError):
    """The configuration file is wrong: names the file, the line and the key."""


class PreflightError(UsageError):
    """Something that would make the run fail was found before anything was created."""


class RunError(LoadbenchError):
    """A step of a run failed after it had started."""


class ServiceError(RunError):
    """A failure in the words of AWS, Terraform or a container: these may be explained, our own need not."""


class StorageError(RunError):
    """A file of this tool cannot be written or read: a full disk, a read-only folder, missing permission."""


class StateLockedError(RunError):
    """Another process works with the Terraform state of the same run; nothing was changed."""


class LeftoverError(LoadbenchError):
    """Something that costs money is still there."""

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
    errno.ENOTDIR: "A part of that path is a file: choose another folder.",
    errno.EISDIR: "That is a folder: choose the path of a file.",
    errno.ELOOP: "The symbolic links of that path lead in a circle: correct them.",
    errno.EMFILE: "Too many files are open: raise the limit (`ulimit -n 4096`), then try again.",
}


def storage_error(error: OSError) -> StorageError | None:
    """An error of the disk with what to do about it; None for other errors of the operating system."""
    remedy = _STORAGE_REMEDIES.get(error.errno or 0)
    if remedy is None:
        return None
    where = f" {str(error.filename)[:200]}" if error.filename else ""
    return StorageError(f"a file{where} cannot be used: {error.strerror}", remedy=remedy)
