"""Checks of the account: credentials, role, quota, instance type offering, running resources."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from loadbench.instance_types import instance_types
from loadbench.load_paths import LOAD_PATHS
from loadbench.run.models.staging import configured_bucket
from loadbench.run.preflight.check_result import Check, CheckContext, error_code, is_denied

_BUSY_JOB = ("STARTING", "INPROGRESS", "STOPPING")


def credentials(context: CheckContext) -> Iterator[Check]:
    """The credentials work, and on AWS no environment variable redirects requests elsewhere."""
    identity = context.client("sts").get_caller_identity()
    who = f"account {identity['Account']} as {identity['Arn']}"
    elsewhere = sorted(name for name in os.environ if name.startswith("AWS_ENDPOINT_URL"))
    if context.config.target == "aws" and elsewhere:
        yield Check(
            "credentials",
            "warning",
            f"{who}; {elsewhere[0]} sends requests to {os.environ[elsewhere[0]]}, not to AWS",
            f"If that is not intended: unset {' '.join(elsewhere)}.",
        )
    else:
        yield Check("credentials", "ok", who)


def running(context: CheckContext) -> Iterator[Check]:
    """Nothing of this project is running already."""
    project, sagemaker = f"{context.config.project}-", context.client("sagemaker")
    endpoints = (
        (item["EndpointName"], item["EndpointStatus"])
        for page in sagemaker.get_paginator("list_endpoints").paginate(NameContains=project)
        for item in page["Endpoints"]
    )
    jobs = (
        (item["OptimizationJobName"], item["OptimizationJobStatus"])
        for page in sagemaker.get_paginator("list_optimization_jobs").paginate(NameContains=project)
        for item in page["OptimizationJobSummaries"]
        if item["OptimizationJobStatus"] in _BUSY_JOB
    )
    found = [
        f"{name} ({status})"
        for name, status in (*endpoints, *jobs)
        if name.startswith(project)
        and any(f"-{load_path}-" in name for load_path in context.paths)
        and status != "Deleting"
    ]
    if found:
        yield Check(
            "running",
            "warning",
            f"already running and costing money: {', '.join(found)}",
            "A new run replaces the endpoint of its loading method; `make destroy` or `loadbench"
            " leftovers` removes the others.",
        )
    else:
        yield Check("running", "ok", "nothing of this project is running")


def offering(context: CheckContext) -> Iterator[Check]:
    """The region offers the instance type. This checks EC2's offering, because no API reports SageMaker's."""
    types = {info.instance_type for _, info in context.deployments()}
    for name in sorted(types):
        if is_offered(context, name):
            yield Check("instance type", "ok", f"{context.config.region} offers {name}")
        else:
            yield Check(
                "instance type",
                "failure",
                f"{context.config.region} does not offer {name}",
                "Choose another instance_type or region.",
            )


def is_offered(context: CheckContext, instance_type: str) -> bool:
    """Whether EC2 has the type in the region."""
    answer = context.client("ec2").describe_instance_type_offerings(
        Filters=[{"Name": "instance-type", "Values": [instance_type.removeprefix("ml.")]}]
    )
    return bool(answer["InstanceTypeOfferings"])


def quota(context: CheckContext) -> Iterator[Check]:
    """The quota "for endpoint usage" allows the number of instances that the run needs."""
    wanted: dict[str, int] = {}
    for _, info in context.deployments():
        wanted[info.instance_type] = max(wanted.get(info.instance_type, 0), info.instance_count)
    for instance_type, count in wanted.items():
        name, value = quota_name(instance_type), endpoint_quota(context, instance_type)
        if value is None:
            yield Check("quota", "warning", f"Service Quotas lists no {name!r}", "Check it in the console.")
        elif value >= count:
            yield Check("quota", "ok", f"{name}: {value:.0f}, needed {count}")
        else:
            yield Check(
                "quota",
                "failure",
                f"{name}: {value:.0f}, needed {count}",
                "Request a higher quota in Service Quotas (SageMaker); small increases are usually"
                " granted quickly.",
            )


def endpoint_quota(context: CheckContext, instance_type: str) -> float | None:
    """How many instances of a type endpoints may have; None where Service Quotas does not list it."""
    name = quota_name(instance_type)
    value = _quota_by_code(context, instance_type, name)
    return _quota_by_name(context, name) if value is None else value


def quota_name(instance_type: str) -> str:
    """SageMaker's name of the quota for endpoints on an instance type."""
    return f"{instance_type} for endpoint usage"


def quota_codes() -> dict[str, str]:
    """Codes of those quotas by instance type: one request instead of a listing of thousands of rows.

    The codes are from public code: the name in the response shows whether a code is right.
    """
    return {name: known.quota_code for name, known in instance_types().items() if known.quota_code}


