"""What a killed command leaves on the disk goes with the next one, and nothing that is in use."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from loadbench.scratch import scratch_folder, sweep

ROOT = Path(__file__).resolve().parents[2]
HOLD = """
import sys, time
from pathlib import Path
from loadbench.scratch import scratch_folder
with scratch_folder(Path(sys.argv[1])) as folder:
    (folder / "half").write_bytes(bytes(1000))
    print(folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def no_other_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))


def swept(home: Path) -> tuple[int, int]:
    return sweep(home / "private", home / "results", home / "cache")


@pytest.mark.parametrize("place", ["private", "private/tools", "private/terraform/x", "cache/models", "tmp"])
def test_a_folder_stays_while_its_process_lives_and_goes_when_it_was_killed(
    tmp_path: Path, place: str
) -> None:
    parent = tmp_path / place
    parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(parent)], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process:
        folder = Path(process.stdout.readline().strip())
        assert swept(tmp_path) == (0, 0)
        assert (folder / "half").exists()
        process.send_signal(signal.SIGKILL)
    assert swept(tmp_path) == (1, 1000)
    assert list(parent.iterdir()) == []


def test_a_folder_that_is_in_use_here_stays_too(tmp_path: Path) -> None:
    with scratch_folder() as folder:
        assert swept(tmp_path) == (0, 0)
        assert folder.is_dir()
    assert not folder.exists()


def test_an_interrupted_download_is_kept_for_a_day_and_never_removed_in_use(tmp_path: Path) -> None:
    models = tmp_path / "cache" / "models"
    partial = models / ".org--model.partial"
    partial.mkdir(parents=True)
    (partial / "model.safetensors").write_bytes(bytes(500))
    lock = models / ".org--model.lock"
    lock.touch()
    assert swept(tmp_path) == (0, 0)
    for path in (partial / "model.safetensors", partial):
        os.utime(path, (time.time() - 90_000,) * 2)
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert swept(tmp_path) == (0, 0)
    assert swept(tmp_path) == (1, 500)
    assert not partial.exists()


def test_half_a_record_of_an_ended_process_goes(tmp_path: Path) -> None:
    run = tmp_path / "results" / "run"
    run.mkdir(parents=True)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    mine, its = (run / f".run.json.{pid}.tmp" for pid in (os.getpid(), ended.pid))
    its.write_text("half")
    mine.write_text("half")
    assert swept(tmp_path) == (0, 0)  # too fresh to tell
    for file in (its, mine):
        os.utime(file, (time.time() - 120,) * 2)
    (run / "run.json").write_text("{}")
    assert swept(tmp_path) == (1, 4)
    assert sorted(path.name for path in run.iterdir()) == [mine.name, "run.json"]


def test_a_link_or_a_strangers_folder_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("x")
    (tmp_path / "tmp" / ".loadbench-scratch-link").symlink_to(precious)
    assert swept(tmp_path) == (0, 0)
    assert (precious / "file").exists()
