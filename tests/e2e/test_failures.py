"""What goes wrong is said in one message, with the exit code of the contract, and leaves nothing behind."""

from __future__ import annotations

import json

import pytest

from tests.e2e.conftest import Checkout

pytestmark = pytest.mark.e2e

REGISTRY = "763104351884.dkr.ecr.{region}.amazonaws.com"
IMAGE_WITHOUT_THE_LOADER = f"{REGISTRY}/djl-inference:0.33.0-lmi15.0.0-cu128"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "fast", "--config", "absent.yaml"), "absent.yaml"),
        (("run", "fast", "--set", "benchmark.warm=1"), "unknown key"),
        (("run", "fast", "--set", "benchmark.pairs=x"), "benchmark.pairs"),
        (
            (
                "run",
                "fast",
                "--set",
                f"fast_model_loading_info.image_uri={IMAGE_WITHOUT_THE_LOADER}",
            ),
            "fast model loader",
        ),
        (
            ("run", "fast", "--set", "fast_model_loading_info.hf_model_id=nobody/no-such-model"),
            "no-such-model",
        ),
        (("compare", "20200101-000000-standard-0000"), "20200101-000000-standard-0000"),
    ],
)
def test_a_wrong_call_exits_2_with_one_message(
    checkout: Checkout, arguments: tuple[str, ...], words: str
) -> None:
    done = checkout.loadbench(*arguments, exit_code=2)
    assert words in done.stderr


def test_a_container_that_dies_fails_the_run_with_its_reason(checkout: Checkout) -> None:
    faults = json.dumps([{"kind": "container_exit"}])
    done = checkout.loadbench("run", "standard", "--set", f"local.faults={faults}", exit_code=1)
    (file,) = (checkout.home / "results").glob("*-standard-*/run.json")
    record = json.loads(file.read_text(encoding="utf-8"))
    assert record["status"] == "failed"
    assert record["failure"]["step"] == "deployment"
    assert record["failure"]["message"] in done.stderr
    assert not any(checkout.everything_left().values())
