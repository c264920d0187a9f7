"""A recorded request is read back as the operation that it was, and what a service would refuse is seen."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.account.recorded_calls import Asked, complaints, parse


def recorded(service: str, method: str, target: str, body: bytes = b"", **headers: str) -> dict[str, Any]:
    return {
        "service": service,
        "method": method,
        "target": target,
        "headers": {name.replace("_", "-"): value for name, value in headers.items()},
        "body": base64.b64encode(body).decode(),
    }


def sagemaker(operation: str, parameters: dict[str, Any]) -> Asked:
    body = json.dumps(parameters).encode()
    return parse(recorded("sagemaker", "POST", "/", body, x_amz_target=f"SageMaker.{operation}"))


@pytest.mark.parametrize(
    ("method", "target", "headers", "operation", "parameters"),
    [
        ("HEAD", "/bucket", {}, "HeadBucket", {"Bucket": "bucket"}),
        ("GET", "/bucket/a/b%20c", {}, "GetObject", {"Bucket": "bucket", "Key": "a/b c"}),
        (
            "GET",
            "/bucket?list-type=2&prefix=models%2F",
            {},
            "ListObjectsV2",
            {"Bucket": "bucket", "Prefix": "models/"},
        ),
        ("GET", "/bucket/k?uploadId=u", {}, "ListParts", {"Bucket": "bucket", "Key": "k", "UploadId": "u"}),
        ("POST", "/bucket/k?uploads", {}, "CreateMultipartUpload", {"Bucket": "bucket", "Key": "k"}),
        (
            "POST",
            "/bucket/k?uploadId=u",
            {},
            "CompleteMultipartUpload",
            {"Bucket": "bucket", "Key": "k", "UploadId": "u"},
        ),
        (
            "PUT",
            "/bucket/k?partNumber=2&uploadId=u",
            {},
            "UploadPart",
            {"Bucket": "bucket", "Key": "k", "UploadId": "u", "PartNumber": 2},
        ),
        ("PUT", "/bucket/k", {}, "PutObject", {"Bucket": "bucket", "Key": "k"}),
        (
            "PUT",
            "/bucket/k",
            {"x_amz_copy_source": "other/k"},
            "CopyObject",
            {"Bucket": "bucket", "Key": "k", "CopySource": "other/k"},
        ),
        ("POST", "/bucket?delete", {}, "DeleteObjects", {"Bucket": "bucket"}),
    ],
)
def test_requests_to_s3_are_distinguished(
    method: str, target: str, headers: dict[str, str], operation: str, parameters: dict[str, Any]
) -> None:
    asked = parse(recorded("s3", method, target, b"", **headers))
    assert (asked.operation, asked.parameters) == (operation, parameters)


def test_an_invocation_is_one_of_the_runtime() -> None:
    asked = parse(recorded("sagemaker", "POST", "/endpoints/e/invocations", b"{}"))
    assert (asked.service, asked.operation) == ("sagemaker-runtime", "InvokeEndpoint")
    assert asked.parameters == {"EndpointName": "e"}


def test_a_query_becomes_lists_and_structures_again() -> None:
    form = {
        "Action": "CreateRole",
        "Version": "2010-05-08",
        "RoleName": "r",
        "AssumeRolePolicyDocument": "{}",
        "MaxSessionDuration": "3600",
        "Tags.member.1.Key": "a",
        "Tags.member.1.Value": "",
        "Tags.member.2.Key": "b",
        "Tags.member.2.Value": "2",
    }
    asked = parse(recorded("iam", "POST", "/", urlencode(form).encode(), user_agent="Terraform/1.11"))
    assert asked.client == "terraform"
    assert asked.parameters == {
        "RoleName": "r",
        "AssumeRolePolicyDocument": "{}",
        "MaxSessionDuration": 3600,
        "Tags": [{"Key": "a", "Value": ""}, {"Key": "b", "Value": "2"}],
    }
    assert complaints(asked) == ""


@pytest.mark.parametrize(
    "line",
    [
        recorded("iam", "POST", "/", b"Action=GetRole&Version=2010-05-08&RoleName=r&Rolename=r"),
        recorded("s3", "GET", "/bucket/k?no-such-parameter=1"),
        recorded("s3", "PATCH", "/bucket/k"),
    ],
)
def test_what_no_model_knows_is_an_error(line: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"no parameters|no operation"):
        parse(line)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"EndpointName": "e", "EndpointConfigName": "c"}, ""),
        ({"EndpointName": "e"}, "EndpointConfigName"),
        ({"EndpointName": "e", "EndpointConfigName": "c", "EndpointKind": "x"}, "EndpointKind"),
        ({"EndpointName": "not_allowed", "EndpointConfigName": "c"}, "not_allowed"),
        ({"EndpointName": "e", "EndpointConfigName": 3}, "EndpointConfigName"),
    ],
)
def test_what_the_service_would_refuse_is_a_complaint(parameters: dict[str, Any], words: str) -> None:
    found = complaints(sagemaker("CreateEndpoint", parameters))
    assert words in found
    assert bool(found) == bool(words)
