"""Signatures: what AWS's own signer makes is accepted, anything else is not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from localaws.protocol.sigv4 import (
    Request,
    SignatureError,
    Signed,
    parse_query,
    read_signature,
    split_target,
    verify,
)

_SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
_NOW = datetime.now(UTC)
_EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

_Signer = type[SigV4Auth]


def _sent(signer: _Signer, service: str, url: str, method: str = "GET") -> Request:
    """A request as botocore signs it, the way it stands on the wire."""
    request = AWSRequest(method=method, url=url, headers={"X-Amz-Meta-Spaces": " a   b "})
    signer(Credentials("AKIAEXAMPLE", _SECRET), service, "eu-west-1").add_auth(request)
    path, query = split_target(request.url.split("127.0.0.1:9000", 1)[1])
    headers = {name.lower(): [value] for name, value in request.headers.items()}
    return Request(method, path, query, {"host": ["127.0.0.1:9000"], **headers})


def _check(sent: Request, payload_hash: str = _EMPTY, now: datetime | None = None) -> Signed:
    signed = read_signature(sent)
    verify(signed, sent, _SECRET, payload_hash, now or datetime.now(UTC))
    return signed


@given(key=st.text(min_size=1, max_size=40), value=st.text(max_size=20))
def test_s3_signatures_of_botocore_are_accepted_for_any_key(key: str, value: str) -> None:
    from urllib.parse import quote

    url = f"http://127.0.0.1:9000/bucket/{quote(key, safe='/~')}?prefix={quote(value, safe='')}"
    signed = _check(_sent(S3SigV4Auth, "s3", url))
    assert (signed.service, signed.region, signed.access_key_id) == ("s3", "eu-west-1", "AKIAEXAMPLE")


@pytest.mark.parametrize("path", ["/", "/endpoints/a%20b/invocations", "/a/../b//c", "/x/"])
def test_other_services_sign_the_normalised_path(path: str) -> None:
    _check(_sent(SigV4Auth, "sagemaker", f"http://127.0.0.1:9000{path}?b=2&a=1"))


def test_a_presigned_address_is_accepted_until_it_expires() -> None:
    sent = _sent(S3SigV4QueryAuth, "s3", "http://127.0.0.1:9000/bucket/key?x=%2B")
    assert _check(sent, "UNSIGNED-PAYLOAD").expires_s == 3600
    with pytest.raises(SignatureError) as caught:
        _check(sent, "UNSIGNED-PAYLOAD", _NOW + timedelta(hours=2))
    assert caught.value.reason == "expired"


@pytest.mark.parametrize(
    "changed",
    [
        {"method": "DELETE"},
        {"raw_path": "/bucket/other"},
        {"raw_query": "prefix=b"},
        {"headers": {"x-amz-meta-spaces": ["c"]}},
        {"headers": {"host": ["example.com"]}},
    ],
)
def test_whatever_is_changed_after_signing_is_noticed(changed: dict[str, object]) -> None:
    sent = _sent(S3SigV4Auth, "s3", "http://127.0.0.1:9000/bucket/key?prefix=a")
    fields = {**vars(sent), **changed}
    fields["headers"] = {**sent.headers, **fields["headers"]}
    with pytest.raises(SignatureError) as caught:
        _check(Request(**fields))
    assert caught.value.reason == "mismatch"


@pytest.mark.parametrize("minutes", [-16, 16])
def test_a_clock_that_is_a_quarter_of_an_hour_off_is_refused(minutes: int) -> None:
    sent = _sent(S3SigV4Auth, "s3", "http://127.0.0.1:9000/bucket/key")
    with pytest.raises(SignatureError) as caught:
        _check(sent, now=datetime.now(UTC) + timedelta(minutes=minutes))
    assert caught.value.reason == "skewed"


@given(authorization=st.text(max_size=300), date=st.text(max_size=20))
def test_no_authorization_header_can_break_the_reader(authorization: str, date: str) -> None:
    headers = {"authorization": [authorization], "x-amz-date": [date], "host": ["h"]}
    with pytest.raises(SignatureError):
        _check(Request("GET", "/", "", headers))


@given(
    prefix=st.sampled_from(["", "AWS4-HMAC-SHA256 "]),
    scope=st.text(max_size=60),
    signature=st.text(max_size=70),
)
def test_no_credential_scope_can_break_the_reader(prefix: str, scope: str, signature: str) -> None:
    authorization = f"{prefix}Credential={scope}, SignedHeaders=host, Signature={signature}"
    headers = {"authorization": [authorization], "x-amz-date": [scope[:16]], "host": ["h"]}
    with pytest.raises(SignatureError):
        _check(Request("GET", "/", "", headers))


def test_a_signature_without_the_host_is_refused() -> None:
    sent = _sent(S3SigV4Auth, "s3", "http://127.0.0.1:9000/bucket/key")
    authorization = sent.headers["authorization"][0].replace("SignedHeaders=host;", "SignedHeaders=")
    with pytest.raises(SignatureError, match="host"):
        _check(Request(sent.method, sent.raw_path, "", {**sent.headers, "authorization": [authorization]}))


def test_queries_decode_without_turning_plus_into_space() -> None:
    assert parse_query("a=1+2&b=%2B&c&=d") == [("a", "1+2"), ("b", "+"), ("c", ""), ("", "d")]
