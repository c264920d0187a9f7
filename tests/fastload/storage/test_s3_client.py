"""Requests are addressed and signed the way AWS's own client does it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
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


def test_an_address_without_scheme_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "localhost:9000")
    with pytest.raises(StorageError, match="https://host:port"):
        bucket_from_environment("weights")
