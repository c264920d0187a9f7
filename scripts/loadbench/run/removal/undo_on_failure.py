"""What every step that costs money does if it ends early: record why, undo its changes, report both.

Shared by runs, scale-outs and everything else that creates resources. The undo does not depend on anything
else: a record that cannot be written, or a log that cannot be read, is a warning.
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
    """A step that costs money. Only `undo` may raise: LeftoverError if it fails.

    `note` records the outcome, `log_lines` returns the container's log, `undone` describes the state after a
    successful `undo`, `seen_in` is the path of the record.
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
    """Undo the attempt, whatever ends it early, and raise an error with cause and outcome.

    RunError and its subclasses are raised with an explanation, a disk that cannot be used as StorageError, an
    interruption as InterruptedRunError, other exceptions unchanged. If `undo` fails, LeftoverError is raised
    instead.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        failure = InterruptedRunError(
            f"{attempt.what} was interrupted; {attempt.undone}",
            remedy=f"Everything observed until then is in {attempt.seen_in}.",
        )
        _undo(attempt, "interrupted", None, f"{attempt.what} was interrupted")
        raise failure from error
    except Exception as error:
        known = _as_ours(error)
        failure_or_defect = known or RunError(f"unexpected {type(error).__name__}: {error}")
        lines = _guarded(attempt, attempt.log_lines) or []
        reported = explained(failure_or_defect, lines) if known else failure_or_defect
        _undo(attempt, "failed", _recorded(reported, attempt.step(), lines), reported.message)
        if known is None:
            raise  # the command line logs its traceback
        raise reported from (error.__cause__ if known is error else error)


def _as_ours(error: Exception) -> LoadbenchError | None:
    if isinstance(error, LoadbenchError):
        return error
    return storage_error(error) if isinstance(error, OSError) else None


def _undo(attempt: Attempt, status: RunStatus, failure: Failure | None, ending: str) -> None:
    """Record, undo, record again: the first record is for a process that is killed meanwhile."""
    _guarded(attempt, lambda: attempt.note(status, failure))
    try:
        attempt.undo()
    except UsageError:
        raise  # undoing is no longer possible
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
