"""The live check on the embedded AWS: every step to its end, nothing left, and a file of evidence."""

from __future__ import annotations

import json

import pytest

from tests.e2e.conftest import Checkout

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
# What is checked is the order of steps and their evidence, not how long loading takes.
SMALL = (
    "--model",
    "synthetic:llama-tiny",
    "--set",
    "local.network=none",
    "--set",
    "benchmark.warm_invocations=0",
)


def test_it_runs_through_and_leaves_nothing(checkout: Checkout) -> None:
    done = checkout.loadbench("live-check", *SMALL, timeout_s=800)
    (file,) = (checkout.home / "results").glob("live-check-*.json")
    assert done.stdout.rstrip().endswith(str(file))
    document = json.loads(file.read_text(encoding="utf-8"))
    assert {step["name"]: step["outcome"] for step in document["steps"]} == dict.fromkeys(
        [
            "read",
            *(f"rehearse {load_path}" for load_path in ("standard", "fast", "streamer")),
            *(f"run {load_path}" for load_path in ("standard", "streamer", "fast")),
            "scale-out fast",
        ],
        "done",
    )
    answers = {fact["id"]: fact["answer"] for fact in document["facts"]}
    assert [fact for fact, answer in answers.items() if answer == "contradicted"] == []
    confirmed = {fact for fact, answer in answers.items() if answer == "confirmed"}
    assert confirmed >= {
        "endpoint-config-by-cloud-control",
        "component-by-cloud-control",
        "platform-names-the-artifact",
        "data-cache-off",
        "execution-role-suffices",
        "role-settles",
        "capacity-of-components",
        "stream-of-a-copy",
        "streamer-finds-its-role",
    }
    assert all(fact["words"].startswith("on the embedded AWS only") for fact in document["facts"]
               if fact["answer"] == "confirmed")  # fmt: skip
    assert not any(checkout.everything_left().values())
    assert not list((checkout.home / ".loadbench" / "runs").glob("*"))
