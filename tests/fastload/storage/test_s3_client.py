"""Requests are addressed and signed the way AWS's own client does it."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import botocore.session
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.endpoint_provider import EndpointProvider
from botocore.loaders import Loader
from hypothesis import given
from hypothesis import strategies as st

from fastload.errors import StorageError
from fastload.storage.s3_client import bucket_from_environment

_NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class _Signer(S3SigV4Auth):  # type: ignore[misc]
    """botocore's signer with a fixed clock, signing no payload."""

    def payload(self, request: AWSRequest) -> str:
        return "UNSIGNED-PAYLOAD"


@pytest.fixture(autouse=True)
def aws_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "a+token/with=signs")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")


@given(key=st.text(min_size=1, max_size=40).filter(lambda key: "\0" not in key), token=st.text(max_size=20))
def test_signatures_equal_botocores(key: str, token: str) -> None:
    bucket = bucket_from_environment("weights")
    path, query = bucket.target(key, {"prefix": token, "list-type": "2"})
    extra = {"range": "bytes=0-1", "x-amz-checksum-crc32c": "yZRlqg=="}
    ours = bucket.signed_headers("GET", path, query, extra, _NOW)
    request = AWSRequest("GET", f"https://{bucket.endpoint.host_header}{path}?{query}")
    request.context["timestamp"] = "20260102T030405Z"
    request.headers["X-Amz-Checksum-Crc32c"] = extra["x-amz-checksum-crc32c"]
    request.headers["X-Amz-Date"] = "20260102T030405Z"
    request.headers["X-Amz-Security-Token"] = "a+token/with=signs"
    request.headers["X-Amz-Content-SHA256"] = "UNSIGNED-PAYLOAD"
    signer = _Signer(
        Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "a+token/with=signs"),
        "s3",
        "eu-west-1",
    )
    theirs = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    assert ours["Authorization"].endswith(f"Signature={theirs}")


@pytest.mark.parametrize(
    ("variables", "host", "path"),
    [
        ({}, "weights.s3.eu-west-1.amazonaws.com", "/m/a%20b"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9000"}, "127.0.0.1:9000", "/weights/m/a%20b"),
        (
            {"AWS_ENDPOINT_URL": "http://a", "AWS_ENDPOINT_URL_S3": "https://b:444/x/"},
            "b:444",
            "/x/weights/m/a%20b",
        ),
    ],
)
def test_the_usual_variables_decide_the_address(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], host: str, path: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    bucket = bucket_from_environment("weights")
    assert (bucket.endpoint.host_header, bucket.target("m/a b", {})[0]) == (host, path)


def test_a_bucket_with_dots_is_addressed_by_path() -> None:
    bucket = bucket_from_environment("my.weights")
    assert bucket.endpoint.host == "s3.eu-west-1.amazonaws.com"
    assert bucket.target("k", {})[0] == "/my.weights/k"


@pytest.mark.parametrize(
    "url",
    [
        "localhost:9000",
        "ftp://a",
        "http://",
        "http://a:99999",
        "http://a:²",
        "http://[::1",
        "http://a b",
        "http://a\r\nX: y",
    ],
)
def test_an_address_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    with pytest.raises(StorageError, match="https://host:port"):
        bucket_from_environment("weights")


@pytest.mark.parametrize(
    ("url", "header"),
    [("http://[::1]:9000", "[::1]:9000"), ("https://[2001:db8::1]", "[2001:db8::1]")],
)
def test_an_ipv6_address_stands_in_brackets(monkeypatch: pytest.MonkeyPatch, url: str, header: str) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    bucket = bucket_from_environment("weights")
    assert bucket.endpoint.host == header.partition("]")[0].removeprefix("[")
    assert bucket.endpoint.host_header == header


@pytest.mark.parametrize("stray", ["\n", "\r\nX-Injected: yes", " ", "\t", "…", "é", "\u200b", "\x7f"])
@pytest.mark.parametrize(
    "name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION"]
)
def test_a_credential_with_a_stray_character_is_refused_by_name_and_never_shown(
    monkeypatch: pytest.MonkeyPatch, name: str, stray: str
) -> None:
    for value in (f"PLANTED{stray}", f"{stray}PLANTED", f"PLA{stray}NTED"):
        monkeypatch.setenv(name, value)
        with pytest.raises(StorageError, match=name) as caught:
            bucket_from_environment("weights")
        assert "PLA" not in str(caught.value)
        assert "NTED" not in str(caught.value)


def test_credentials_of_a_file_are_looked_at_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    file = tmp_path / "credentials"
    file.write_text("[default]\naws_access_key_id = PLANTED…\naws_secret_access_key = b\n", encoding="utf-8")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    bucket = bucket_from_environment("weights")
    with pytest.raises(StorageError, match="shared-credentials-file") as caught:
        bucket.signed_headers("GET", "/", "")
    assert "PLANTED" not in str(caught.value)


REGIONS = sorted(
    region
    for partition in Loader().load_data("partitions")["partitions"]
    for region in partition["regions"]
    if not region.endswith("-global")
)


@pytest.mark.parametrize("region", [*REGIONS, "eu-west-77", "us-gov-central-3", "cn-south-12"])
def test_every_region_has_the_host_that_botocore_gives_it(
    monkeypatch: pytest.MonkeyPatch, region: str
) -> None:
    """Every partition, with and without FIPS and IPv6, a bucket by name and one with dots in its name."""
    monkeypatch.setenv("AWS_REGION", region)
    for fips in ("false", "true"):
        for dual_stack in ("false", "true"):
            monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", fips)
            monkeypatch.setenv("AWS_USE_DUALSTACK_ENDPOINT", dual_stack)
            if fips == "true" and region.startswith("cn-"):
                continue  # S3 has none there
            for name in ("weights", "my.weights"):
                assert address_by_botocore(name, region, fips == "true", dual_stack == "true") == (
                    f"https://{(bucket := bucket_from_environment(name)).endpoint.host}{bucket.path_prefix}"
                )


@cache
def s3_rules() -> EndpointProvider:
    session = botocore.session.get_session()
    loader = session.get_component("data_loader")
    return EndpointProvider(
        ruleset_data=loader.load_service_model("s3", "endpoint-rule-set-1"),
        partition_data=loader.load_data("partitions"),
    )


def address_by_botocore(bucket: str, region: str, fips: bool, dual_stack: bool) -> str:
    asked = {"Bucket": bucket, "Region": region, "UseFIPS": fips, "UseDualStack": dual_stack}
    return str(s3_rules().resolve_endpoint(**asked, Accelerate=False, ForcePathStyle=False).url)


def test_a_region_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "oregon")
    with pytest.raises(StorageError, match="is not an AWS region"):
        bucket_from_environment("weights")
