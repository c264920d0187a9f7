"""Errors of the embedded AWS: one base class, and the error that clients receive."""

from __future__ import annotations

from collections.abc import Mapping


class LocalAwsError(Exception):
    """Base of everything this package raises on purpose; its text says what to do next."""


class AwsError(LocalAwsError):
    """An error response of AWS. The gateway writes it in the protocol of the request.

    `members` are further members of the modelled error shape (ModelError's `OriginalStatusCode`, say),
    `headers` are sent with it.
    """

    def __init__(
        self,
        code: str,
        message: str,
        status: int = 400,
        members: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.members = dict(members or {})
        self.headers = dict(headers or {})
