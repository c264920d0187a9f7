"""Whatever ends a paid step: it is undone, noted where that is possible, and said with its exit code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from loadbench.errors import (
    InterruptedRunError,
    LeftoverError,
    LoadbenchError,
    RunError,
    StorageError,
    UsageError,
)
from loadbench.results.run_record import Failure, RunStatus
from loadbench.run.removal.undo_on_failure import Attempt, undone_on_failure

FULL = OSError(28, "No space left on device", "results/run.json")


@dataclass
class Seen:
    """What was done, in order."""

    done: list[str] = field(default_factory=list)
    failures: list[Failure | None] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def attempt(
    seen: Seen, undo: BaseException | None = None, note: Exception | None = None, log: Exception | None = None
) -> Attempt:
    def noted(status: RunStatus, failure: Failure | None) -> None:
        if note is not None:
            raise note
        seen.done.append(status)
        seen.failures.append(failure)

    def undone() -> None:
        seen.done.append("undo")
        if undo is not None:
            raise undo

    def lines() -> list[str]:
        if log is not None:
            raise log
        return ["the last line"]

    return Attempt(
        what="the standard run",
        note=noted,
        undo=undone,
        log_lines=lines,
        step=lambda: "deployment",
        undone="its resources were removed",
        seen_in="results/run",
        warn=seen.warnings.append,
    )


CASES: list[tuple[Callable[[], BaseException], type[BaseException], int, RunStatus]] = [
    (lambda: RunError("the endpoint failed"), RunError, 1, "failed"),
    (lambda: UsageError("no Terraform"), UsageError, 2, "failed"),
    (lambda: OSError(28, "No space left on device"), StorageError, 1, "failed"),
    (lambda: OSError(30, "Read-only file system"), StorageError, 1, "failed"),
    (lambda: KeyboardInterrupt(), InterruptedRunError, 130, "interrupted"),
]


@pytest.mark.parametrize(("cause", "error", "exit_code", "status"), CASES)
def test_each_ending_is_undone_and_noted(
    cause: Callable[[], BaseException], error: type[LoadbenchError], exit_code: int, status: RunStatus
) -> None:
    seen = Seen()
    with pytest.raises(error) as caught, undone_on_failure(attempt(seen)):
        raise cause()
    assert isinstance(caught.value, LoadbenchError)
    assert caught.value.exit_code == exit_code
    assert caught.value.remedy or exit_code in (1, 2)
    assert seen.done == [status, "undo", status]


def test_a_defect_is_raised_as_it_is_after_the_undoing() -> None:
    seen = Seen()
    with pytest.raises(ZeroDivisionError), undone_on_failure(attempt(seen)):
        raise ZeroDivisionError
    assert seen.done == ["failed", "undo", "failed"]
    (failure, _) = seen.failures
    assert failure is not None
    assert "ZeroDivisionError" in failure.message
    assert failure.log_lines == ["the last line"]


@pytest.mark.parametrize("note", [FULL, PermissionError(13, "Permission denied"), ValueError("a defect")])
@pytest.mark.parametrize("cause", [RunError("failed"), KeyboardInterrupt(), FULL])
def test_a_record_that_cannot_be_written_keeps_nothing_from_being_undone(
    note: Exception, cause: BaseException
) -> None:
    seen = Seen()
    with pytest.raises(LoadbenchError), undone_on_failure(attempt(seen, note=note, log=note)):
        raise cause
    assert seen.done == ["undo"]
    assert seen.warnings


@pytest.mark.parametrize("cause", [RunError("failed"), KeyboardInterrupt(), FULL, ZeroDivisionError()])
@pytest.mark.parametrize(
    "undo", [LeftoverError("an endpoint is there", details="endpoint x"), KeyboardInterrupt(), FULL]
)
def test_what_cannot_be_undone_is_exit_3_with_cause_and_names(
    cause: BaseException, undo: BaseException
) -> None:
    seen = Seen()
    with (
        pytest.raises(LeftoverError, match="may still be there") as caught,
        undone_on_failure(attempt(seen, undo=undo)),
    ):
        raise cause
    assert caught.value.exit_code == 3
    assert "destroy" in caught.value.remedy or isinstance(undo, LeftoverError)
    if isinstance(undo, LeftoverError):
        assert "endpoint x" in caught.value.details


def test_nothing_is_done_where_nothing_fails() -> None:
    seen = Seen()
    with undone_on_failure(attempt(seen)):
        pass
    assert seen == Seen()
