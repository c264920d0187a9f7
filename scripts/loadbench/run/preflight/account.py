"""Checks that ask the account: who calls, role, quota, offering, what is up already."""

from __future__ import annotations

import json
from collections.abc import Iterator

from botocore.exceptions import ClientError

from loadbench.run.preflight.check import Check, Context, error_code, is_denied

_QUOTA_CODE_FREE_TEXT = "{instance_type} for endpoint usage"


def credentials(context: Context) -> Iterator[Check]:
    """The credentials are those of an account."""
    identity = context.client("sts").get_caller_identity()
    yield Check("credentials", "ok", f"account {identity['Account']} as {identity['Arn']}")


def standing_endpoints(context: Context) -> Iterator[Check]:
    """Nothing of this project is up already."""
    pages = (
        context.client("sagemaker")
        .get_paginator("list_endpoints")
        .paginate(NameContains=f"{context.config.project}-")
    )
    found = [item for page in pages for item in page["Endpoints"]]
    standing = [
        f"{item['EndpointName']} ({item['EndpointStatus']})"
        for item in found
        if item["EndpointName"].startswith(f"{context.config.project}-")
        and any(f"-{path}-" in item["EndpointName"] for path in context.paths)
        and item["EndpointStatus"] != "Deleting"
    ]
    if standing:
        yield Check(
            "standing endpoints",
            "warning",
            f"already up and costing money: {', '.join(standing)}",
            "A new run replaces its own; `make destroy` or `loadbench leftovers` removes the others.",
        )
    else:
        yield Check("standing endpoints", "ok", "nothing of this project is up")


def offering(context: Context) -> Iterator[Check]:
    """The region has the instance type. EC2's offering stands for SageMaker's, which no API tells."""
    types = {info.instance_type for _, info in context.deployments()}
    for name in sorted(types):
        answer = context.client("ec2").describe_instance_type_offerings(
            Filters=[{"Name": "instance-type", "Values": [name.removeprefix("ml.")]}]
        )
        if answer["InstanceTypeOfferings"]:
            yield Check("instance type", "ok", f"{context.config.region} offers {name}")
        else:
            yield Check(
                "instance type",
                "failure",
                f"{context.config.region} does not offer {name}",
                "Choose another instance_type or region.",
            )


def quota(context: Context) -> Iterator[Check]:
    """The quota "for endpoint usage" allows as many instances as the run wants."""
    wanted: dict[str, int] = {}
    for _, info in context.deployments():
        name = _QUOTA_CODE_FREE_TEXT.format(instance_type=info.instance_type)
        wanted[name] = max(wanted.get(name, 0), info.instance_count)
    pages = (
        context.client("service-quotas")
        .get_paginator("list_service_quotas")
        .paginate(ServiceCode="sagemaker", PaginationConfig={"PageSize": 100})
    )
    for item in (item for page in pages for item in page["Quotas"]):
        if (count := wanted.pop(item["QuotaName"], None)) is None:
            continue
        enough = item["Value"] >= count
        yield Check(
            "quota",
            "ok" if enough else "failure",
            f"{item['QuotaName']}: {item['Value']:.0f}, wanted {count}",
            ""
            if enough
            else "Request a higher quota in Service Quotas (SageMaker); small ones are granted soon.",
        )
        if not wanted:
            return
    for name in wanted:
        yield Check("quota", "warning", f"Service Quotas lists no {name!r}", "Look it up in the console.")


def role(context: Context) -> Iterator[Check]:
    """A configured role exists, trusts SageMaker, and may be passed by the caller."""
    arns = sorted({info.sagemaker_exec_role for _, info in context.deployments() if info.sagemaker_exec_role})
    if not arns:
        yield Check("role", "ok", "none configured: the run makes one with the least it needs")
    for arn in arns:
        yield _role(context, arn)


def _role(context: Context, arn: str) -> Check:
    try:
        found = context.client("iam").get_role(RoleName=arn.rsplit("/", 1)[-1])["Role"]
    except ClientError as error:
        if is_denied(error):
            return Check(
                "role", "warning", f"the caller may not look at {arn}", "Allow iam:GetRole to check it."
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


def _may_be_passed(context: Context, arn: str) -> Check:
    caller = context.client("sts").get_caller_identity()["Arn"]
    try:
        answer = context.client("iam").simulate_principal_policy(
            PolicySourceArn=_principal(caller), ActionNames=["iam:PassRole"], ResourceArns=[arn]
        )
    except ClientError as error:  # the caller may not simulate, or is one that cannot be simulated (root)
        return Check(
            "role", "ok", f"{arn} exists and trusts SageMaker ({error_code(error)}: may it be passed?)"
        )
    if answer["EvaluationResults"][0]["EvalDecision"] != "allowed":
        return Check(
            "role", "failure", f"{caller} may not pass {arn}", "Allow the caller iam:PassRole on this role."
        )
    return Check("role", "ok", f"{arn} exists, trusts SageMaker and may be passed")


def _principal(caller_arn: str) -> str:
    """The role behind an assumed-role session, which is what policies hang on."""
    if ":assumed-role/" not in caller_arn:
        return caller_arn
    head, _, rest = caller_arn.partition(":assumed-role/")
    return f"{head.replace(':sts:', ':iam:')}:role/{rest.split('/')[0]}"
