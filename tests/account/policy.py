"""The least-privilege policy for the person who runs loadbench, made from what was recorded.

`python -m tests.account.policy` writes docs/iam-policy.json and, for `observe` and `import` alone,
docs/iam-policy-observe.json from recording.json; with `--record` it runs
everything on the embedded AWS first (minutes) and writes down what was asked.

Which action an operation needs, and on which resources, is in the Service Authorization Reference; an action
that takes no resource there has `*`. The permissions behind Cloud Control are those of the handlers in the
published CloudFormation schemas of the two types: they run with the caller's own.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

RECORDING = Path(__file__).with_name("recording.json")
POLICY = Path(__file__).resolve().parents[2] / "docs" / "iam-policy.json"

OBSERVE_POLICY = POLICY.with_name("iam-policy-observe.json")

Operation = tuple[str, str]

# What stands for a user's own values in the policy.
PLACEHOLDERS = ("ACCOUNT", "REGION", "BUCKET", "PROJECT")
_SAGEMAKER = "arn:aws:sagemaker:REGION:ACCOUNT:"
_LOGS = "arn:aws:logs:REGION:ACCOUNT:log-group:/aws/sagemaker/"
_OWN_ROLES = ["arn:aws:iam::ACCOUNT:role/PROJECT-*"]
_RESOURCES: dict[str, list[str]] = {
    "OwnEndpoints": [
        f"{_SAGEMAKER}{kind}/PROJECT-*"
        for kind in ("endpoint", "endpoint-config", "inference-component", "model", "optimization-job")
    ],
    # Tags tell whose something is: those of other people's endpoints are read as well.
    "ReadTags": [f"{_SAGEMAKER}*"],
    "OwnRoles": _OWN_ROLES,
    "PassOwnRoles": _OWN_ROLES,
    "MayARoleBePassed": ["arn:aws:iam::ACCOUNT:role/*", "arn:aws:iam::ACCOUNT:user/*"],
    "Bucket": ["arn:aws:s3:::BUCKET"],
    "ModelsAndShards": [
        f"arn:aws:s3:::BUCKET/{key}" for key in ("loadbench-write-check", "models/*", "optimized/*")
    ],
    "ContainerLogs": [f"{_LOGS}{kind}/PROJECT-*" for kind in ("Endpoints", "InferenceComponents")],
    # No public page names this group, so its name is a pattern (docs/facts/aws-evidence.md#job-log-group).
    "JobLogs": [f"{_LOGS}*ptimization*"],
    # A listing by prefix is checked against every group (Service Authorization Reference, CloudWatch Logs).
    "ListLogGroups": ["arn:aws:logs:REGION:ACCOUNT:log-group:*"],
    "Image": [f"arn:aws:ecr:REGION:763104351884:repository/{name}" for name in ("djl-inference", "vllm")],
    "NoResourceLevel": ["*"],
}
_CONDITIONS = {"PassOwnRoles": {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}}

# Endpoints that loadbench did not deploy have any name; what observes them changes nothing.
_OBSERVED_RESOURCES: dict[str, list[str]] = {
    "OwnEndpoints": [
        f"{_SAGEMAKER}{kind}/*" for kind in ("endpoint", "endpoint-config", "inference-component", "model")
    ],
    "ContainerLogs": [f"{_LOGS}{kind}/*" for kind in ("Endpoints", "InferenceComponents")],
    "NoResourceLevel": ["*"],
}
_OBSERVED_SIDS = {"OwnEndpoints": "DescribeEndpoints"}

# IAM's prefix of a service, where it is not botocore's name.
_PREFIXES = {
    "cloudcontrol": "cloudformation",
    "sagemaker-runtime": "sagemaker",
    "service-quotas": "servicequotas",
}
# The statement that an operation's own action belongs to; by operation where a service has several.
_SIDS: dict[str, str] = {
    "application-autoscaling": "NoResourceLevel",
    "cloudcontrol": "NoResourceLevel",
    "cloudformation": "NoResourceLevel",
    "cloudwatch": "NoResourceLevel",
    "ec2": "NoResourceLevel",
    "ecr": "Image",
    "iam": "OwnRoles",
    "logs": "ContainerLogs",
    "pricing": "NoResourceLevel",
    "s3": "ModelsAndShards",
    "sagemaker": "OwnEndpoints",
    "sagemaker-runtime": "OwnEndpoints",
    "service-quotas": "NoResourceLevel",
}
_SIDS_OF_ACTIONS = {
    "iam:ListRoles": "NoResourceLevel",
    "iam:PassRole": "PassOwnRoles",
    "iam:SimulatePrincipalPolicy": "MayARoleBePassed",
    "logs:DescribeLogGroups": "ListLogGroups",
    "s3:ListBucket": "Bucket",
    "s3:ListBucketMultipartUploads": "Bucket",
    "sagemaker:ListTags": "ReadTags",
    **{
        f"sagemaker:List{kind}": "NoResourceLevel"
        for kind in ("EndpointConfigs", "Endpoints", "InferenceComponents", "Models", "OptimizationJobs")
    },
}
# Operations whose action has another name.
_RENAMED: dict[Operation, str] = {
    ("s3", "HeadBucket"): "s3:ListBucket",
    ("s3", "HeadObject"): "s3:GetObject",
    ("s3", "ListObjectsV2"): "s3:ListBucket",
    ("s3", "ListMultipartUploads"): "s3:ListBucketMultipartUploads",
    ("s3", "ListParts"): "s3:ListMultipartUploadParts",
    ("s3", "CreateMultipartUpload"): "s3:PutObject",
    ("s3", "UploadPart"): "s3:PutObject",
    ("s3", "CompleteMultipartUpload"): "s3:PutObject",
    ("s3", "DeleteObjects"): "s3:DeleteObject",
}
_TAGGED = ("sagemaker:AddTags",)
_TAGGED_WITH_ROLE = ("sagemaker:AddTags", "iam:PassRole")
# What an operation needs beside its own action.
_ALSO: dict[Operation, tuple[str, ...]] = {
    ("iam", "CreateRole"): ("iam:TagRole",),
    ("sagemaker", "CreateModel"): _TAGGED_WITH_ROLE,
    ("sagemaker", "CreateEndpointConfig"): _TAGGED_WITH_ROLE,
    ("sagemaker", "CreateOptimizationJob"): _TAGGED_WITH_ROLE,
    ("sagemaker", "CreateEndpoint"): _TAGGED,
    ("cloudcontrol", "CreateResource"): (
        "iam:PassRole",
        "sagemaker:AddTags",
        "sagemaker:CreateEndpointConfig",
        "sagemaker:CreateInferenceComponent",
        "sagemaker:DescribeInferenceComponent",
        "sagemaker:ListTags",
    ),
    ("cloudcontrol", "GetResource"): (
        "sagemaker:DescribeEndpointConfig",
        "sagemaker:DescribeInferenceComponent",
        "sagemaker:ListTags",
    ),
    ("cloudcontrol", "DeleteResource"): (
        "sagemaker:DeleteEndpointConfig",
        "sagemaker:DeleteInferenceComponent",
        "sagemaker:DeleteTags",
        "sagemaker:DescribeInferenceComponent",
    ),
}
# What is asked beside an operation, in a statement of its own.
_BESIDE: dict[Operation, list[tuple[str, str]]] = {
    ("sagemaker", "CreateOptimizationJob"): [
        ("JobLogs", "logs:DescribeLogStreams"),
        ("JobLogs", "logs:GetLogEvents"),
    ]
}
# Operations that need no permission on AWS, each with its reason.
NOT_NEEDED: dict[Operation, str] = {
    ("sts", "GetCallerIdentity"): "AWS answers it to everybody, even against a policy that denies it",
    ("s3", "DeleteBucket"): "called on the embedded AWS only, where loadbench makes the bucket",
    ("s3", "CreateBucket"): "called on the embedded AWS only: on AWS the bucket is the user's to name",
}


def actions(operation: Operation) -> list[tuple[str, str]]:
    """Statement and action, for everything that an operation needs. KeyError for an unknown service."""
    if operation in NOT_NEEDED:
        return []
    service, name = operation
    own = _RENAMED.get(operation, f"{_PREFIXES.get(service, service)}:{name}")
    needed = [(_SIDS_OF_ACTIONS.get(own, _SIDS[service]), own)]
    for action in _ALSO.get(operation, ()):
        needed.append((_SIDS_OF_ACTIONS.get(action, _SIDS[action.partition(":")[0]]), action))
    return needed + _BESIDE.get(operation, [])


def observe_policy() -> dict[str, Any]:
    """The policy document of `observe` and `import`."""
    document = policy(recorded("observe"), _OBSERVED_RESOURCES)
    for statement in document["Statement"]:
        statement["Sid"] = _OBSERVED_SIDS.get(statement["Sid"], statement["Sid"])
    return document


def policy(
    operations: Iterable[Operation], resources_of: Mapping[str, list[str]] = _RESOURCES
) -> dict[str, Any]:
    """The policy document that allows these operations."""
    by_sid: dict[str, set[str]] = {}
    for operation in operations:
        for sid, action in actions(operation):
            by_sid.setdefault(sid, set()).add(action)
    statements: list[dict[str, Any]] = []
    for sid, resources in resources_of.items():
        if sid in by_sid:
            statement: dict[str, Any] = {
                "Sid": sid,
                "Effect": "Allow",
                "Action": sorted(by_sid[sid]),
                "Resource": resources,
            }
            if sid in _CONDITIONS:
                statement["Condition"] = _CONDITIONS[sid]
            statements.append(statement)
    return {"Version": "2012-10-17", "Statement": statements}


def recorded(*parts: str) -> list[Operation]:
    """Operations of recording.json: those `seen` in a run, and the `rare` ones."""
    document = json.loads(RECORDING.read_text(encoding="utf-8"))
    return [
        (service, operation)
        for part in parts or ("seen", "rare")
        for service, names in document[part].items()
        for operation in names
    ]


def document_text(document: Any) -> str:
    """JSON as it is committed."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _record() -> None:
    from tests.account.session import play

    with tempfile.TemporaryDirectory() as home:
        session = play(Path(home))
    seen: dict[str, set[str]] = {}
    for asked in (asked for requests in session.asked.values() for asked in requests):
        seen.setdefault(asked.service, set()).add(asked.operation)
    document = json.loads(RECORDING.read_text(encoding="utf-8"))
    document["seen"] = {service: sorted(names) for service, names in sorted(seen.items())}
    RECORDING.write_text(document_text(document), encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] == ["--record"]:
        _record()
    POLICY.write_text(document_text(policy(recorded())), encoding="utf-8")
    OBSERVE_POLICY.write_text(document_text(observe_policy()), encoding="utf-8")
    print(f"{POLICY} and {OBSERVE_POLICY.name} written")
