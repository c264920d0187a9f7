"""docs/iam-policy.json is made from the recording, well formed, narrow, and misses nothing the code names."""

from __future__ import annotations

import ast
import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore import xform_name

from tests.account import policy
from tests.account.recorded_calls import service_model

SOURCE = Path(__file__).resolve().parents[2] / "scripts" / "loadbench"
SERVICES = (
    *("sagemaker", "sagemaker-runtime", "s3", "iam", "sts", "logs", "cloudwatch", "ec2", "ecr"),
    *("service-quotas", "pricing", "cloudformation", "cloudcontrol", "application-autoscaling"),
)
# Names in the code that are no operations of AWS.
OTHERS = {"get_template": "Jinja2", "assume_role": "a word in an error message"}
MOST_CHARACTERS = 6144  # of a managed policy, white space not counted (IAM User Guide, quotas)


@pytest.fixture(scope="module")
def document() -> Any:
    return json.loads(policy.POLICY.read_text(encoding="utf-8"))


def test_the_committed_policy_is_the_one_that_the_recording_gives() -> None:
    made = policy.document_text(policy.policy(policy.recorded()))
    assert policy.POLICY.read_text(encoding="utf-8") == made, "run `python -m tests.account.policy`"


def test_every_operation_that_the_code_names_is_recorded() -> None:
    recorded = set(policy.recorded("seen", "rare", "observe")) | set(policy.NOT_NEEDED)
    missing = [
        f"{file.relative_to(SOURCE)}:{line}: add {owners[0][1]!r} to {owners[0][0]!r} in recording.json"
        for file, line, owners in named_operations()
        if not recorded.intersection(owners)
    ]
    assert missing == [], "under `rare`, unless a run asks it; then run `python -m tests.account.policy`"


def test_a_rare_operation_is_not_one_that_every_run_asks() -> None:
    assert not set(policy.recorded("rare")) & set(policy.recorded("seen"))


def test_the_policy_of_observing_is_the_one_that_its_operations_give() -> None:
    made = policy.document_text(policy.observe_policy())
    assert policy.OBSERVE_POLICY.read_text(encoding="utf-8") == made, "run `python -m tests.account.policy`"


def test_what_observes_and_imports_names_no_operation_beyond_its_policy() -> None:
    allowed = set(policy.recorded("observe"))
    folders = (SOURCE / "run" / "existing", SOURCE / "run" / "observe")
    beyond = [
        f"{file.relative_to(SOURCE)}:{line}: {owners}"
        for file, line, owners in named_operations()
        if any(folder in file.parents for folder in folders) and not allowed.intersection(owners)
    ]
    assert beyond == []


def test_what_observes_and_imports_may_only_read() -> None:
    document = json.loads(policy.OBSERVE_POLICY.read_text(encoding="utf-8"))
    for statement in document["Statement"]:
        for action in statement["Action"]:
            assert action in known_actions()
            assert re.match(r"[a-z-]+:(?:Describe|Filter|Get|List)", action), action


def test_the_policy_is_well_formed(document: Any) -> None:
    assert document.keys() == {"Version", "Statement"}
    assert document["Version"] == "2012-10-17"
    sids = [statement["Sid"] for statement in document["Statement"]]
    assert len(set(sids)) == len(sids)
    for statement in document["Statement"]:
        assert statement.keys() - {"Condition"} == {"Sid", "Effect", "Action", "Resource"}
        assert re.fullmatch(r"[A-Za-z0-9]+", statement["Sid"])
        assert statement["Effect"] == "Allow"
        for resource in statement["Resource"]:
            assert resource == "*" or re.fullmatch(
                r"arn:aws:[a-z0-9]+:(REGION)?:(ACCOUNT|\d{12})?:\S+", resource
            )
    assert len(re.sub(r"\s", "", json.dumps(document))) < MOST_CHARACTERS


def test_every_action_exists(document: Any) -> None:
    for statement in document["Statement"]:
        for action in statement["Action"]:
            assert action in known_actions(), action


def test_only_what_takes_no_resource_is_allowed_on_all(document: Any) -> None:
    broad = {statement["Sid"] for statement in document["Statement"] if "*" in statement["Resource"]}
    assert broad == {"NoResourceLevel"}
    changing = [
        action
        for statement in document["Statement"]
        if statement["Sid"] == "NoResourceLevel"
        for action in statement["Action"]
        if not re.match(r"\w+:(Get|List|Describe)", action)
    ]
    # Cloud Control acts with the caller's own permissions, which the other statements bound.
    assert changing == ["cloudformation:CreateResource", "cloudformation:DeleteResource"]


def test_a_role_can_be_passed_to_sagemaker_only(document: Any) -> None:
    (statement,) = [item for item in document["Statement"] if "iam:PassRole" in item["Action"]]
    assert statement["Action"] == ["iam:PassRole"]
    assert statement["Condition"] == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}


def test_a_new_operation_of_a_known_service_gets_its_own_action() -> None:
    assert policy.actions(("sagemaker", "UpdateEndpoint")) == [("OwnEndpoints", "sagemaker:UpdateEndpoint")]
    assert policy.actions(("s3", "HeadObject")) == [("ModelsAndShards", "s3:GetObject")]
    assert ("PassOwnRoles", "iam:PassRole") in policy.actions(("sagemaker", "CreateModel"))
    assert policy.actions(("sts", "GetCallerIdentity")) == []


def named_operations() -> Iterator[tuple[Path, int, list[policy.Operation]]]:
    """Where the code names an operation, as an attribute or text (for a paginator), and whose it may be."""
    known: dict[str, list[policy.Operation]] = {}
    for service in SERVICES:
        for name in service_model(service).operation_names:
            if "_" in (method := xform_name(name)) and method not in OTHERS:
                known.setdefault(method, []).append((service, name))
    for file in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            named = node.attr if isinstance(node, ast.Attribute) else getattr(node, "value", None)
            if isinstance(named, str) and named in known:
                yield file, getattr(node, "lineno", 0), known[named]


def test_every_service_that_the_code_calls_is_searched_for_operations() -> None:
    called = {
        node.args[0].value
        for file in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and getattr(node.func, "attr", None) in ("client", "resource")
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }
    assert "sagemaker" in called
    assert called <= set(SERVICES)


@functools.cache
def known_actions() -> set[str]:
    """Actions of botocore's operations, and those that AWS's own managed policies name (moto has them)."""
    from moto.iam.aws_managed_policies import aws_managed_policies_data

    found = set(re.findall(r'"([a-z0-9-]+:[A-Z]\w+)"', aws_managed_policies_data))
    for service in SERVICES:
        prefix = policy._PREFIXES.get(service, service)
        found |= {f"{prefix}:{name}" for name in service_model(service).operation_names}
    return found
