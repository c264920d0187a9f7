"""The log of a call: there when something happened, private, without secrets, the newest kept."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadbench import call_log
from loadbench.redaction import MASK

TOKEN = "hf_PlantedForThisTestAndNothingElse0003"
LOG = logging.getLogger("loadbench.test")


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[call_log.CallLog]:
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    begun = call_log.begin(tmp_path, ["run", "fast", "--set", f"x={TOKEN}"])
    yield begun
    logging.captureWarnings(False)
    logging.getLogger().removeHandler(begun)
    begun.close()


def test_a_call_that_says_nothing_leaves_no_file(log: call_log.CallLog, tmp_path: Path) -> None:
    assert log.path is None
    assert list(tmp_path.iterdir()) == []


def test_the_file_names_the_call_and_only_its_owner_reads_it(log: call_log.CallLog) -> None:
    LOG.info("something")
    assert log.path is not None
    first, second = log.path.read_text(encoding="utf-8").splitlines()
    assert "run fast" in first
    assert second.endswith("INFO something")
    assert "-run-" in log.path.name
    assert log.path.stat().st_mode & 0o077 == 0


def test_secrets_stand_neither_in_the_call_nor_in_a_traceback(log: call_log.CallLog) -> None:
    try:
        raise ValueError(f"refused: {TOKEN}")
    except ValueError:
        LOG.exception("unexpected")
    assert log.path is not None
    text = log.path.read_text(encoding="utf-8")
    assert "Traceback" in text
    assert TOKEN not in text
    assert f"refused: {MASK}" in text


def test_what_libraries_warn_about_and_threads_die_of_goes_to_the_file(
    log: call_log.CallLog, capfd: pytest.CaptureFixture[str]
) -> None:
    def die() -> None:
        raise RuntimeError("thread broke")

    warnings.warn("library is old", stacklevel=1)
    thread = threading.Thread(target=die)
    thread.start()
    thread.join()
    assert log.path is not None
    text = log.path.read_text(encoding="utf-8")
    assert "thread broke" in text
    assert "library is old" in text
    assert "broke" not in capfd.readouterr().err


def test_only_the_newest_files_are_kept(log: call_log.CallLog, tmp_path: Path) -> None:
    folder = tmp_path / call_log.LOGS
    folder.mkdir(parents=True)
    for number in range(call_log.KEPT + 5):
        (folder / f"20200101-0000{number:02}-run-1.log").touch()
    LOG.info("something")
    names = sorted(file.name for file in folder.iterdir())
    assert len(names) == call_log.KEPT
    assert log.path is not None
    assert names[-1] == log.path.name
    assert "20200101-000000-run-1.log" not in names


def test_a_folder_that_cannot_be_written_costs_the_log_only(
    log: call_log.CallLog, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".loadbench").write_text("a file where the folder should be", encoding="utf-8")
    LOG.info("something")
    assert log.path is None
    assert capfd.readouterr().err == ""
