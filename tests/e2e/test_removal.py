"""Removal on the real thing: the state is damaged, the configuration changes, the service refuses."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.e2e.conftest import Checkout
from tests.localaws.tiny_model import write_tiny_model

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def tiny(checkout: Checkout) -> tuple[str, ...]:
    """Options for a run of a model that takes no time; what it answers is noise."""
    write_tiny_model(checkout.home / "tiny")
    model = f"standard_deployment_info.hf_model_id={checkout.home / 'tiny'}"
    return ("--set", model, "--set", "benchmark.expected_words=[]")


def test_a_state_that_is_cut_short_and_a_refusal_are_named_then_removed(
    checkout: Checkout, tiny: tuple[str, ...]
) -> None:
    checkout.loadbench("run", "standard", *tiny)
    (state,) = (checkout.home / ".loadbench" / "runs").glob("*/terraform.tfstate")
    os.truncate(state, 4096)
    (endpoint,) = checkout.everything_left()["endpoints"]
    faults = json.dumps([{"kind": "access_denied", "operation": "DeleteEndpoint"}])
    refused = checkout.loadbench("destroy", "--set", f"local.faults={faults}", exit_code=3)
    assert f"endpoint {endpoint}" in refused.stderr
    assert state.exists(), "nothing is forgotten that is still there"
    checkout.loadbench("destroy")
    assert not any(checkout.everything_left().values())
    assert not state.parent.exists()


def test_a_run_is_removed_where_it_was_made_though_the_configuration_is_broken_or_names_other_places(
    checkout: Checkout, tiny: tuple[str, ...]
) -> None:
    config = checkout.home / "config.yaml"
    whole = config.read_text(encoding="utf-8")
    for changed in ("target: [", whole.replace("us-west-2", "eu-west-1").replace(".localaws", ".elsewhere")):
        checkout.loadbench("run", "standard", *tiny)
        assert any(checkout.everything_left().values())
        config.write_text(changed, encoding="utf-8")
        try:
            checkout.loadbench("destroy")
            if ".elsewhere" in changed:
                checkout.loadbench("local", "down")
        finally:
            config.write_text(whole, encoding="utf-8")
        checkout.loadbench("local", "up")
        assert not any(checkout.everything_left().values())
    shutil.rmtree(Path(checkout.home / ".elsewhere"), ignore_errors=True)


def test_all_leaves_neither_weights_nor_logs_nor_a_process(checkout: Checkout, tiny: tuple[str, ...]) -> None:
    checkout.loadbench("run", "standard", *tiny)
    kept = checkout.loadbench("destroy").stdout
    assert "kept models s3://" in kept
    assert "USD per month" in kept
    assert "--all" in kept
    done = checkout.loadbench("destroy", "--all")
    assert "to be removed: models" in done.stderr
    assert "removed bucket s3://" in done.stdout
    assert not checkout.local_status()["running"]
    checkout.loadbench("local", "up")
    assert checkout.client("s3").list_buckets()["Buckets"] == []
