"""Versions, delete markers, locks, conditions and attributes of objects, as boto3 sees them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ...conftest import EmbeddedAws


@pytest.fixture(scope="module")
def s3(_shared_aws: EmbeddedAws) -> Any:
    return _shared_aws.client("s3")


@pytest.fixture
def bucket(s3: Any, request: pytest.FixtureRequest) -> Iterator[str]:
    """A bucket of the test's own that keeps versions and can lock them."""
    name = "v-" + hashlib.md5(request.node.nodeid.encode()).hexdigest()
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    yield name
    found = s3.list_object_versions(Bucket=name)
    for item in [*found.get("Versions", []), *found.get("DeleteMarkers", [])]:
        key = {"Bucket": name, "Key": item["Key"], "VersionId": item["VersionId"]}
        s3.delete_object(**key, BypassGovernanceRetention=True)
    s3.delete_bucket(Bucket=name)


def put(s3: Any, bucket: str, key: str, body: bytes, **more: Any) -> str:
    version: str = s3.put_object(Bucket=bucket, Key=key, Body=body, **more)["VersionId"]
    return version


def read(s3: Any, bucket: str, key: str, **more: Any) -> bytes:
    body: bytes = s3.get_object(Bucket=bucket, Key=key, **more)["Body"].read()
    return body


def refused(call: Any, **arguments: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    code: str = caught.value.response["Error"]["Code"]
    return code


def test_every_version_stays_until_it_is_removed_by_its_id(s3: Any, bucket: str) -> None:
    first, second = put(s3, bucket, "k", b"1"), put(s3, bucket, "k", b"2")
    assert read(s3, bucket, "k") == b"2"
    assert read(s3, bucket, "k", VersionId=first) == b"1"
    gone = s3.delete_object(Bucket=bucket, Key="k")
    assert gone["DeleteMarker"] is True
    assert refused(s3.get_object, Bucket=bucket, Key="k") == "NoSuchKey"
    assert refused(s3.get_object, Bucket=bucket, Key="k", VersionId=gone["VersionId"]) == "MethodNotAllowed"
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    s3.delete_object(Bucket=bucket, Key="k", VersionId=gone["VersionId"])
    assert read(s3, bucket, "k") == b"2"
    s3.delete_object(Bucket=bucket, Key="k", VersionId=second)
    assert read(s3, bucket, "k") == b"1"
    assert refused(s3.get_object, Bucket=bucket, Key="k", VersionId=second) == "NoSuchVersion"
    assert refused(s3.delete_bucket, Bucket=bucket) == "BucketNotEmpty"


def test_versions_are_listed_newest_first_in_pages_that_survive_removals(s3: Any, bucket: str) -> None:
    made = {key: [put(s3, bucket, key, b"x") for _ in range(3)] for key in ("a", "b/1", "b/2", "c")}
    expected = [(key, version) for key in sorted(made) for version in reversed(made[key])]
    seen: list[tuple[str, str]] = []
    marker: dict[str, str] = {}
    while True:
        page = s3.list_object_versions(Bucket=bucket, MaxKeys=2, **marker)
        found = [(item["Key"], item["VersionId"]) for item in page["Versions"]]
        seen += found
        # What was listed is removed, and something new comes in front of the next page.
        for key, version in found:
            s3.delete_object(Bucket=bucket, Key=key, VersionId=version)
        put(s3, bucket, "a", b"new")
        if not page["IsTruncated"]:
            break
        marker = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}
    assert seen == expected
    folded = s3.list_object_versions(Bucket=bucket, Delimiter="/")
    assert {item["Key"] for item in folded["Versions"]} == {"a"}


def test_versions_that_are_suspended_leave_one_null_version(s3: Any) -> None:
    name = "v-suspended"
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="k", Body=b"0")
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    kept = put(s3, name, "k", b"1")
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Suspended"})
    s3.put_object(Bucket=name, Key="k", Body=b"2")
    found = s3.list_object_versions(Bucket=name)["Versions"]
    assert [(item["VersionId"], item["IsLatest"]) for item in found] == [("null", True), (kept, False)]
    assert read(s3, name, "k", VersionId="null") == b"2"
    s3.delete_object(Bucket=name, Key="k")
    (marker,) = s3.list_object_versions(Bucket=name)["DeleteMarkers"]
    assert marker["VersionId"] == "null"
    for version in ("null", kept):
        s3.delete_object(Bucket=name, Key="k", VersionId=version)
    s3.delete_bucket(Bucket=name)


def test_a_locked_version_is_not_removed_by_anybody(s3: Any, bucket: str) -> None:
    until = datetime.now(UTC) + timedelta(days=1)
    lock = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": until}
    version = put(s3, bucket, "k", b"kept", **lock)
    name = {"Bucket": bucket, "Key": "k", "VersionId": version}
    assert refused(s3.delete_object, **name) == "AccessDenied"
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k", "VersionId": version}]})
    assert [item["Code"] for item in answer["Errors"]] == ["AccessDenied"]
    shorter = {"Mode": "GOVERNANCE", "RetainUntilDate": until - timedelta(hours=1)}
    assert refused(s3.put_object_retention, **name, Retention=shorter) == "AccessDenied"
    s3.delete_object(Bucket=bucket, Key="k")  # a marker hides it, the version stays
    assert read(s3, bucket, "k", VersionId=version) == b"kept"
    s3.put_object_legal_hold(**name, LegalHold={"Status": "ON"})
    assert refused(s3.delete_object, **name, BypassGovernanceRetention=True) == "AccessDenied"
    assert s3.get_object_legal_hold(**name)["LegalHold"]["Status"] == "ON"
    s3.put_object_legal_hold(**name, LegalHold={"Status": "OFF"})
    s3.delete_object(**name, BypassGovernanceRetention=True)
    assert refused(s3.get_object, **name) == "NoSuchVersion"


