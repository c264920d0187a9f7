"""What a run asks of AWS: the same on both targets, valid by botocore's models, in docs/iam-policy.json."""

from __future__ import annotations

import pytest

from tests.account import policy
from tests.account.normalized_requests import line, normal
from tests.account.recorded_calls import Asked, complaints
from tests.account.session import Session, play

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

# Which requests only one target sees, and why. Everything else is the same on both.
BY_DESIGN: dict[tuple[str, str, str], str] = {
    ("aws", "ec2", "DescribeInstanceTypeOfferings"): "whether the region has the instance type",
    ("aws", "service-quotas", "GetServiceQuota"): "whether the account may have it",
    ("aws", "ecr", "BatchGetImage"): "whether the registry has the image; the embedded AWS pulls none",
    ("aws", "pricing", "GetProducts"): "the price for the record; nothing is billed on the embedded AWS",
    ("local", "logs", "DescribeLogStreams"): "the platform's own log, which only the embedded AWS writes",
    ("local", "logs", "GetLogEvents"): "the platform's own log, which only the embedded AWS writes",
}
PLATFORM_LOG = "/localaws/instances/"


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    return play(tmp_path_factory.mktemp("account"))


def is_by_design(target: str, asked: Asked) -> bool:
    if asked.service == "logs" and not str(asked.parameters.get("logGroupName")).startswith(PLATFORM_LOG):
        return False
    return (target, asked.service, asked.operation) in BY_DESIGN


def without_rehearsals(requests: list[Asked]) -> list[Asked]:
    """The requests of runs. Only on AWS does a run rehearse, before its paid sharding job.

    A rehearsal goes from the upload of its stand-in for the weights to the deletion of that.
    """
    kept, inside = [], False
    for asked in requests:
        if is_stand_in(asked, "PutObject"):
            inside = True
        if not inside:
            kept.append(asked)
        if is_stand_in(asked, "DeleteObject"):
            inside = False
    return kept


def is_stand_in(asked: Asked, operation: str) -> bool:
    key = str(asked.parameters.get("Key"))
    return (asked.service, asked.operation) == ("s3", operation) and key.startswith("models/rehearsal-")


def test_every_run_that_may_start_a_paid_job_rehearses_before(session: Session) -> None:
    steps = [
        asked.operation
        for asked in session.asked["aws"]
        if is_stand_in(asked, "DeleteObject") or asked.operation == "CreateOptimizationJob"
    ]
    assert steps == ["DeleteObject", "CreateOptimizationJob"]
    assert not any(is_stand_in(asked, "PutObject") for asked in session.asked["local"])


def test_both_targets_are_asked_the_same(session: Session) -> None:
    lines = {
        target: {line(asked) for asked in without_rehearsals(requests) if not is_by_design(target, asked)}
        for target, requests in session.asked.items()
    }
    assert lines["local"] - lines["aws"] == set(), "asked on the embedded target only"
    assert lines["aws"] - lines["local"] == set(), "asked on AWS only"
    assert len(lines["aws"]) > 50


def test_every_difference_by_design_is_one(session: Session) -> None:
    seen = {
        (target, asked.service, asked.operation)
        for target, requests in session.asked.items()
        for asked in requests
        if is_by_design(target, asked)
    }
    assert seen == set(BY_DESIGN)


def test_both_targets_create_and_remove_in_the_same_order(session: Session) -> None:
    reading = ("Describe", "Get", "List", "Head")
    orders = {
        target: [
            line(asked)
            for asked in without_rehearsals(requests)
            if asked.client == "terraform" and not asked.operation.startswith(reading)
        ]
        for target, requests in session.asked.items()
    }
    assert orders["local"] == orders["aws"]
    # A role is usable seconds after it was made, and only CreateModel is repeated until then.
    for text, before in zip(orders["aws"][1:], orders["aws"], strict=False):
        if "CreateEndpointConfig " in text or ("CreateResource " in text and "::EndpointConfig" in text):
            assert "CreateModel " in before
    assert sum("CreateEndpoint " in text for text in orders["aws"]) == len(session.variables["aws"]) == 2


def test_terraform_gets_the_same_variables_on_both_targets(session: Session) -> None:
    assert session.variables["local"].keys() >= {"standard", "fast"}
    assert normal(session.variables["local"]) == normal(session.variables["aws"])


def test_every_request_is_valid_by_the_service_models(session: Session) -> None:
    wrong = {
        f"{asked.client} {asked.service} {asked.operation}": complaint
        for requests in session.asked.values()
        for asked in requests
        if (complaint := complaints(asked))
    }
    assert wrong == {}


def test_every_operation_is_in_the_recording_that_the_policy_is_made_from(session: Session) -> None:
    known = set(policy.recorded())
    new = {
        (asked.service, asked.operation)
        for requests in session.asked.values()
        for asked in requests
        if (asked.service, asked.operation) not in known
    }
    assert new == set(), (
        f"add to `seen` in {policy.RECORDING.name}, then run `python -m tests.account.policy`: {sorted(new)}"
    )


def test_no_request_of_an_instance_is_taken_for_the_users(session: Session) -> None:
    """Containers read the weights with keys of their own; the policy must not hold what only they need."""
    weights = [
        asked
        for asked in session.asked["local"]
        if asked.service == "s3"
        and asked.operation == "GetObject"
        and str(asked.parameters["Key"]).endswith(".safetensors")
    ]
    assert weights == []
