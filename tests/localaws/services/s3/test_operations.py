"""Every operation and member of S3's own model is served, or refused by name without any change."""

from __future__ import annotations

import hashlib
import json
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from botocore.model import OperationModel

from localaws.protocol.service_models import service_model
from localaws.services import supported_members
from localaws.services.s3.operations import identify
from localaws.services.s3.service import OPERATIONS
from localaws.services.s3.supported_members import HONOURED

from ...conftest import EmbeddedAws

MODEL = service_model("s3")
UNSERVED = sorted(set(MODEL.operation_names) - set(OPERATIONS))
# Operations at the address of another one: no request can ask for them.
ALIASES = {
    "GetBucketLifecycle": "GetBucketLifecycleConfiguration",
    "PutBucketLifecycle": "PutBucketLifecycleConfiguration",
    "GetBucketNotification": "GetBucketNotificationConfiguration",
    "PutBucketNotification": "PutBucketNotificationConfiguration",
    "ListDirectoryBuckets": "ListBuckets",
}
KEY, BODY = "at/stake", b"at stake"


class Stake:
    """A bucket with one object in it, which no refused request may touch."""

    def __init__(self, aws: EmbeddedAws) -> None:
        self.aws = aws
        self.client = aws.client("s3")
        self.keys = Credentials(aws.user.access_key_id, aws.user.secret_access_key)
        self.session = requests.Session()
        self.bucket = "b-" + hashlib.md5(__name__.encode()).hexdigest()

    def ask(
        self, method: str, path: str, query: dict[str, str], headers: dict[str, str], body: bytes = b""
    ) -> requests.Response:
        """One signed request, whatever it says."""
        address = f"http://127.0.0.1:{self.aws.port}{urllib.parse.quote(path)}"
        if query:
            address += "?" + urllib.parse.urlencode(query)
        signed = AWSRequest(method, address, headers=headers, data=body)
        S3SigV4Auth(self.keys, "s3", "us-east-1").add_auth(signed)
        return self.session.request(method, address, headers=dict(signed.headers), data=body, timeout=30)

    def assert_untouched(self) -> None:
        """The object has its bytes, and nothing came to it."""
        bucket = {"Bucket": self.bucket}
        assert self.client.get_object(**bucket, Key=KEY)["Body"].read() == BODY
        assert [item["Key"] for item in self.client.list_objects_v2(**bucket)["Contents"]] == [KEY]
        assert "Uploads" not in self.client.list_multipart_uploads(**bucket)
        assert "Status" not in self.client.get_bucket_versioning(**bucket)


@pytest.fixture(scope="module")
def stake(_shared_aws: EmbeddedAws) -> Iterator[Stake]:
    made = Stake(_shared_aws)
    made.client.create_bucket(Bucket=made.bucket)
    made.client.put_object(Bucket=made.bucket, Key=KEY, Body=BODY)
    yield made
    made.client.delete_object(Bucket=made.bucket, Key=KEY)
    made.client.delete_bucket(Bucket=made.bucket)


def request_of(model: OperationModel, bucket: str) -> tuple[str, str, dict[str, str], dict[str, str]]:
    """(method, path, query, headers) of a request with the required members only."""
    path, _, static = model.http["requestUri"].partition("?")
    path = path.replace("{Bucket}", bucket).replace("{Key+}", KEY)
    query = dict(urllib.parse.parse_qsl(static, keep_blank_values=True))
    headers: dict[str, str] = {}
    for name in model.input_shape.required_members if model.input_shape else ():
        place = model.input_shape.members[name].serialization
        if place.get("location") == "querystring":
            query[place["name"]] = "1"
        elif place.get("location") == "header":
            headers[place["name"]] = f"{bucket}/{KEY}"
    return model.http["method"], path, query, headers


def test_each_operation_of_the_model_is_recognised_by_its_request() -> None:
    for name in MODEL.operation_names:
        method, path, query, headers = request_of(MODEL.operation_model(name), "bucket")
        bucket, _, key = path.removeprefix("/").partition("/")
        found = identify(method, bucket, key, query, headers)
        assert found == ALIASES.get(name, name)


