"""Every error a user can meet. Each says what happened, in which resource, and what to do next."""

from __future__ import annotations


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


class StateLockedError(RunError):
    """Another process works with the Terraform state of the same run; nothing was changed."""


class LeftoverError(LoadbenchError):
    """Something that costs money is still there."""

    exit_code = 3


class InterruptedRunError(LoadbenchError):
    """The user stopped the run; what it had created was removed."""

    exit_code = 130
