"""Uploads by a form that boto3 signed, sent by requests: what the policy allows, and nothing else."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from botocore.exceptions import ClientError

from localaws.protocol import sigv4

from ...conftest import EmbeddedAws

BUCKET = "form-uploads"
FILE = b"the file's bytes"


@pytest.fixture
def s3(aws: EmbeddedAws) -> Iterator[Any]:
    client = aws.client("s3")
    client.create_bucket(Bucket=BUCKET)
    yield client
    for item in client.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        client.delete_object(Bucket=BUCKET, Key=item["Key"])
    client.delete_bucket(Bucket=BUCKET)


def send(form: dict[str, Any], name: str = "f.txt", more: dict[str, str] | None = None) -> requests.Response:
    fields, files = {**form["fields"], **(more or {})}, {"file": (name, FILE)}
    return requests.post(form["url"], data=fields, files=files, allow_redirects=False, timeout=30)


def code(response: requests.Response) -> tuple[int, str]:
    return response.status_code, response.text.partition("<Code>")[2].partition("<")[0]


def keys(s3: Any) -> list[str]:
    return [item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]


@pytest.mark.parametrize("version", [None, "s3v4"])
def test_a_form_as_boto3_signs_it_uploads_its_file(aws: EmbeddedAws, s3: Any, version: str | None) -> None:
    signer = aws.client("s3", signature_version=version)
    form = signer.generate_presigned_post(BUCKET, "folder/${filename}")
    assert ("x-amz-signature" in form["fields"]) == (version == "s3v4")

    response = send(form, name="a name.txt")

    assert response.status_code == 204
    found = s3.get_object(Bucket=BUCKET, Key="folder/a name.txt")
    assert (found["Body"].read(), found["ETag"]) == (FILE, response.headers["ETag"])
    assert found["ContentType"] == "binary/octet-stream"
    tampered = {**form["fields"], "policy": form["fields"]["policy"].replace("e", "f", 1)}
    assert code(send({**form, "fields": tampered})) == (403, "SignatureDoesNotMatch")


def test_fields_become_the_objects_attributes(s3: Any) -> None:
    fields = {
        "Content-Type": "text/x-test",
        "Cache-Control": "no-cache",
        "acl": "bucket-owner-full-control",
        "x-amz-meta-one": "1",
        "x-amz-storage-class": "STANDARD_IA",
        "tagging": "<Tagging><TagSet><Tag><Key>a</Key><Value>b &amp; c</Value></Tag></TagSet></Tagging>",
    }
    conditions = [{name: value} for name, value in fields.items()]
    form = s3.generate_presigned_post(BUCKET, "key", Fields=fields, Conditions=conditions)
    assert send(form).status_code == 204
    head = s3.head_object(Bucket=BUCKET, Key="key")
    assert (head["ContentType"], head["CacheControl"]) == ("text/x-test", "no-cache")
    assert (head["Metadata"], head["StorageClass"]) == ({"one": "1"}, "STANDARD_IA")
    assert s3.get_object_tagging(Bucket=BUCKET, Key="key")["TagSet"] == [{"Key": "a", "Value": "b & c"}]


@pytest.mark.parametrize(
    ("field", "value", "status", "location"),
    [
        ("success_action_status", "200", 200, f"/{BUCKET}/key"),
        ("success_action_status", "201", 201, f"/{BUCKET}/key"),
        ("success_action_status", "418", 204, f"/{BUCKET}/key"),
        ("success_action_redirect", "http://here.test/done?a=b", 303, f"&bucket={BUCKET}&key=key&etag=%22"),
        ("success_action_redirect", "not an address", 204, f"/{BUCKET}/key"),
    ],
)
def test_the_form_chooses_the_answer(s3: Any, field: str, value: str, status: int, location: str) -> None:
    form = s3.generate_presigned_post(BUCKET, "key", Fields={field: value}, Conditions=[{field: value}])
    response = send(form)
    assert response.status_code == status
    assert location in response.headers["Location"]
    if status == 201:
        assert f"<Bucket>{BUCKET}</Bucket><Key>key</Key><ETag>" in response.text


@pytest.mark.parametrize(
    ("conditions", "fields", "answer"),
    [
        ([["content-length-range", 1, len(FILE)]], {}, (204, "")),
        ([["content-length-range", 1, len(FILE) - 1]], {}, (400, "EntityTooLarge")),
        ([["content-length-range", len(FILE) + 1, 99]], {}, (400, "EntityTooSmall")),
        ([["content-length-range", "1", "x"]], {}, (400, "InvalidPolicyDocument")),
        ([["starts-with", "$key", "KEY"]], {}, (403, "AccessDenied")),
        ([["starts-with", "$Content-Type", "image/"]], {"content-type": "image/png"}, (204, "")),
        ([["StArTs-WiTh", "$Content-Type", "image/"]], {"Content-Type": "text/html"}, (403, "AccessDenied")),
        ([["eq", "$acl", "private"]], {}, (403, "AccessDenied")),
        ([["eq", "$acl", "private"]], {"acl": "public-read"}, (403, "AccessDenied")),
        ([{"acl": "public-read"}], {"acl": "public-read"}, (400, "AccessControlListNotSupported")),
        ([["ends-with", "$acl", "private"]], {}, (400, "InvalidPolicyDocument")),
        ([{"bucket": "another"}], {}, (403, "AccessDenied")),
        ([], {"not-in-the-policy": "x"}, (403, "AccessDenied")),
        ([], {"x-ignore-this": "x"}, (204, "")),
        ([{"x-amz-brand-new": "x"}], {"x-amz-brand-new": "x"}, (501, "NotImplemented")),
        ([{"x-amz-trailer": "x"}], {"x-amz-trailer": "x"}, (501, "NotImplemented")),
        ([["starts-with", "$x-amz-meta-big", ""]], {"x-amz-meta-big": "x" * 21_000}, (400, "MaxPostPre")),
        ([{"x-amz-checksum-crc32": "AAAAAA=="}], {"x-amz-checksum-crc32": "AAAAAA=="}, (400, "BadDigest")),
    ],
)
def test_only_what_the_policy_allows_is_written(
    s3: Any, conditions: list[Any], fields: dict[str, str], answer: tuple[int, str]
) -> None:
    response = send(s3.generate_presigned_post(BUCKET, "key", Conditions=conditions), more=fields)
    status, found = code(response)
    assert (status, found[: len(answer[1])]) == answer, response.text
    assert keys(s3) == (["key"] if status == 204 else [])


def signed_form(aws: EmbeddedAws, document: object, **changes: str) -> dict[str, Any]:
    """A form with any policy, signed as it should be."""
    now = datetime.now(UTC)
    day, key = f"{now:%Y%m%d}", aws.user
    encoded = base64.b64encode(json.dumps(document).encode()).decode()
    derived = sigv4.signing_key(key.secret_access_key, day, "us-east-1", "s3")
    fields = {
        "key": "key",
        "policy": encoded,
        "x-amz-algorithm": sigv4.ALGORITHM,
        "x-amz-credential": f"{key.access_key_id}/{day}/us-east-1/s3/aws4_request",
        "x-amz-date": f"{now:%Y%m%dT%H%M%SZ}",
        "x-amz-signature": hmac.digest(derived, encoded.encode(), "sha256").hex(),
        **changes,
    }
    return {"url": f"http://127.0.0.1:{aws.port}/{BUCKET}", "fields": fields}


def policy(**changes: Any) -> dict[str, Any]:
    names = ("bucket", "key", "x-amz-algorithm", "x-amz-credential", "x-amz-date")
    allowed = [["starts-with", f"${name}", ""] for name in names]
    later = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
    described = {"expiration": later, "conditions": allowed, **changes}
    return {name: value for name, value in described.items() if value is not None}


def test_a_policy_that_is_none_or_expired_is_refused(aws: EmbeddedAws, s3: Any) -> None:
    earlier = (datetime.now(UTC) - timedelta(seconds=5)).strftime("%Y-%m-%dT%H:%M:%SZ")
    cases: list[tuple[object, tuple[int, str]]] = [
        (policy(expiration=earlier), (403, "AccessDenied")),
        (policy(expiration=None), (400, "InvalidPolicyDocument")),
        (policy(expiration="2099-01-01"), (400, "InvalidPolicyDocument")),
        (policy(conditions=None), (400, "InvalidPolicyDocument")),
        (policy(conditions=[["eq", "$key"]]), (400, "InvalidPolicyDocument")),
        (policy(conditions=policy()["conditions"][1:]), (403, "AccessDenied")),
        ([], (400, "InvalidPolicyDocument")),
    ]
    for document, answer in cases:
        assert code(send(signed_form(aws, document))) == answer, document
    assert keys(s3) == []
    assert send(signed_form(aws, policy())).status_code == 204


def test_a_form_without_a_valid_proof_is_refused(aws: EmbeddedAws, s3: Any) -> None:
    changes = {
        "x-amz-signature": ("0" * 64, (403, "SignatureDoesNotMatch")),
        "x-amz-date": ("20200101T000000Z", (400, "InvalidArgument")),
        "x-amz-algorithm": ("none", (400, "InvalidArgument")),
        "x-amz-credential": ("AKIA/20200101/us-east-1/s3/aws4_request", (400, "InvalidArgument")),
        "policy": ("!", (403, "SignatureDoesNotMatch")),
    }
    for name, (value, answer) in changes.items():
        assert code(send(signed_form(aws, policy(), **{name: value}))) == answer, name
        fields = {
            field: kept for field, kept in signed_form(aws, policy())["fields"].items() if field != name
        }
        assert code(send({**signed_form(aws, policy()), "fields": fields}))[0] in (400, 403), name
    other_region = s3.generate_presigned_post("no-such-bucket", "key")
    assert code(send(other_region)) == (404, "NoSuchBucket")
    assert keys(s3) == []


def test_a_form_that_is_no_form_is_refused(aws: EmbeddedAws, s3: Any) -> None:
    form = signed_form(aws, policy())
    url = form["url"]
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    part = b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
    fields = b"".join(part % (name.encode(), value.encode()) for name, value in form["fields"].items())
    whole = fields + part % (b"file", b"x") + b"--b--\r\n"
    bodies = {
        "no field": b"--b--\r\n",
        "no boundary": b"x",
        "no file": fields + b"--b--\r\n",
        "no end": whole[: whole.index(b'name="file"') + 16],
        "key after the file": part % (b"file", b"x") + fields + b"--b--\r\n",
        "a field twice": part % (b"key", b"other") + whole,
        "not UTF-8": part % (b"a", b"\xff") + whole,
    }
    for name, body in bodies.items():
        response = requests.post(url, data=body, headers=kind, timeout=30)
        assert response.status_code == 400, (name, response.text)
    assert requests.post(url, data=whole, headers={"Content-Type": "multipart/form-data"}).status_code == 400
    assert requests.post(f"{url}?acl", data=whole, headers=kind, timeout=30).status_code == 400
    assert requests.post(f"{url}/key", data=whole, headers=kind, timeout=30).status_code == 405
    assert keys(s3) == []
    assert requests.post(url, data=whole, headers=kind, timeout=30).status_code == 204
    with pytest.raises(ClientError, match="404"):
        s3.head_object(Bucket=BUCKET, Key="other")
