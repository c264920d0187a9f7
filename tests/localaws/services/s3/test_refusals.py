"""What S3 refuses or completes, found by running other projects' tests against this store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
import requests
from botocore.exceptions import ClientError

from ...conftest import EmbeddedAws

BUCKET = "refusals"
RULE = {"ID": "a", "Filter": {"Prefix": ""}, "Status": "Enabled", "Expiration": {"Days": 7}}


@pytest.fixture
def s3(aws: EmbeddedAws) -> Iterator[Any]:
    client = aws.client("s3")
    client.create_bucket(Bucket=BUCKET)
    yield client
    listed = client.list_object_versions(Bucket=BUCKET)
    for item in [*listed.get("Versions", []), *listed.get("DeleteMarkers", [])]:
        client.delete_object(Bucket=BUCKET, Key=item["Key"], VersionId=item["VersionId"])
    client.delete_bucket(Bucket=BUCKET)


def without(rule: dict[str, Any], *names: str, **changes: Any) -> dict[str, Any]:
    return {**{name: value for name, value in rule.items() if name not in names}, **changes}


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        (RULE, None),
        (without(RULE, "Filter", Prefix="logs/"), None),
        (without(RULE, Filter={"And": {"Prefix": "a", "Tags": [{"Key": "b", "Value": "c"}]}}), None),
        (without(RULE, "Filter"), "MalformedXML"),
        (without(RULE, Filter={"Prefix": "a", "Tag": {"Key": "b", "Value": "c"}}), "MalformedXML"),
        (without(RULE, "Expiration"), "InvalidRequest"),
        (without(RULE, Expiration={"Days": 7, "ExpiredObjectDeleteMarker": False}), "MalformedXML"),
        (without(RULE, Transitions=[{"Days": 1}]), "MalformedXML"),
        (without(RULE, NoncurrentVersionTransitions=[{"StorageClass": "GLACIER"}]), "MalformedXML"),
        (without(RULE, AbortIncompleteMultipartUpload={}), "MalformedXML"),
    ],
)
def test_a_lifecycle_rule_is_whole_or_refused(s3: Any, rule: dict[str, Any], code: str | None) -> None:
    configuration = {"Rules": [rule]}
    if code is None:
        s3.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration=configuration)
        return
    with pytest.raises(ClientError, match=code):
        s3.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration=configuration)
    with pytest.raises(ClientError, match="NoSuchLifecycleConfiguration"):
        s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)


def test_other_documents_are_checked_and_completed(s3: Any) -> None:
    def cors(*methods: str, rules: int = 1) -> None:
        rule = {"AllowedOrigins": ["*"], "AllowedMethods": list(methods)}
        s3.put_bucket_cors(Bucket=BUCKET, CORSConfiguration={"CORSRules": [rule] * rules})

    with pytest.raises(ClientError, match="Unsupported method is TRACE"):
        cors("GET", "TRACE")
    for rules in (0, 101):
        with pytest.raises(ClientError, match="MalformedXML"):
            cors("GET", rules=rules)
    with pytest.raises(ClientError, match="at least one configuration"):
        s3.put_public_access_block(Bucket=BUCKET, PublicAccessBlockConfiguration={})
    s3.put_public_access_block(Bucket=BUCKET, PublicAccessBlockConfiguration={"BlockPublicAcls": True})
    block = s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"]
    assert (len(block), [name for name, value in block.items() if value]) == (4, ["BlockPublicAcls"])
    suspended = {"Status": "Suspended"}
    s3.put_bucket_accelerate_configuration(Bucket=BUCKET, AccelerateConfiguration=suspended)
    assert "Status" not in s3.get_bucket_accelerate_configuration(Bucket=BUCKET)
    default = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}
    s3.put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration={"Rules": [default]})
    kept = s3.get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]
    assert kept["Rules"] == [{**default, "BucketKeyEnabled": False}]
    with pytest.raises(ClientError, match="MissingRequestBodyError"):
        s3.put_object_lock_configuration(Bucket=BUCKET)
    target = {"LoggingEnabled": {"TargetBucket": "no-such-bucket", "TargetPrefix": ""}}
    with pytest.raises(ClientError, match="InvalidTargetBucketForLogging"):
        s3.put_bucket_logging(Bucket=BUCKET, BucketLoggingStatus=target)
    s3.put_bucket_tagging(Bucket=BUCKET, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    s3.put_bucket_tagging(Bucket=BUCKET, Tagging={"TagSet": []})
    with pytest.raises(ClientError, match="NoSuchTagSet"):
        s3.get_bucket_tagging(Bucket=BUCKET)
    with pytest.raises(ClientError, match="Object tags cannot be greater than 10"):
        s3.put_object(Bucket=BUCKET, Key="key", Body=b"", Tagging="&".join(f"{n}=x" for n in range(11)))
    with pytest.raises(ClientError, match="prefixed with aws:"):
        s3.put_object(Bucket=BUCKET, Key="key", Body=b"", Tagging="aws:a=b")


def test_a_dotted_bucket_is_not_accelerated(aws: EmbeddedAws) -> None:
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="dotted.bucket")
    with pytest.raises(ClientError, match="periods"):
        s3.put_bucket_accelerate_configuration(
            Bucket="dotted.bucket", AccelerateConfiguration={"Status": "Enabled"}
        )
    s3.delete_bucket(Bucket="dotted.bucket")


def test_answers_name_what_clients_ask_them_for(s3: Any) -> None:
    for key in "abc":
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"body")
    with pytest.raises(ClientError) as caught:
        s3.delete_bucket(Bucket=BUCKET)
    assert caught.value.response["Error"]["BucketName"] == BUCKET
    with pytest.raises(ClientError, match="continuation token"):
        s3.list_objects_v2(Bucket=BUCKET, ContinuationToken="")
    first = s3.list_objects_v2(Bucket=BUCKET, MaxKeys=1, StartAfter="a")
    assert first["StartAfter"] == "a"
    token = first["NextContinuationToken"]
    second = s3.list_objects_v2(Bucket=BUCKET, StartAfter="a", ContinuationToken=token)
    assert "StartAfter" not in second
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    with pytest.raises(ClientError) as caught:
        s3.get_object(Bucket=BUCKET, Key="none")
    error = caught.value.response["Error"]
    assert error == {
        "Code": "NoSuchKey",
        "Message": "The specified key does not exist.",
        "Key": "none",
    }
    s3.put_object(Bucket=BUCKET, Key="cold", Body=b"", StorageClass="GLACIER")
    with pytest.raises(ClientError, match="ObjectNotInActiveTierError"):
        s3.copy_object(Bucket=BUCKET, Key="warm", CopySource=f"{BUCKET}/cold")
    marker = s3.delete_object(Bucket=BUCKET, Key="a")["VersionId"]
    with pytest.raises(ClientError) as caught:
        s3.get_object_tagging(Bucket=BUCKET, Key="a", VersionId=marker)
    assert caught.value.response["Error"]["Method"] == "GET"
    for _ in range(2):  # the second removes nothing, and is answered alike
        assert s3.delete_object(Bucket=BUCKET, Key="b", VersionId=marker)["VersionId"] == marker
    with pytest.raises(ClientError) as caught:
        s3.head_object(Bucket=BUCKET, Key="a", VersionId=marker)
    assert caught.value.response["ResponseMetadata"]["HTTPHeaders"]["allow"] == "DELETE"


def test_a_copy_in_place_names_an_attribute_even_if_it_stays_the_same(s3: Any) -> None:
    def copy(**attributes: str) -> None:
        s3.copy_object(Bucket=BUCKET, Key="key", CopySource=f"{BUCKET}/key", **attributes)

    s3.put_object(Bucket=BUCKET, Key="key", Body=b"body", ServerSideEncryption="aws:kms")
    copy()  # its encryption becomes S3's own
    with pytest.raises(ClientError, match="copy an object to itself"):
        copy()
    copy(StorageClass="STANDARD")
    copy(ServerSideEncryption="AES256")


def test_copied_parts_have_the_checksum_of_their_upload(s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="source", Body=b"0123456789")
    begun = s3.create_multipart_upload(Bucket=BUCKET, Key="key", ChecksumAlgorithm="SHA256")
    names = {"Bucket": BUCKET, "Key": "key", "UploadId": begun["UploadId"]}
    copied = s3.upload_part_copy(
        **names, PartNumber=1, CopySource=f"{BUCKET}/source", CopySourceRange="bytes=2-5"
    )
    part = s3.put_object(Bucket=BUCKET, Key="part", Body=b"2345", ChecksumAlgorithm="SHA256")
    assert copied["CopyPartResult"]["ChecksumSHA256"] == part["ChecksumSHA256"]
    listed = [{"PartNumber": 1, "ETag": copied["CopyPartResult"]["ETag"]}]
    done = s3.complete_multipart_upload(**names, MultipartUpload={"Parts": listed})
    assert done["ChecksumSHA256"].endswith("-1")
    attributes = s3.get_object_attributes(Bucket=BUCKET, Key="key", ObjectAttributes=["Checksum"])
    assert attributes["Checksum"]["ChecksumSHA256"] == done["ChecksumSHA256"].removesuffix("-1")


def test_an_upload_in_parts_keeps_to_what_it_began_with(s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="source", Body=b"0123456789")
    begun = s3.create_multipart_upload(Bucket=BUCKET, Key="key", ChecksumAlgorithm="SHA256")
    names = {"Bucket": BUCKET, "Key": "key", "UploadId": begun["UploadId"]}
    (listed,) = s3.list_multipart_uploads(Bucket=BUCKET)["Uploads"]
    assert (listed["ChecksumAlgorithm"], listed["ChecksumType"]) == ("SHA256", "COMPOSITE")
    with pytest.raises(ClientError, match="expected checksum Type: sha256, actual checksum Type: crc32"):
        s3.upload_part(**names, PartNumber=1, Body=b"body", ChecksumAlgorithm="CRC32")
    with pytest.raises(ClientError, match="Part number must be an integer between 1 and 10000, inclusive"):
        s3.upload_part(**names, PartNumber=10_001, Body=b"body")
    for wrong in ("0-3", "bytes=3-2", "bytes=0-10", "bytes=3-", "bytes=-3"):
        with pytest.raises(ClientError, match="InvalidArgument"):
            s3.upload_part_copy(**names, PartNumber=1, CopySource=f"{BUCKET}/source", CopySourceRange=wrong)
    assert "Parts" not in s3.list_parts(**names)
    for number, words in (
        (-1, "Argument max-parts must be"),
        (2**31, "not an integer or within integer range"),
    ):
        with pytest.raises(ClientError, match=words):
            s3.list_parts(**names, MaxParts=number)
    s3.abort_multipart_upload(**names)
    with pytest.raises(ClientError) as caught:
        s3.list_parts(**names)
    assert caught.value.response["Error"]["UploadId"] == begun["UploadId"]


def test_a_completion_may_be_repeated_by_a_client_that_lost_its_answer(s3: Any) -> None:
    begun = s3.create_multipart_upload(Bucket=BUCKET, Key="key")
    names = {"Bucket": BUCKET, "Key": "key", "UploadId": begun["UploadId"]}
    etag = s3.upload_part(**names, PartNumber=1, Body=b"body")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    first = s3.complete_multipart_upload(**names, MultipartUpload=parts)
    again = s3.complete_multipart_upload(**names, MultipartUpload=parts, IfNoneMatch="*")
    assert again["ETag"] == first["ETag"]
    s3.put_object(Bucket=BUCKET, Key="key", Body=b"other")
    with pytest.raises(ClientError, match="NoSuchUpload"):
        s3.complete_multipart_upload(**names, MultipartUpload=parts)


def test_a_region_is_named_where_it_may_be(aws: EmbeddedAws) -> None:
    cases = [
        ("us-west-2", "us-east-1", "IllegalLocationConstraintException"),
        ("us-east-1", "us-east-1", "InvalidLocationConstraint"),
        ("us-west-2", "nowhere-1", "InvalidLocationConstraint"),
        ("us-isob-east-1", "us-isob-east-1", None),
    ]
    for called, constraint, code in cases:
        s3 = boto3.client(
            "s3",
            region_name=called,
            endpoint_url=aws.variables["AWS_ENDPOINT_URL"],
            aws_access_key_id=aws.user.access_key_id,
            aws_secret_access_key=aws.user.secret_access_key,
        )
        arguments: dict[str, Any] = {
            "Bucket": "regions",
            "CreateBucketConfiguration": {"LocationConstraint": constraint},
        }
        if code is None:
            s3.create_bucket(**arguments)
            s3.delete_bucket(Bucket="regions")
        else:
            with pytest.raises(ClientError, match=code):
                s3.create_bucket(**arguments)


def test_an_older_presigned_address_needs_the_content_type_that_it_was_signed_with(
    aws: EmbeddedAws, s3: Any
) -> None:
    older = aws.client("s3", signature_version="s3")
    named = {"Bucket": BUCKET, "Key": "key", "ContentType": "text/x-test"}
    address = older.generate_presigned_url("put_object", named)
    assert requests.put(address, data=b"body", timeout=10).status_code == 403
    headers = {"Content-Type": "text/x-test"}
    assert requests.put(address, data=b"body", headers=headers, timeout=10).status_code == 200
    assert s3.head_object(Bucket=BUCKET, Key="key")["ContentType"] == "text/x-test"
