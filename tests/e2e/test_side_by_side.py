"""Two at once: in one checkout the second is refused, in two checkouts of one account both go on."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.e2e.conftest import VERB_TIMEOUT_S, Checkout

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture
def neighbour(checkout: Checkout, tmp_path: Path) -> Checkout:
    """A second checkout on the first one's account."""
    text = (checkout.home / "config.yaml").read_text(encoding="utf-8")
    shared = text.replace("state_dir: .localaws", f"state_dir: {checkout.home / '.localaws'}")
    assert shared != text
    (tmp_path / "config.yaml").write_text(shared, encoding="utf-8")
    return Checkout(tmp_path)


def test_two_at_once(checkout: Checkout, neighbour: Checkout) -> None:
    first = checkout.begin("run", "standard")
    deadline_s = time.monotonic() + 60
    while not list((checkout.home / "results").glob("*-standard-*")):
        assert first.poll() is None, first.communicate()[0]
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    second = neighbour.begin("run", "standard")

    for verb in (("run", "standard"), ("destroy",)):
        refused = checkout.loadbench(*verb, exit_code=2)
        assert f"process {first.pid} is running the standard path in this checkout" in refused.stderr

    for process in (first, second):
        said, _ = process.communicate(timeout=VERB_TIMEOUT_S)
        assert process.returncode == 0, said
    assert len(checkout.everything_left()["endpoints"]) == 2

    # A destroy is for the whole project in this account: the neighbour finds nothing left to remove.
    checkout.loadbench("destroy")
    assert not any(checkout.everything_left().values())
    neighbour.loadbench("destroy")
    assert not list((neighbour.home / ".loadbench" / "runs").glob("*"))
