"""What must hold after an interrupted run and after its removal. Each broken promise is one line of text."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

from loadbench.results.run_record import RunRecord, load_record, record_file
from loadbench.run.explain_failure import EXPLANATIONS
from tests.reliability.home import Home
from tests.reliability.interruptions import (
    FAILED,
    FAULTS,
    INTERRUPTED,
    LEFT,
    REFUSED,
    SUCCEEDED,
    Case,
    Strike,
    expected_exit_codes,
)

_SETTLES_WITHIN_S = 5.0
_STATUS = {SUCCEEDED: "succeeded", FAILED: "failed", INTERRUPTED: "interrupted"}


def of_the_run(
    case: Case, home: Home, struck: Strike, exit_code: int, words: str, new: Path | None
) -> list[str]:
    """The run's exit code, its words, its record; and that it removed what it says it removed."""
    broken = []
    allowed = expected_exit_codes(case, struck)
    if case.kind == "kill -9 Terraform" and new is None:
        allowed = (*allowed, REFUSED)  # it was only asked for its version: nothing had begun
    if exit_code not in allowed:
        broken.append(f"exit code {exit_code} instead of {' or '.join(map(str, allowed))}")
    if exit_code >= 0 and struck.doing != "starting":
        # Nothing can be printed to a closed terminal; an interpreter still starting says what it says.
        broken += _spoken(words, exit_code, silent=case.kind == "terminal closed")
    if exit_code in (FAILED, INTERRUPTED) and home.aws_pid() is not None:
        broken += _none(home.in_account, f"exit code {exit_code}, yet there is ")
    is_recordable = case.kind != "disk full" or exit_code == SUCCEEDED
    if new is not None and is_recordable and exit_code in (SUCCEEDED, FAILED, INTERRUPTED, LEFT):
        broken += _recorded(case, home, exit_code, new.name, words)
    return broken


def of_the_removal(
    home: Home,
    exit_codes: list[int],
    words: list[str],
    before: dict[str, tuple[int, int]],
    shards: set[str],
    new: Path | None,
) -> list[str]:
    """Nothing is left anywhere, and nothing is gone that should stay."""
    broken = [f"destroy ended with {code}" for code in exit_codes if code != SUCCEEDED]
    for text in words:
        if "Traceback" in text:
            broken.append(f"destroy: traceback {text.strip().splitlines()[-1][:160]}")
    for look in (home.in_account, home.half_made, home.state_folders, home.processes):
        broken += _none(look, "left: ")
    after = home.results()
    broken += [f"earlier result changed: {name}" for name in before if after.get(name) != before[name]]
    if lost := shards - home.shards():
        broken.append(f"{len(lost)} objects of finished shards are gone")
    if new is not None and (new / "run.json").exists():  # on a full disk there may be none
        try:
            record = load(home, new.name)
        except Exception as error:  # noqa: BLE001 - whatever it is, the record cannot be read
            return [*broken, f"the record cannot be read: {error!r}"[:200]]
        if record.status == "running":
            broken.append("the record says for ever that the run is running")
        if record.destroyed_s is None:
            broken.append("the record does not say that the run was removed")
    return broken


def of_a_removal_on_a_full_disk(home: Home, exit_code: int, words: str) -> list[str]:
    """It removes, or says what is left; the disk is no excuse for a traceback."""
    broken = []
    if exit_code not in (SUCCEEDED, LEFT):
        broken.append(f"destroy on a full disk ended with {exit_code}")
    if "Traceback" in words:
        broken.append(f"destroy on a full disk: traceback {words.strip().splitlines()[-1][:160]}")
    if exit_code == SUCCEEDED:
        broken += _none(home.in_account, "destroy on a full disk ended with 0, yet there is ")
    return broken


def load(home: Home, run_id: str) -> RunRecord:
    """A run's record."""
    return load_record(record_file(home.folder / "results", run_id))


def _spoken(words: str, exit_code: int, *, silent: bool) -> list[str]:
    if "Traceback" in words or "Exception ignored" in words:
        return [f"traceback: {words.strip().splitlines()[-1][:160]}"]
    messages = len(re.findall(r"^(?:Error: |interrupted$)", words, re.MULTILINE))
    wanted = 0 if exit_code == SUCCEEDED else 1
    if silent or messages == wanted:
        return []
    return [f"{messages} messages instead of {wanted}"]


def _recorded(case: Case, home: Home, exit_code: int, run_id: str, words: str) -> list[str]:
    try:
        record = load(home, run_id)
    except Exception as error:  # noqa: BLE001 - whatever it is, the record cannot be read
        return [f"the record cannot be read: {error!r}"[:200]]
    broken = []
    if exit_code in _STATUS and record.status != _STATUS[exit_code]:
        broken.append(f"exit code {exit_code}, but the record says {record.status}")
    if exit_code == FAILED and (record.failure is None or not record.failure.message):
        broken.append("the record does not say why the run failed")
    fault = FAULTS[case.fault] if case.fault else None
    if fault and fault.explanation and exit_code in (FAILED, LEFT):
        cause = next(known.cause for known in EXPLANATIONS if known.name == fault.explanation)
        if record.failure is None or cause not in record.failure.message:
            said = record.failure.message if record.failure else "nothing"
            broken.append(f"not explained as {fault.explanation}: {said[:200]!r}")
        elif cause not in words:
            broken.append("the explanation stands in the record only")
    return broken


def _none(look: Callable[[], list[str]], introduction: str) -> list[str]:
    """Nothing is found, at the latest after a moment: processes take time to end."""
    deadline_s = time.monotonic() + _SETTLES_WITHIN_S
    while (found := look()) and time.monotonic() < deadline_s:
        time.sleep(0.1)
    return [introduction + item for item in found]
