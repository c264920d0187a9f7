"""Terraform that outlives its benchmark is found, stopped once, waited for; killed, it takes others along."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from loadbench.run.terraform.process import TerraformProcess, stop_earlier
from tests.waiting import until

# Stands for Terraform with a provider: counts its interrupts, and ends in an orderly way some time after one.
TERRAFORM = """
import pathlib, signal, subprocess, sys, time
folder = pathlib.Path(sys.argv[1])
# The provider inherits what Go's exec leaves open: the lock.
provider = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"], close_fds=False)
(folder / "provider").write_text(str(provider.pid))
count = 0
def stop(*_):
    global count
    count += 1
    (folder / "interrupts").write_text(str(count))
signal.signal(signal.SIGINT, stop)
(folder / "ready").touch()
while not count:
    time.sleep(0.01)
time.sleep(0.5)
provider.kill()
(folder / "saved").touch()
"""


def start(folder: Path) -> TerraformProcess:
    with (folder / "out").open("wb") as output, (folder / "err").open("wb") as errors:
        process = TerraformProcess(
            [sys.executable, "-c", TERRAFORM, str(folder)],
            folder,
            cwd=folder,
            env=dict(os.environ),
            output=output,
            errors=errors,
        )
    until(lambda: (folder / "ready").exists(), 30)
    return process


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
class TestStopEarlier:
    def test_it_is_interrupted_and_waited_for(self, tmp_path: Path) -> None:
        start(tmp_path)
        said: list[str] = []
        stop_earlier(tmp_path, said.append)
        assert (tmp_path / "saved").exists(), "its state was saved before anybody went on"
        assert (tmp_path / "interrupts").read_text() == "1"
        assert "earlier Terraform" in said[0]

    def test_one_that_was_interrupted_already_is_only_waited_for(self, tmp_path: Path) -> None:
        start(tmp_path).interrupt()
        until(lambda: (tmp_path / "interrupts").exists(), 30)
        stop_earlier(tmp_path, lambda _: None)
        assert (tmp_path / "saved").exists()
        assert (tmp_path / "interrupts").read_text() == "1"

    def test_a_provider_that_outlived_it_is_ended(self, tmp_path: Path) -> None:
        process = start(tmp_path)
        provider = int((tmp_path / "provider").read_text())
        os.kill(process.pid, signal.SIGKILL)
        until(lambda: not runs(process.pid), 30)
        assert runs(provider)
        stop_earlier(tmp_path, lambda _: None)
        assert not runs(provider)

    def test_nothing_to_stop_is_no_wait(self, tmp_path: Path) -> None:
        said: list[str] = []
        stop_earlier(tmp_path, said.append)
        (tmp_path / "terraform.pid").write_text("1")
        stop_earlier(tmp_path, said.append)
        assert said == []


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_killed_terraform_takes_its_providers_along(tmp_path: Path) -> None:
    process = start(tmp_path)
    provider = int((tmp_path / "provider").read_text())
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait(30) == -signal.SIGKILL
    until(lambda: not runs(provider), 30)


def test_a_command_that_goes_on_raises_timeout(tmp_path: Path) -> None:
    process = start(tmp_path)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.01)
    process.interrupt()
    assert process.wait(30) == 0
