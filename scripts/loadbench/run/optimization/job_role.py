"""The role of an optimization job if none is configured: created for one job, removed after it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError

from loadbench.errors import RunError
from loadbench.partitions import partition_of

_POLICY_NAME = "shard-one-model"
_TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}


@contextmanager
def provide(
    session: Any, configured: str | None, bucket: str, account_id: str, job_name: str, tags: Mapping[str, str]
) -> Iterator[str]:
    """The ARN of the configured role, or of a role that exists during the block."""
    if configured:
        yield configured
        return
    iam = session.client("iam")
    name = f"{job_name[:60]}-opt"
    try:
        role = iam.create_role(
            RoleName=name,
            AssumeRolePolicyDocument=json.dumps(_TRUST),
            Description="Reads a model and writes its shards; removed when the optimization job is done.",
            Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
        )["Role"]
        policy = json.dumps(policy_document(bucket, account_id, session.region_name))
        iam.put_role_policy(RoleName=name, PolicyName=_POLICY_NAME, PolicyDocument=policy)
    except ClientError as error:
        raise RunError(
            f"could not create the role {name} for the optimization job: {error}",
            remedy="Set sagemaker_exec_role, or allow iam:CreateRole and iam:PutRolePolicy.",
        ) from error
    try:
        yield role["Arn"]
    finally:
        iam.delete_role_policy(RoleName=name, PolicyName=_POLICY_NAME)
        iam.delete_role(RoleName=name)


def policy_document(bucket: str, account_id: str, region: str) -> dict[str, Any]:
    """Least privilege for sharding: read models, write shards, write its log, pull the image.

    The two `*` are for calls without resource-level permissions.
    """
    partition = partition_of(region) or "aws"
    bucket_arn = f"arn:{partition}:s3:::{bucket}"
    # No public page names the group of these jobs, so its name is a pattern.
    logs = f"arn:{partition}:logs:{region}:{account_id}:log-group:/aws/sagemaker/*ptimization*"
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "s3:GetObject",
                "Resource": f"arn:{partition}:s3:::{bucket}/models/*",
            },
            {
                "Effect": "Allow",
                "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"],
                "Resource": f"{bucket_arn}/optimized/*",
            },
            {
                "Effect": "Allow",
                "Action": ["s3:ListBucket", "s3:GetBucketLocation"],
                "Resource": bucket_arn,
            },
            {
                "Effect": "Allow",
                "Action": [
                    "logs:CreateLogGroup",
                    "logs:CreateLogStream",
                    "logs:DescribeLogStreams",
                    "logs:PutLogEvents",
                ],
                "Resource": [logs, f"{logs}:*"],
            },
            {
                "Effect": "Allow",
                "Action": [
                    "ecr:BatchCheckLayerAvailability",
                    "ecr:BatchGetImage",
                    "ecr:GetDownloadUrlForLayer",
                ],
                # The images belong to AWS's account for deep learning containers, one per region.
                "Resource": f"arn:{partition}:ecr:{region}:*:repository/djl-inference",
            },
            {"Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*"},
            {
                "Effect": "Allow",
                "Action": "cloudwatch:PutMetricData",
                "Resource": "*",
                "Condition": {"StringLike": {"cloudwatch:namespace": "/aws/sagemaker/*"}},
            },
        ],
    }
