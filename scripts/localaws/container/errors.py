"""Errors of the model server."""

from __future__ import annotations

from ..errors import LocalAwsError


class ContainerError(LocalAwsError):
    """The container cannot start or go on; it exits, and the text is its last log line."""


class RequestError(LocalAwsError):
    """A request this model cannot serve; `status` is the HTTP status of the answer.

    djl-serving answers 424 where its Python worker refuses a request, and 400 where the front end does.
    """

    def __init__(self, message: str, status: int = 424) -> None:
        super().__init__(message)
        self.status = status
