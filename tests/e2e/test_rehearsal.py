"""A rehearsal finds what would be refused before anything is paid for, and leaves nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.conftest import Checkout

# What a rehearsal makes where nothing is refused: tests/e2e/test_live_check.py.
pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture(autouse=True)
def nothing_is_left(checkout: Checkout) -> Any:
    yield
    assert not any(checkout.everything_left().values())
    assert not list((checkout.home / ".loadbench" / "runs").glob("*"))
    assert not list((checkout.home / "results").glob("*"))
    s3 = checkout.client("s3")
    buckets = [item["Name"] for item in s3.list_buckets()["Buckets"]]
    assert not [key for name in buckets for key in s3.list_objects_v2(Bucket=name).get("Contents", [])]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        # The provider repeats CreateModel for two minutes: docs/facts/aws-evidence.md#role-settles
        ({"kind": "image_not_found"}, "Requested image"),
        ({"kind": "role_not_assumable"}, "Could not assume role"),
        ({"kind": "access_denied", "service": "sagemaker", "operation": "CreateModel"}, "not authorized"),
        ({"kind": "access_denied", "service": "iam", "operation": "CreateRole"}, "not authorized"),
        ({"kind": "access_denied", "operation": "CreateResource"}, "not authorized"),
        ({"kind": "unsupported_action"}, "UnsupportedActionException"),
        ({"kind": "access_denied", "service": "s3", "key": "models/*"}, "could not write to s3://"),
    ],
    ids=lambda value: value.get("operation", value["kind"]) if isinstance(value, dict) else "",
)
def test_a_planted_fault_is_found_before_any_job_is_started(
    checkout: Checkout, fault: dict[str, str], words: str
) -> None:
    faults = json.dumps([fault])
    done = checkout.loadbench("doctor", "--rehearse", "--set", f"local.faults={faults}", exit_code=1)
    assert words in done.stderr
    assert not checkout.client("sagemaker").list_optimization_jobs()["OptimizationJobSummaries"]
