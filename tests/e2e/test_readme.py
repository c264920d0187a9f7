"""README's shell commands, in its own words and order, typed into one shell of one checkout."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.readme import EXECUTED, README, ROOT, shell_commands
from tests.e2e.conftest import VERB_TIMEOUT_S, Checkout

pytestmark = pytest.mark.e2e

# The checkout's own Makefile and virtual environment; that they are installed is what `make test` began with.
PRELUDE = 'set -e -o pipefail; make() { command make -o .loadbench/ready "$@"; }'
SAID = "== said: "


@pytest.fixture(scope="module")
def said(checkout: Checkout) -> dict[str, str]:
    """What each command printed, by the command."""
    # The commands are README's; that they ask for little is this test's.
    config = checkout.home / "config.yaml"
    text = config.read_text(encoding="utf-8").replace("warm_invocations: 2", "warm_invocations: 1")
    config.write_text(text.replace('"max_new_tokens": 100', '"max_new_tokens": 16'), encoding="utf-8")
    (checkout.home / "Makefile").symlink_to(ROOT / "Makefile")
    (checkout.home / ".venv").symlink_to(Path(sys.prefix))
    (checkout.home / ".loadbench").mkdir()
    (checkout.home / ".loadbench" / "ready").touch()
    wanted = [command for command in shell_commands(README) if command in EXECUTED]
    script = "\n".join(part for command in wanted for part in (f"echo '{SAID}{command}'", command))
    done = subprocess.run(
        ["bash", "-c", f"{PRELUDE}\n{script}"],
        cwd=checkout.home,
        env=checkout.plain_environment(),
        capture_output=True,
        text=True,
        timeout=2 * VERB_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    pieces = [piece.partition("\n") for piece in done.stdout.split(SAID)[1:]]
    assert [command for command, _, _ in pieces] == wanted
    return {command: text for command, _, text in pieces}


def test_the_endpoint_answers_and_says_how_to_be_asked(said: dict[str, str]) -> None:
    assert "USD per hour" in said["make fast"]
    assert "loadbench invoke fast" in said["make fast"]
    assert len(said['loadbench invoke fast "Why is the sky blue?"'].split()) > 3


def test_other_clients_see_the_endpoint(said: dict[str, str]) -> None:
    (endpoint,) = json.loads(said["aws sagemaker list-endpoints"])["Endpoints"]
    assert endpoint["EndpointStatus"] == "InService"
    assert endpoint["EndpointName"] in said["make fast"]


def test_the_printed_python_asks_a_component_endpoint(said: dict[str, str]) -> None:
    assert "weights stream" in said["make fast"]  # its phases
    assert "generated_text" in said["loadbench invoke fast --snippet | python"]


def test_nothing_is_left(said: dict[str, str], checkout: Checkout) -> None:
    assert "Nothing" in said["make destroy"]
    assert not any(checkout.everything_left().values())
