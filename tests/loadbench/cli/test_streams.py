"""A run that loses its terminal, or its `| tee`, still removes what it has created."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

# The command line's own entry with one command that waits for the end of its reader, then cleans up.
PROGRAM = """
import pathlib, signal, sys, time
import click
import loadbench.cli as command_line

@command_line.cli.command()
def wait():
    folder = pathlib.Path(sys.argv[2])
    try:
        print("x" * 100, file=sys.stderr)
        (folder / "started").touch()
        time.sleep(60)
    except KeyboardInterrupt:
        for number in range(3):
            click.echo(f"removing {number}", err=True)
        (folder / "removed").touch()
        raise

wait.params.append(click.Argument(["folder"], expose_value=False))
command_line.main()
"""


def start(folder: Path, stderr: int) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "wait", str(folder)], cwd=folder, stderr=stderr
    )
    while not (folder / "started").exists():
        assert process.poll() is None
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_reader_that_has_gone_does_not_stop_the_removal(tmp_path: Path, number: signal.Signals) -> None:
    reader, writer = os.pipe()
    process = start(tmp_path, stderr=writer)
    os.close(writer)
    os.close(reader)
    process.send_signal(number)
    assert process.wait(30) == 130
    assert (tmp_path / "removed").exists()


def test_an_interrupt_is_reported_in_one_word(tmp_path: Path) -> None:
    process = start(tmp_path, stderr=subprocess.PIPE)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert errors.decode().splitlines()[-1] == "interrupted"


def test_nohup_is_respected(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # inherited by the child, as nohup does it
    try:
        process = start(tmp_path, stderr=subprocess.DEVNULL)
    finally:
        signal.signal(signal.SIGHUP, before)
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 130
