"""Signatures that leave out what matters, older ones, and services that are not there."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from localaws.errors import AwsError
from localaws.services.log_patterns import parse_pattern

from ..conftest import EmbeddedAws


@pytest.fixture(scope="module")
def s3(_shared_aws: EmbeddedAws) -> Any:
    client = _shared_aws.client("s3", signature_version="s3v4")
    client.create_bucket(Bucket="attacked")
    client.put_object(Bucket="attacked", Key="secret", Body=b"secret")
    yield client
    for item in client.list_objects_v2(Bucket="attacked").get("Contents", []):
        client.delete_object(Bucket="attacked", Key=item["Key"])
    client.delete_bucket(Bucket="attacked")


@pytest.mark.parametrize(
    "header", ["x-amz-copy-source", "x-amz-acl", "x-amz-meta-a", "x-amz-storage-class", "x-amz-tagging"]
)
def test_an_upload_only_address_takes_no_header_that_was_not_signed(s3: Any, header: str) -> None:
    address = s3.generate_presigned_url("put_object", {"Bucket": "attacked", "Key": "mine"})
    answer = requests.put(address, headers={header: "attacked/secret"}, data=b"", timeout=30)
    assert answer.status_code == 403
    assert "not signed" in answer.text
    assert "Contents" not in s3.list_objects_v2(Bucket="attacked", Prefix="mine")


@pytest.mark.parametrize("change", ["+3600", " 3600", "3_600", "3600.0", "٣٦٠٠", "0", "-1", "604801"])
def test_a_presigned_address_has_plain_numbers(s3: Any, change: str) -> None:
    address = s3.generate_presigned_url("get_object", {"Bucket": "attacked", "Key": "secret"})
    assert requests.get(address, timeout=30).content == b"secret"
    answer = requests.get(address.replace("X-Amz-Expires=3600", f"X-Amz-Expires={change}"), timeout=30)
    assert answer.status_code == 403


def test_a_region_that_does_not_exist_or_is_not_the_buckets_is_refused(
    _shared_aws: EmbeddedAws, s3: Any
) -> None:
    import boto3

    def client(region: str) -> Any:
        key = _shared_aws.user
        return boto3.Session().client(
            "sagemaker",
            endpoint_url=f"http://127.0.0.1:{_shared_aws.port}",
            region_name=region,
            aws_access_key_id=key.access_key_id,
            aws_secret_access_key=key.secret_access_key,
        )

    with pytest.raises(ClientError, match="valid region"):
        client("us-nowhere-9").list_models()
    assert client("eu-west-1").list_models()["Models"] == []
    address = s3.generate_presigned_url("get_object", {"Bucket": "attacked", "Key": "secret"})
    assert requests.get(address.replace("us-east-1", "eu-west-1"), timeout=30).status_code in (400, 403)


def test_an_operation_that_nobody_signed_is_not_run(_shared_aws: EmbeddedAws) -> None:
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    user = _shared_aws.user
    address = f"http://127.0.0.1:{_shared_aws.port}/"
    signed = AWSRequest("POST", address, headers={"Content-Type": "application/x-amz-json-1.1"}, data=b"{}")
    SigV4Auth(Credentials(user.access_key_id, user.secret_access_key), "sagemaker", "us-east-1").add_auth(
        signed
    )
    headers = {**dict(signed.headers), "X-Amz-Target": "SageMaker.ListModels"}
    answer = requests.post(address, headers=headers, data=b"{}", timeout=30)
    assert answer.status_code == 403
    assert "not signed" in answer.text


def test_an_address_as_boto3_presigns_it_by_default_is_served_and_covers_what_it_says(
    _shared_aws: EmbeddedAws, s3: Any
) -> None:
    older = _shared_aws.client("s3", signature_version="s3")
    address = older.generate_presigned_url("get_object", {"Bucket": "attacked", "Key": "secret"})
    assert "AWSAccessKeyId=" in address
    assert requests.get(address, timeout=30).content == b"secret"
    for changed in (
        address.replace("/secret", "/other"),
        address.replace("Expires=", "Expires=9"),
        address.replace("Expires=", "Expires=+"),
        f"{address}&list-type=2",
        f"{address}&Expires=9999999999",
    ):
        assert requests.get(changed, timeout=30).status_code == 403
    assert requests.delete(address, timeout=30).status_code == 403
    named = {"Bucket": "attacked", "Key": "put by v2", "ContentType": "text/x"}
    upload = older.generate_presigned_url("put_object", named)
    copied = requests.put(upload, headers={"x-amz-copy-source": "attacked/secret"}, timeout=30)
    assert copied.status_code == 403
    assert requests.put(upload, headers={"Content-Type": "text/x"}, data=b"1", timeout=30).status_code == 200
    assert s3.head_object(Bucket="attacked", Key="put by v2")["ContentType"] == "text/x"
    with pytest.raises(ClientError, match="not supported"):
        older.list_objects_v2(Bucket="attacked")


@pytest.mark.parametrize(
    ("service", "call"),
    [("lambda", "list_functions"), ("bedrock", "list_foundation_models"), ("pi", "list_tags_for_resource")],
)
def test_a_service_that_is_not_served_says_so_in_its_own_protocol(
    _shared_aws: EmbeddedAws, service: str, call: str
) -> None:
    arguments = {"ServiceType": "RDS", "ResourceARN": "arn"} if service == "pi" else {}
    with pytest.raises(ClientError) as caught:
        getattr(_shared_aws.client(service), call)(**arguments)
    assert service in str(caught.value.response["Error"]["Message"])


def test_policies_are_simulated_and_awss_own_are_there(_shared_aws: EmbeddedAws) -> None:
    iam = _shared_aws.client("iam")
    statement = {"Effect": "Allow", "Action": "s3:Get*", "Resource": "arn:aws:s3:::mine/*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    role = iam.create_role(RoleName="simulated", AssumeRolePolicyDocument=policy)["Role"]
    iam.put_role_policy(RoleName="simulated", PolicyName="p", PolicyDocument=policy)

    def decision(action: str, resource: str) -> str:
        answer = iam.simulate_principal_policy(
            PolicySourceArn=role["Arn"], ActionNames=[action], ResourceArns=[resource]
        )
        found: str = answer["EvaluationResults"][0]["EvalDecision"]
        return found

    assert decision("s3:GetObject", "arn:aws:s3:::mine/key") == "allowed"
    assert decision("s3:GetObject", "arn:aws:s3:::other/key") == "implicitDeny"
    managed = "arn:aws:iam::aws:policy/AmazonSageMakerFullAccess"
    iam.attach_role_policy(RoleName="simulated", PolicyArn=managed)
    assert decision("sagemaker:CreateModel", "*") == "allowed"
    iam.detach_role_policy(RoleName="simulated", PolicyArn=managed)
    iam.delete_role_policy(RoleName="simulated", PolicyName="p")
    iam.delete_role(RoleName="simulated")
    with pytest.raises(ClientError, match="NoSuchEntity"):
        decision("s3:GetObject", "*")


@pytest.mark.parametrize(
    ("pattern", "fitting", "other"),
    [
        ("", "anything", None),
        ("ERROR", "an ERROR here", "an error here"),
        ("INFO PyProcess", "INFO W-1 PyProcess: x", "INFO x"),
        ("INFO -PyProcess", "INFO x", "INFO PyProcess"),
        ("?ERROR ?WARN", "a WARN", "an INFO"),
        ('"two words"', "here two words", "two other words"),
        (r'"a \"quoted\" word"', 'a "quoted" word', "a quoted word"),
        ("%ms: [0-9]+%", "ms: 12", "ms: x"),
        ("-INFO", "ERROR", "INFO"),
    ],
)
def test_filter_patterns_mean_what_the_guide_says(pattern: str, fitting: str, other: str | None) -> None:
    fits = parse_pattern(pattern)
    assert fits(fitting)
    assert other is None or not fits(other)


@pytest.mark.parametrize("pattern", ["{ $.x = 1 }", "[ip, user]", "%(a)%", "%[%", '"open', "x" * 1025])
def test_a_filter_pattern_that_is_not_served_is_refused(pattern: str) -> None:
    with pytest.raises(AwsError, match="InvalidParameterException"):
        parse_pattern(pattern)


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_pattern_is_used_or_refused(pattern: str, line: str) -> None:
    try:
        fits = parse_pattern(pattern)
    except AwsError:
        return
    assert fits(line) in (True, False)
