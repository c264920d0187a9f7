"""What the account would refuse is found before anything is created: role, quota, offering, what is up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from loadbench.config import Config
from loadbench.run.preflight import Check, account
from tests.loadbench.run.preflight.stubs import (
    CALLER,
    ROLE,
    Account,
    changed,
    context,
    on_aws,
    only,
    quota_named,
)


def endpoint(name: str, status: str = "InService") -> dict[str, Any]:
    return {
        "EndpointName": name,
        "EndpointArn": f"arn:aws:sagemaker:us-west-2:123456789012:endpoint/{name}",
        "CreationTime": 0,
        "LastModifiedTime": 0,
        "EndpointStatus": status,
    }


def job(name: str, status: str = "INPROGRESS") -> dict[str, Any]:
    return {
        "OptimizationJobName": name,
        "OptimizationJobArn": f"arn:aws:sagemaker:us-west-2:123456789012:optimization-job/{name}",
        "CreationTime": 0,
        "OptimizationJobStatus": status,
        "DeploymentInstanceType": "ml.g5.2xlarge",
        "OptimizationTypes": ["Sharding"],
    }


def role_document(principal: str) -> dict[str, Any]:
    policy = f'{{"Statement": [{{"Principal": {{"Service": "{principal}"}}}}]}}'
    return {
        "Role": {
            "Path": "/",
            "RoleName": "loadbench",
            "RoleId": "AROA1234567890123456",
            "Arn": ROLE,
            "CreateDate": 0,
            "AssumeRolePolicyDocument": policy,
        }
    }


def decision(word: str) -> dict[str, Any]:
    return {"EvaluationResults": [{"EvalActionName": "iam:PassRole", "EvalDecision": word}]}


def test_on_aws_an_endpoint_url_in_the_environment_is_reported(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(target: Config) -> Check:
        session = Account()
        session.answers("sts", "get_caller_identity", CALLER)
        return only(account.credentials(context(target, session)))

    assert found(on_aws(config)).status == "ok"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:20000")
    assert found(config).status == "ok"
    check = found(on_aws(config))
    assert check.status == "warning"
    assert "http://127.0.0.1:20000" in check.message
    assert "unset AWS_ENDPOINT_URL" in check.remedy


def test_endpoints_of_this_project_and_path_that_are_running_are_reported(config: Config) -> None:
    session = Account()
    listed = [
        endpoint("loadbench-20261123-061530-fast-4f2a", "Failed"),
        endpoint("loadbench-20261123-061530-standard-1111"),
        endpoint("loadbench-20261123-061530-fast-dead", "Deleting"),
        endpoint("somebody-loadbench-1-fast-2222"),
    ]
    session.answers("sagemaker", "list_endpoints", {"Endpoints": listed})
    jobs = [
        job("loadbench-20261123-061530-fast-3333"),
        job("loadbench-20261123-061530-fast-4444", "COMPLETED"),
    ]
    session.answers("sagemaker", "list_optimization_jobs", {"OptimizationJobSummaries": jobs})
    check = only(account.running(context(config, session, ["fast"])))
    assert check.status == "warning"
    assert "loadbench-20261123-061530-fast-4f2a (Failed)" in check.message
    assert "loadbench-20261123-061530-fast-3333 (INPROGRESS)" in check.message
    assert not any(word in check.message for word in ("1111", "dead", "2222", "4444"))


@pytest.mark.parametrize(("offered", "status"), [(True, "ok"), (False, "failure")])
def test_a_region_without_the_instance_type_is_reported(config: Config, offered: bool, status: str) -> None:
    session = Account()
    found = [{"InstanceType": "g5.2xlarge"}] if offered else []
    session.answers("ec2", "describe_instance_type_offerings", {"InstanceTypeOfferings": found})
    assert only(account.offering(context(on_aws(config), session))).status == status


@pytest.mark.parametrize(("value", "status"), [(2.0, "ok"), (1.0, "failure"), (0.0, "failure")])
def test_a_quota_that_does_not_allow_the_endpoint_is_reported(
    config: Config, value: float, status: str
) -> None:
    session = Account()
    session.answers("service-quotas", "get_service_quota", {"Quota": quota_named("ml.g5.2xlarge", value)})
    wanted = changed(on_aws(config), instance_count=2)
    check = only(account.quota(context(wanted, session)))
    assert check.status == status
    assert f"{value:.0f}, needed 2" in check.message


@pytest.mark.parametrize(
    "by_code",
    [
        lambda a: a.answers("service-quotas", "get_service_quota", {"Quota": quota_named("ml.g5.large", 9)}),
        lambda a: a.refuses("service-quotas", "get_service_quota", "NoSuchResourceException"),
    ],
)
@pytest.mark.parametrize(("listed", "status"), [([("ml.g5.2xlarge", 1.0)], "ok"), ([], "warning")])
def test_a_quota_whose_code_is_not_right_is_looked_up_by_name(
    config: Config,
    by_code: Callable[[Account], object],
    listed: list[tuple[str, float]],
    status: str,
) -> None:
    session = Account()
    by_code(session)
    quotas = [quota_named(name, value) for name, value in listed]
    session.answers("service-quotas", "list_service_quotas", {"Quotas": quotas})
    assert only(account.quota(context(on_aws(config), session))).status == status


@pytest.mark.parametrize(
    ("prepare", "status", "words"),
    [
        (lambda a: a.refuses("iam", "get_role", "NoSuchEntity"), "failure", "does not exist"),
        (lambda a: a.refuses("iam", "get_role", "AccessDenied"), "warning", "may not read"),
        (
            lambda a: a.answers("iam", "get_role", role_document("ec2.amazonaws.com")),
            "failure",
            "does not trust sagemaker",
        ),
        (
            lambda a: (
                a.answers("iam", "get_role", role_document("sagemaker.amazonaws.com")),
                a.answers("iam", "simulate_principal_policy", decision("implicitDeny")),
            ),
            "failure",
            "may not pass",
        ),
        (
            lambda a: (
                a.answers("iam", "get_role", role_document("sagemaker.amazonaws.com")),
                *(a.answers("iam", "simulate_principal_policy", decision("allowed")) for _ in range(4)),
            ),
            "ok",
            "may be passed and read the bucket",
        ),
        (
            lambda a: (
                a.answers("iam", "get_role", role_document("sagemaker.amazonaws.com")),
                *(
                    a.answers("iam", "simulate_principal_policy", decision(word))
                    for word in ("allowed", "allowed", "implicitDeny", "allowed")
                ),
            ),
            "warning",
            "do not allow s3:GetObject on arn:aws:s3:::the-bucket/models/x",
        ),
        (
            lambda a: (
                a.answers("iam", "get_role", role_document("sagemaker.amazonaws.com")),
                a.refuses("iam", "simulate_principal_policy", "InvalidInput"),
            ),
            "ok",
            "is not known",
        ),
    ],
)
def test_a_role_that_will_not_do_is_reported(
    config: Config, prepare: Callable[[Account], object], status: str, words: str
) -> None:
    session = Account()
    session.answers("sts", "get_caller_identity", CALLER)
    prepare(session)
    wanted = changed(config, sagemaker_exec_role=ROLE, bucket="the-bucket")
    check = only(account.role(context(on_aws(wanted), session)))
    assert check.status == status
    assert words in check.message


def test_the_policy_simulation_asks_about_the_role_behind_a_session() -> None:
    assert account._principal(CALLER["Arn"]) == "arn:aws:iam::123456789012:role/me"
    assert account._principal("arn:aws:iam::1:user/u") == "arn:aws:iam::1:user/u"
