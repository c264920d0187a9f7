"""Execution roles: refused where AWS refuses them, and a deployment's failure where they vanish later."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .conftest import BUCKET, IMAGE, INSTANCE_TYPE, Deployer
from .test_jobs import job

NOBODY = "arn:aws:iam::123456789012:role/nobody"
SAGEMAKER = {"Service": "sagemaker.amazonaws.com"}


def statement(**changes: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Principal": SAGEMAKER, "Action": "sts:AssumeRole", **changes}


def create_model(deploy: Deployer, role: str, name: str = "with-role") -> None:
    deploy.sagemaker.create_model(ModelName=name, ExecutionRoleArn=role, PrimaryContainer={"Image": IMAGE})


def create_config(deploy: Deployer, role: str) -> None:
    variant = {"VariantName": "v", "InstanceType": INSTANCE_TYPE, "InitialInstanceCount": 1}
    deploy.sagemaker.create_endpoint_config(
        EndpointConfigName="with-role", ExecutionRoleArn=role, ProductionVariants=[variant]
    )


def create_job(deploy: Deployer, role: str) -> None:
    job(deploy, RoleArn=role)


@pytest.mark.parametrize("create", [create_model, create_config, create_job])
@pytest.mark.parametrize(
    ("role", "words"),
    [
        (NOBODY, f"Could not assume role {NOBODY}. Please ensure that the role exists"),
        ("arn:aws:iam::111111111111:role/sagemaker", "Cross-account pass role is not allowed"),
    ],
)
def test_a_role_that_cannot_be_passed_is_refused_by_every_operation_that_takes_one(
    deploy: Deployer, create: Callable[[Deployer, str], None], role: str, words: str
) -> None:
    with pytest.raises(ClientError, match=words) as caught:
        create(deploy, role)
    assert caught.value.response["Error"]["Code"] == "ValidationException"


def test_the_trust_policy_decides_whether_sagemaker_may_assume_a_role(deploy: Deployer) -> None:
    iam = deploy.aws.client("iam")
    other = {"Service": "lambda.amazonaws.com"}
    both = {"Service": ["lambda.amazonaws.com", "sagemaker.amazonaws.com"]}
    policies: list[tuple[list[dict[str, Any]], bool]] = [
        ([statement()], True),
        ([statement(Principal=both, Action=["sts:AssumeRole", "sts:TagSession"])], True),
        ([statement(Principal=other), statement()], True),
        ([statement(Principal=other)], False),
        ([statement(Principal={"AWS": "arn:aws:iam::123456789012:root"})], False),
        ([statement(Action="sts:TagSession")], False),
        ([statement(), statement(Effect="Deny")], False),
    ]
    for number, (statements, is_trusted) in enumerate(policies):
        document = json.dumps({"Version": "2012-10-17", "Statement": statements})
        role = iam.create_role(RoleName=f"trust-{number}", AssumeRolePolicyDocument=document)["Role"]
        if is_trusted:
            create_model(deploy, role["Arn"], f"trust-{number}")
        else:
            with pytest.raises(ClientError, match="Could not assume role"):
                create_model(deploy, role["Arn"], f"trust-{number}")


def test_an_endpoint_fails_if_its_models_role_is_gone_by_then(deploy: Deployer) -> None:
    role = deploy.aws.make_role("soon-gone")
    source = {"S3Uri": f"s3://{BUCKET}/standard/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    container = {"Image": IMAGE, "ModelDataSource": {"S3DataSource": source}}
    deploy.sagemaker.create_model(ModelName="soon", ExecutionRoleArn=role, PrimaryContainer=container)
    deploy.aws.client("iam").delete_role(RoleName="soon-gone")

    endpoint = deploy.endpoint(deploy.config("soon"))

    described = deploy.endpoint_settled(endpoint)
    assert described["EndpointStatus"] == "Failed"
    assert described["FailureReason"].startswith(f'The execution role ARN "{role}" is invalid.')
