"""A bucket's configuration is kept, given back, and removed; lists of access follow the ownership rule."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ...conftest import EmbeddedAws

LOGS = "logs-of-buckets"
DOCUMENTS: list[tuple[str, str, dict[str, Any]]] = [
    ("bucket_tagging", "Tagging", {"TagSet": [{"Key": "a", "Value": "1"}]}),
    (
        "public_access_block",
        "PublicAccessBlockConfiguration",
        {
            "BlockPublicAcls": True,
            "IgnorePublicAcls": False,
            "BlockPublicPolicy": True,
            "RestrictPublicBuckets": False,
        },
    ),
    (
        "bucket_encryption",
        "ServerSideEncryptionConfiguration",
        {
            "Rules": [
                {
                    "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "k"},
                    "BucketKeyEnabled": True,
                }
            ]
        },
    ),
    ("bucket_ownership_controls", "OwnershipControls", {"Rules": [{"ObjectOwnership": "ObjectWriter"}]}),
    (
        "bucket_lifecycle_configuration",
        "LifecycleConfiguration",
        {
            "Rules": [
                {
                    "ID": "old",
                    "Status": "Enabled",
                    "Filter": {"And": {"Prefix": "logs/", "Tags": [{"Key": "a", "Value": "1"}]}},
                    "Transitions": [{"Days": 30, "StorageClass": "STANDARD_IA"}],
                    "NoncurrentVersionExpiration": {"NoncurrentDays": 3, "NewerNoncurrentVersions": 2},
                    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
                }
            ]
        },
    ),
    (
        "bucket_cors",
        "CORSConfiguration",
        {"CORSRules": [{"AllowedMethods": ["GET", "PUT"], "AllowedOrigins": ["*"], "MaxAgeSeconds": 5}]},
    ),
    (
        "bucket_website",
        "WebsiteConfiguration",
        {"IndexDocument": {"Suffix": "index.html"}, "ErrorDocument": {"Key": "error.html"}},
    ),
    (
        "bucket_logging",
        "BucketLoggingStatus",
        {"LoggingEnabled": {"TargetBucket": LOGS, "TargetPrefix": "p/"}},
    ),
    ("bucket_request_payment", "RequestPaymentConfiguration", {"Payer": "BucketOwner"}),
    ("bucket_accelerate_configuration", "AccelerateConfiguration", {"Status": "Enabled"}),
]
# How the operation that removes a document is called, where it is not the document's name.
REMOVALS = {"bucket_lifecycle_configuration": "bucket_lifecycle"}
NEVER_REMOVED = ("bucket_logging", "bucket_request_payment", "bucket_accelerate_configuration")


@pytest.fixture(scope="module")
def s3(_shared_aws: EmbeddedAws) -> Iterator[Any]:
    client = _shared_aws.client("s3")
    client.create_bucket(Bucket=LOGS)
    yield client
    client.delete_bucket(Bucket=LOGS)


@pytest.fixture
def bucket(s3: Any, request: pytest.FixtureRequest) -> Iterator[str]:
    name = "c-" + hashlib.md5(request.node.nodeid.encode()).hexdigest()
    s3.create_bucket(Bucket=name)
    yield name
    for item in s3.list_objects_v2(Bucket=name).get("Contents", []):
        s3.delete_object(Bucket=name, Key=item["Key"])
    s3.delete_bucket(Bucket=name)


@pytest.mark.parametrize(("name", "member", "value"), DOCUMENTS, ids=[item[0] for item in DOCUMENTS])
def test_a_document_comes_back_as_it_was_set(
    s3: Any, bucket: str, name: str, member: str, value: dict[str, Any]
) -> None:
    read = getattr(s3, f"get_{name}")
    getattr(s3, f"put_{name}")(Bucket=bucket, **{member: value})
    found = read(Bucket=bucket)
    found.pop("ResponseMetadata")
    found.pop("TransitionDefaultMinimumObjectSize", None)
    assert found.get(member, found) == value
    if name not in NEVER_REMOVED:
        getattr(s3, f"delete_{REMOVALS.get(name, name)}")(Bucket=bucket)
        try:
            left = read(Bucket=bucket)
        except ClientError as error:
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 404
        else:
            assert name == "bucket_encryption"
            rules = left["ServerSideEncryptionConfiguration"]["Rules"]
            assert rules[0]["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}


def test_a_policy_is_kept_and_its_public_statements_are_seen(s3: Any, bucket: str) -> None:
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    s3.put_bucket_policy(Bucket=bucket, Policy=policy)
    assert s3.get_bucket_policy(Bucket=bucket)["Policy"] == policy
    assert s3.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"]["IsPublic"] is True
    s3.delete_bucket_policy(Bucket=bucket)
    with pytest.raises(ClientError, match="NoSuchBucketPolicy"):
        s3.get_bucket_policy(Bucket=bucket)
    with pytest.raises(ClientError, match="MalformedPolicy"):
        s3.put_bucket_policy(Bucket=bucket, Policy="{")


def test_the_default_encryption_goes_to_objects(s3: Any, bucket: str) -> None:
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "mine"}}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    assert s3.head_object(Bucket=bucket, Key="k")["SSEKMSKeyId"] == "mine"


def test_lists_of_access_are_refused_until_the_ownership_rule_allows_them(s3: Any, bucket: str) -> None:
    with pytest.raises(ClientError, match="AccessControlListNotSupported"):
        s3.put_bucket_acl(Bucket=bucket, ACL="public-read")
    with pytest.raises(ClientError, match="AccessControlListNotSupported"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"", ACL="public-read")
    rule = {"Rules": [{"ObjectOwnership": "BucketOwnerPreferred"}]}
    s3.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls=rule)
    s3.put_bucket_acl(Bucket=bucket, ACL="public-read")
    s3.put_object(Bucket=bucket, Key="k", Body=b"", ACL="public-read-write")
    for found, permissions in (
        (s3.get_bucket_acl(Bucket=bucket), ["FULL_CONTROL", "READ"]),
        (s3.get_object_acl(Bucket=bucket, Key="k"), ["FULL_CONTROL", "READ", "WRITE"]),
    ):
        assert [grant["Permission"] for grant in found["Grants"]] == permissions
        assert found["Grants"][1]["Grantee"]["Type"] == "Group"
    kept = s3.get_object_acl(Bucket=bucket, Key="k")
    policy = {"Owner": kept["Owner"], "Grants": kept["Grants"][:2]}
    s3.put_object_acl(Bucket=bucket, Key="k", AccessControlPolicy=policy)
    assert s3.get_object_acl(Bucket=bucket, Key="k")["Grants"] == kept["Grants"][:2]


def test_a_document_with_an_element_of_no_meaning_is_malformed(s3: Any, bucket: str) -> None:
    for value in ({"Status": "Sometimes"}, {}):
        with pytest.raises(ClientError):
            s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=value)
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)


def test_a_bucket_is_made_in_the_region_that_was_asked_or_not_at_all(
    _shared_aws: EmbeddedAws, s3: Any
) -> None:
    wrong = {"LocationConstraint": "us-east-1"}
    with pytest.raises(ClientError, match="InvalidLocationConstraint"):
        s3.create_bucket(Bucket="wrong-region", CreateBucketConfiguration=wrong)
    s3.create_bucket(Bucket="far-away", CreateBucketConfiguration={"LocationConstraint": "eu-west-2"})
    assert s3.get_bucket_location(Bucket="far-away")["LocationConstraint"] == "eu-west-2"
    s3.delete_bucket(Bucket="far-away")