def _quota_by_code(context: CheckContext, instance_type: str, name: str) -> float | None:
    code = quota_codes().get(instance_type)
    if code is None:
        return None
    try:
        found = context.client("service-quotas").get_service_quota(ServiceCode="sagemaker", QuotaCode=code)
    except ClientError as error:
        if error_code(error) == "NoSuchResourceException":
            return None
        raise
    return float(found["Quota"]["Value"]) if found["Quota"].get("QuotaName") == name else None


def _quota_by_name(context: CheckContext, name: str) -> float | None:
    pages = (
        context.client("service-quotas")
        .get_paginator("list_service_quotas")
        .paginate(ServiceCode="sagemaker", PaginationConfig={"PageSize": 100})
    )
    for item in (item for page in pages for item in page["Quotas"]):
        if item["QuotaName"] == name:
            return float(item["Value"])
    return None


def role(context: CheckContext) -> Iterator[Check]:
    """A configured role exists, trusts SageMaker, and may be passed by the caller."""
    arns = sorted({info.sagemaker_exec_role for _, info in context.deployments() if info.sagemaker_exec_role})
    if not arns:
        yield Check("role", "ok", "none configured: the run creates a least-privilege role")
    for arn in arns:
        yield _role(context, arn)


def _role(context: CheckContext, arn: str) -> Check:
    try:
        found = context.client("iam").get_role(RoleName=arn.rsplit("/", 1)[-1])["Role"]
    except ClientError as error:
        if is_denied(error):
            return Check(
                "role", "warning", f"the caller may not read {arn}", "Allow iam:GetRole to check it."
            )
        if error_code(error) == "NoSuchEntity":
            return Check(
                "role",
                "failure",
                f"the role {arn} does not exist",
                "Correct sagemaker_exec_role, or leave it empty.",
            )
        raise
    if "sagemaker.amazonaws.com" not in json.dumps(found["AssumeRolePolicyDocument"]):
        return Check(
            "role",
            "failure",
            f"the role {arn} does not trust sagemaker.amazonaws.com",
            "Add sagemaker.amazonaws.com to its trust relationship, or leave sagemaker_exec_role empty.",
        )
    return _may_be_passed(context, arn)


def _may_be_passed(context: CheckContext, arn: str) -> Check:
    caller = context.client("sts").get_caller_identity()["Arn"]
    try:
        if _denied(context, _principal(caller), ["iam:PassRole"], [arn]):
            remedy = "Allow the caller iam:PassRole on this role."
            return Check("role", "failure", f"{caller} may not pass {arn}", remedy)
        unreadable = _unreadable(context, arn)
    except ClientError as error:  # the caller may not simulate, or cannot be simulated (root)
        return Check(
            "role",
            "ok",
            f"{arn} exists and trusts SageMaker ({error_code(error)}: whether it may be passed and read the"
            " bucket is not known)",
        )
    if unreadable:
        return Check(
            "role",
            "warning",
            f"the policies of {arn} do not allow {', '.join(unreadable)}",
            "Allow it in the role, unless the bucket's own policy does.",
        )
    return Check("role", "ok", f"{arn} exists, trusts SageMaker, may be passed and read the bucket")


def _unreadable(context: CheckContext, arn: str) -> list[str]:
    """Bucket permissions that the role needs and its policies do not allow, as `action on resource`."""
    name = configured_bucket(context.config)
    if name is None:
        return []
    bucket = f"arn:{arn.split(':')[1]}:s3:::{name}"
    needed = {"s3:ListBucket": bucket, "s3:GetObject": f"{bucket}/models/x"}
    if any(LOAD_PATHS[load_path].optimized for load_path in context.paths):
        needed["s3:PutObject"] = f"{bucket}/optimized/x"
    return [
        f"{action} on {resource}"
        for action, resource in needed.items()
        if _denied(context, arn, [action], [resource])
    ]


def _denied(context: CheckContext, principal: str, actions: list[str], resources: list[str]) -> bool:
    """Whether IAM's simulation of the principal's policies denies the action."""
    answer: dict[str, Any] = context.client("iam").simulate_principal_policy(
        PolicySourceArn=principal, ActionNames=actions, ResourceArns=resources
    )
    return any(result["EvalDecision"] != "allowed" for result in answer["EvaluationResults"])


def _principal(caller_arn: str) -> str:
    """The role of an assumed-role session: policies are attached to the role."""
    if ":assumed-role/" not in caller_arn:
        return caller_arn
    head, _, rest = caller_arn.partition(":assumed-role/")
    return f"{head.replace(':sts:', ':iam:')}:role/{rest.split('/')[0]}"