def test_an_operation_that_is_not_served_is_refused_by_name(stake: Stake) -> None:
    for name in UNSERVED:
        if name in ALIASES:
            continue
        method, path, query, headers = request_of(MODEL.operation_model(name), stake.bucket)
        body = b"<Document/>" if method in ("PUT", "POST") else b""
        answer = stake.ask(method, path, query, headers, body)
        assert (answer.status_code, name) == (501, name)
        assert f"<Message>The embedded AWS does not support S3's operation {name}.</Message>" in answer.text
        stake.assert_untouched()


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE", "HEAD"])
def test_a_subresource_that_nobody_knows_acts_on_nothing(stake: Stake, method: str) -> None:
    for path in ("", f"/{KEY}"):
        for query in ({"brandNew": ""}, {"annotations": "x"}, {"policy": "", "shiny": ""}):
            assert stake.ask(method, f"/{stake.bucket}{path}", query, {}).status_code in (405, 501)
    stake.assert_untouched()


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_a_member_that_is_not_honoured_is_refused(stake: Stake, name: str) -> None:
    model = MODEL.operation_model(name)
    for member, shape in (model.input_shape.members if model.input_shape else {}).items():
        place = shape.serialization
        if place.get("location") not in ("header", "querystring") or member in HONOURED[name]:
            continue
        method, path, query, headers = request_of(model, stake.bucket)
        (headers if place["location"] == "header" else query)[place["name"]] = "1"
        answer = stake.ask(method, path, query, headers)
        assert (answer.status_code, member) == (501, member)
        if method != "HEAD":
            assert "implies functionality that is not implemented" in answer.text
            assert place["name"].lower() in answer.text.lower()
    stake.assert_untouched()


def test_every_name_on_the_list_of_honoured_members_is_one_of_the_model() -> None:
    assert HONOURED.keys() == OPERATIONS.keys()
    for name, listed in HONOURED.items():
        known = set(supported_members.member_names(MODEL.operation_model(name).input_shape))
        assert {item.removesuffix(".*") for item in listed} <= known, name


def test_each_member_is_honoured_or_refused_and_never_both() -> None:
    for name, listed in HONOURED.items():
        shape = MODEL.operation_model(name).input_shape
        kept, refused = supported_members.split(shape, listed)
        assert not set(kept) & set(refused)
        top = set(shape.members) if shape else set()
        assert top == {item for item in (*kept, *refused) if "." not in item}


def test_an_element_that_is_not_honoured_is_refused(stake: Stake) -> None:
    body = f"<Delete><Object><Key>{KEY}</Key><Size>1</Size></Object></Delete>".encode()
    answer = stake.ask("POST", f"/{stake.bucket}", {"delete": ""}, {}, body)
    assert answer.status_code == 501
    assert "Delete.Objects.Size" in answer.text
    unknown = f"<Delete><Object><Key>{KEY}</Key><Unheard>1</Unheard></Object></Delete>".encode()
    assert "MalformedXML" in stake.ask("POST", f"/{stake.bucket}", {"delete": ""}, {}, unknown).text
    stake.assert_untouched()


def test_another_account_than_the_owner_is_expected_in_vain(stake: Stake) -> None:
    for name in OPERATIONS:
        model = MODEL.operation_model(name)
        if "ExpectedBucketOwner" in HONOURED[name]:
            method, path, query, headers = request_of(model, stake.bucket)
            headers["x-amz-expected-bucket-owner"] = "111111111111"
            assert (stake.ask(method, path, query, headers).status_code, name) == (403, name)
    stake.assert_untouched()


def test_a_header_that_nobody_knows_is_refused(stake: Stake) -> None:
    answer = stake.ask("PUT", f"/{stake.bucket}/{KEY}", {}, {"x-amz-brand-new": "1"}, b"lost")
    assert answer.status_code == 501
    stake.assert_untouched()


def test_the_walker_finds_what_is_refused_at_any_depth() -> None:
    shape: Any = MODEL.operation_model("PutBucketWebsite").input_shape
    value = {"WebsiteConfiguration": {"RoutingRules": [{"Redirect": {"HostName": "x"}}]}}
    listed = (
        "WebsiteConfiguration",
        "WebsiteConfiguration.RoutingRules",
        "WebsiteConfiguration.RoutingRules.Redirect",
    )
    assert supported_members.refused_in(shape, value, listed) == [
        "WebsiteConfiguration.RoutingRules.Redirect.HostName"
    ]
    assert supported_members.refused_in(shape, value, ("WebsiteConfiguration.*",)) == []


def test_the_sagemaker_sdk_finds_a_list_without_its_model_in_the_jumpstart_bucket(aws: EmbeddedAws) -> None:
    s3, bucket = aws.client("s3"), "jumpstart-cache-prod-us-west-2"
    for key in ("models_manifest.json", "proprietary-sdk-manifest.json"):
        answer = s3.get_object(Bucket=bucket, Key=key)
        assert s3.head_object(Bucket=bucket, Key=key)["ETag"] == answer["ETag"]
        (entry,) = json.loads(answer["Body"].read())
        assert {"model_id", "version", "min_version", "spec_key"} <= set(entry)
    with pytest.raises(ClientError, match="NoSuchBucket"):
        s3.get_object(Bucket=bucket, Key="hf_model_id_map_cache.json")
    with pytest.raises(ClientError, match="NoSuchBucket"):
        s3.put_object(Bucket=bucket, Key="models_manifest.json", Body=b"")
    assert bucket not in [item["Name"] for item in s3.list_buckets()["Buckets"]]
