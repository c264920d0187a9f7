"""What every paid step does when it does not come to its end: note why, undo what it made, say both.

One ladder for runs, scale-outs and whatever else creates something. The undoing depends on nothing else: a
record that cannot be written, or a log that cannot be read, is a warning.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from loadbench.errors import (
    InterruptedRunError,
    LeftoverError,
    LoadbenchError,
    RunError,
    UsageError,
    storage_error,
)
from loadbench.results.run_record import Failure, RunStatus
from loadbench.run.explain_failure import explained

Result = TypeVar("Result")
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Attempt:
    """Something that costs money while it lasts. Only `undo` may raise, LeftoverError if it fails.

    `note` writes an ending into the record, `log_lines` are the container's, `undone` says what is so after
    an `undo` that went well, `seen_in` where the record is.
    """

    what: str
    note: Callable[[RunStatus, Failure | None], None]
    undo: Callable[[], None]
    log_lines: Callable[[], list[str]]
    step: Callable[[], str]
    undone: str
    seen_in: str
    warn: Callable[[str], None]


@contextmanager
def undone_on_failure(attempt: Attempt) -> Iterator[None]:
    """Undo the attempt, whatever ends it early, and raise the error that tells cause and outcome.

    RunError and its kind are raised explained, a disk that cannot be used as StorageError, an interruption
    as InterruptedRunError, a defect of ours as it is. LeftoverError instead of each when `undo` fails.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        failure = InterruptedRunError(
            f"{attempt.what} was interrupted; {attempt.undone}",
            remedy=f"What was seen until then is in {attempt.seen_in}.",
        )
        _undo(attempt, "interrupted", None, f"{attempt.what} was interrupted")
        raise failure from error
    except Exception as error:
        known = _as_ours(error)
        failure_or_defect = known or RunError(f"unexpected {type(error).__name__}: {error}")
        lines = _guarded(attempt, attempt.log_lines) or []
        told = explained(failure_or_defect, lines) if known else failure_or_defect
        _undo(attempt, "failed", _recorded(told, attempt.step(), lines), told.message)
        if known is None:
            raise  # the command line logs its traceback
        raise told from (error.__cause__ if known is error else error)


def _as_ours(error: Exception) -> LoadbenchError | None:
    if isinstance(error, LoadbenchError):
        return error
    return storage_error(error) if isinstance(error, OSError) else None


def _undo(attempt: Attempt, status: RunStatus, failure: Failure | None, ending: str) -> None:
    """Note, undo, note again: the first one is for a process that is killed meanwhile."""
    _guarded(attempt, lambda: attempt.note(status, failure))
    try:
        attempt.undo()
    except UsageError:
        raise  # there is nothing any more that could be undone
    except (Exception, KeyboardInterrupt) as error:
        message = error.message if isinstance(error, LoadbenchError) else f"{type(error).__name__}: {error}"
        _LOG.error("%s could not be undone", attempt.what, exc_info=error)
        raise LeftoverError(
            f"{ending}\nWhat it had created may still be there: {message}",
            details=error.details if isinstance(error, LoadbenchError) else "",
            remedy=(error.remedy if isinstance(error, LoadbenchError) else "") or "Run `make destroy`.",
        ) from error
    finally:
        _guarded(attempt, lambda: attempt.note(status, failure))


def _recorded(error: LoadbenchError, step: str, log_lines: list[str]) -> Failure:
    return Failure(
        step=step,
        message=error.message,
        reason=error.details or None,
        remedy=error.remedy or None,
        log_lines=log_lines[-15:],
    )


def _guarded(attempt: Attempt, action: Callable[[], Result]) -> Result | None:
    """What must not keep the rest from being done; its error is a warning."""
    try:
        return action()
    except Exception as error:  # noqa: BLE001 -- whatever it is, the undoing comes first
        _LOG.warning("%s: %s", attempt.what, error, exc_info=error)
        attempt.warn(f"{attempt.what}: the record is not complete: {error}")
        return None
