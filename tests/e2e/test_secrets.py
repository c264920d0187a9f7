"""A planted token is found nowhere: no file, no output, no process list, whatever became of the run."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.e2e.conftest import VERB_TIMEOUT_S, Checkout

pytestmark = pytest.mark.e2e

TOKEN = "hf_PlantedForThisTestAndNothingElse0001"


def command_lines() -> set[str]:
    """The arguments of every process that can be seen now."""
    found = set()
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.add(file.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue  # it has just ended
    return found


def test_the_token_is_nowhere_after_a_run_that_passed_it_on(checkout: Checkout) -> None:
    (checkout.home / ".env").write_text(f"HUGGING_FACE_HUB_TOKEN='{TOKEN}'\n", encoding="utf-8")
    (checkout.home / ".env").chmod(0o600)
    seen: set[str] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            seen.update(command_lines())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        # The container would pull from the hub, which the embedded target does not have: the run fails after
        # Terraform has received the token.
        ended = subprocess.run(
            [
                *(sys.executable, "-c", "from loadbench.cli import main; main()", "run", "standard"),
                *("--set", "standard_deployment_info.use_hf_token=true"),
                *("--set", "standard_deployment_info.weights_from=hub"),
            ],
            cwd=checkout.home,
            env=checkout.plain_environment() | {"TF_LOG": "TRACE"},
            capture_output=True,
            timeout=VERB_TIMEOUT_S,
            check=False,
        )
    finally:
        done.set()
        watcher.join()
    assert ended.returncode == 1, ended.stderr
    assert b"terraform" in ended.stderr.lower()
    assert TOKEN.encode() not in ended.stdout + ended.stderr
    assert any("terraform" in line for line in seen), "the watcher saw no Terraform"
    assert not [line for line in seen if TOKEN in line]

    searched = 0
    for folder, _, names in os.walk(checkout.home):
        # The service's own side, private to this user: a real account keeps the model's environment as well.
        if ".localaws" in Path(folder).parts:
            continue
        for name in names:
            file = Path(folder) / name
            if name != ".env" and file.is_file() and not file.is_symlink() and file.stat().st_size < 1 << 24:
                searched += 1
                assert TOKEN.encode() not in file.read_bytes(), file
    assert searched > 5
    (log,) = (checkout.home / ".loadbench" / "logs").glob("*-run-*.log")
    assert b"container environment" in log.read_bytes()
    assert (checkout.home / ".localaws").stat().st_mode & 0o077 == 0