def test_compliance_and_the_buckets_default_retention_hold_against_the_bypass(s3: Any, bucket: str) -> None:
    rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 1}}
    lock = {"ObjectLockEnabled": "Enabled", "Rule": rule}
    s3.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration=lock)
    assert s3.get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"] == lock
    soon = datetime.now(UTC) + timedelta(seconds=3)
    held = {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": soon}
    name = {"Bucket": bucket, "Key": "k", "VersionId": put(s3, bucket, "k", b"x", **held)}
    assert refused(s3.delete_object, **name, BypassGovernanceRetention=True) == "AccessDenied"
    while datetime.now(UTC) <= soon:
        assert s3.head_object(**name)["ObjectLockMode"] == "COMPLIANCE"
    s3.delete_object(**name)
    s3.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"})


def test_removals_and_copies_keep_their_conditions(s3: Any, bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["ETag"]
    assert refused(s3.delete_object, Bucket=bucket, Key="k", IfMatch='"other"') == "PreconditionFailed"
    many = {"Objects": [{"Key": "k", "ETag": '"other"'}]}
    (error,) = s3.delete_objects(Bucket=bucket, Delete=many)["Errors"]
    assert error["Code"] == "PreconditionFailed"
    source = {"Bucket": bucket, "Key": "k"}
    taken = {"Bucket": bucket, "Key": "taken"}
    s3.put_object(**taken, Body=b"mine")
    assert refused(s3.copy_object, **taken, CopySource=source, IfNoneMatch="*") == "PreconditionFailed"
    assert read(s3, bucket, "taken") == b"mine"
    s3.delete_object(Bucket=bucket, Key="k", IfMatch=etag)
    assert refused(s3.get_object, Bucket=bucket, Key="k") == "NoSuchKey"


def test_what_did_not_hold_is_named_and_what_did_not_change_has_its_etag(s3: Any, bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["ETag"]
    with pytest.raises(ClientError) as caught:
        s3.get_object(Bucket=bucket, Key="k", IfMatch='"other"')
    assert caught.value.response["Error"]["Condition"] == "If-Match"
    with pytest.raises(ClientError) as caught:
        s3.get_object(Bucket=bucket, Key="k", IfNoneMatch=etag)
    answer = caught.value.response["ResponseMetadata"]
    assert (answer["HTTPStatusCode"], answer["HTTPHeaders"]["etag"]) == (304, etag)


def test_what_an_object_was_stored_with_comes_back(s3: Any, bucket: str) -> None:
    s3.put_object(
        Bucket=bucket,
        Key="k",
        Body=b"1",
        StorageClass="STANDARD_IA",
        ServerSideEncryption="aws:kms",
        SSEKMSKeyId="alias/mine",
        BucketKeyEnabled=True,
        WebsiteRedirectLocation="/there",
        Metadata={"m": "1"},
    )
    head = s3.head_object(Bucket=bucket, Key="k")
    assert (head["StorageClass"], head["WebsiteRedirectLocation"]) == ("STANDARD_IA", "/there")
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", "alias/mine")
    assert head["BucketKeyEnabled"] is True
    assert s3.list_objects_v2(Bucket=bucket)["Contents"][0]["StorageClass"] == "STANDARD_IA"
    # A copy takes the metadata, not what its source was stored with.
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "k"})
    copied = s3.head_object(Bucket=bucket, Key="copy")
    assert (copied.get("StorageClass"), copied["ServerSideEncryption"]) == (None, "AES256")
    assert copied["Metadata"] == {"m": "1"}
    wanted = ["ETag", "ObjectSize", "StorageClass"]
    found = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=wanted)
    assert (found["ObjectSize"], found["StorageClass"]) == (1, "STANDARD_IA")


def test_a_copy_has_the_checksum_that_it_asks_for(s3: Any, bucket: str) -> None:
    plain = s3.put_object(Bucket=bucket, Key="plain", Body=b"body", ChecksumAlgorithm="SHA256")
    s3.put_object(Bucket=bucket, Key="k", Body=b"body", ChecksumAlgorithm="CRC32")
    source = {"Bucket": bucket, "Key": "k"}
    copied = s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, ChecksumAlgorithm="SHA256")
    assert copied["CopyObjectResult"]["ChecksumSHA256"] == plain["ChecksumSHA256"]


def test_a_customers_own_key_is_refused_rather_than_ignored(s3: Any, bucket: str) -> None:
    key = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32}
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"secret", **key) == "NotImplemented"
    assert "Versions" not in s3.list_object_versions(Bucket=bucket)
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"x", WriteOffsetBytes=1) == "NotImplemented"


def test_an_archived_object_is_not_read(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"1", StorageClass="GLACIER")
    assert refused(s3.get_object, Bucket=bucket, Key="k") == "InvalidObjectState"
    assert s3.head_object(Bucket=bucket, Key="k")["StorageClass"] == "GLACIER"


def test_buckets_are_listed_by_prefix_and_in_pages_that_survive_removals(s3: Any) -> None:
    names = [f"paged-{number}" for number in range(4)]
    for name in names:
        s3.create_bucket(Bucket=name)
    seen: list[str] = []
    more: dict[str, str] = {}
    while True:
        page = s3.list_buckets(Prefix="paged-", MaxBuckets=1, **more)
        (found,) = (item["Name"] for item in page["Buckets"])
        seen.append(found)
        s3.delete_bucket(Bucket=found)
        if "ContinuationToken" not in page:
            break
        more = {"ContinuationToken": page["ContinuationToken"]}
    assert seen == names
