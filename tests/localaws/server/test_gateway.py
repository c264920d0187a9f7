"""The door: who is let in, what each service's client reads when it is not, and failures on order."""

from __future__ import annotations

import errno
import http.client
import os
import socket
import sqlite3
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    IncompleteReadError,
    ResponseStreamingError,
)

from localaws.server import lifecycle
from localaws.server.gateway import MAX_BODY_BYTES, Gateway
from localaws.settings import Settings
from localaws.state.keys import Credentials, KeyRing

from ..conftest import EmbeddedAws

_CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "s3": ("list_buckets", {}),
    "sagemaker": ("list_endpoints", {}),
    "sagemaker-runtime": ("invoke_endpoint", {"EndpointName": "x", "Body": b"{}"}),
    "logs": ("describe_log_groups", {}),
    "cloudwatch": ("list_metrics", {}),
    "sts": ("get_caller_identity", {}),
    "iam": ("list_roles", {}),
    "cloudcontrol": ("list_resources", {"TypeName": "AWS::SageMaker::InferenceComponent"}),
    "cloudformation": ("describe_type", {"Type": "RESOURCE", "TypeName": "AWS::SageMaker::EndpointConfig"}),
}
_WRONG_SECRET = {
    "s3": "SignatureDoesNotMatch",
    "sts": "SignatureDoesNotMatch",
    "iam": "SignatureDoesNotMatch",
}
_WRONG_KEY = {"s3": "InvalidAccessKeyId", "sts": "InvalidClientTokenId", "iam": "InvalidClientTokenId"}
_QUERY = {"cloudformation": "iam"}


@pytest.mark.parametrize("service", _CALLS)
def test_a_wrong_secret_gets_403_in_the_services_own_words(aws: EmbeddedAws, service: str) -> None:
    client = aws.client(service, Credentials(aws.user.access_key_id, "wrong"))
    _expect_403(client, service, _WRONG_SECRET, "InvalidSignatureException")


@pytest.mark.parametrize("service", _CALLS)
def test_an_unknown_key_gets_403_in_the_services_own_words(aws: EmbeddedAws, service: str) -> None:
    client = aws.client(service, Credentials("AKIAUNKNOWNUNKNOWN22", aws.user.secret_access_key))
    _expect_403(client, service, _WRONG_KEY, "UnrecognizedClientException")


def _expect_403(client: Any, service: str, codes: dict[str, str], default: str) -> None:
    name, arguments = _CALLS[service]
    with pytest.raises(ClientError) as caught:
        getattr(client, name)(**arguments)
    answer = caught.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert answer["Error"]["Code"] == codes.get(_QUERY.get(service, service), default)
    assert answer["Error"]["Message"]


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        ("GET", "/", {}),
        ("GET", "/bucket/key", {}),
        ("PUT", "/bucket/key", {"Content-Length": "0"}),
        ("POST", "/", {"X-Amz-Target": "SageMaker.ListEndpoints"}),
        ("POST", "/", {"Content-Type": "application/x-www-form-urlencoded"}),
        ("POST", "/endpoints/x/invocations", {}),
        ("GET", "/_localaws/status", {}),
        ("POST", "/_localaws/faults", {}),
        # What a browser sends before and with a request from another site.
        ("OPTIONS", "/bucket/key", {"Origin": "http://evil.test", "Access-Control-Request-Method": "PUT"}),
        ("GET", "/bucket/key", {"Origin": "http://evil.test"}),
        ("GET", "/", {"Authorization": "Basic dXNlcjpwYXNz"}),
        ("GET", "/", {"Authorization": "AWS4-HMAC-SHA256 Credential=x"}),
        ("GET", "/?X-Amz-Signature=0&X-Amz-Algorithm=AWS4-HMAC-SHA256", {}),
        ("GET", "/?AWSAccessKeyId=x&Signature=y&Expires=1", {}),
    ],
)
def test_whatever_is_not_signed_gets_403(
    aws: EmbeddedAws, method: str, target: str, headers: dict[str, str]
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", aws.port, timeout=30)
    connection.request(method, target, headers=headers)
    answer = connection.getresponse()
    assert answer.status == 403
    assert not [name for name, _ in answer.getheaders() if name.lower().startswith("access-control")]
    connection.close()


def test_a_body_that_was_changed_on_the_way_is_refused(aws: EmbeddedAws) -> None:
    aws.client("s3").create_bucket(Bucket="changed-body")
    names = {"Bucket": "changed-body", "Key": "key"}
    client = aws.client("s3")

    def change(request: Any, **_: Any) -> None:
        request.body = b"evil"

    client.meta.events.register("before-send.s3.PutObject", change)
    with pytest.raises(ClientError, match="XAmzContentSHA256Mismatch"):
        client.put_object(**names, Body=b"good")
    assert "Contents" not in client.list_objects_v2(Bucket="changed-body")


def test_too_large_a_body_is_refused_without_reading_it(aws: EmbeddedAws) -> None:
    with pytest.raises(ClientError) as caught:
        aws.client("logs").put_log_events(
            logGroupName="g",
            logStreamName="s",
            logEvents=[{"timestamp": 1, "message": "x" * (MAX_BODY_BYTES + 1)}],
        )
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413


@pytest.mark.parametrize(
    "junk",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: -1\r\n\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % number for number in range(200)) + b"\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_no_request_is_refused_and_hurts_nobody(aws: EmbeddedAws, junk: bytes) -> None:
    with socket.create_connection(("127.0.0.1", aws.port), timeout=30) as connection:
        connection.sendall(junk)
        answer = connection.recv(100)
    assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4"))
    aws.client("s3").list_buckets()


def test_every_answer_has_a_request_id(aws: EmbeddedAws) -> None:
    ids = set()
    for service in ("s3", "sagemaker", "logs", "cloudwatch", "sts"):
        name, arguments = _CALLS[service]
        answer = getattr(aws.client(service), name)(**arguments)
        ids.add(answer["ResponseMetadata"]["RequestId"])
    assert len(ids) == 5


def test_control_calls_are_signed_and_strict(aws: EmbeddedAws) -> None:
    status, answer = aws.control("POST", "faults", {"faults": [{"kind": "meteor"}]})
    assert (status, answer["__type"]) == (400, "ValidationException")
    status, answer = aws.control("POST", "settings", {"network": "none"})
    assert (status, answer["network"]) == (200, "none")
    status, answer = aws.control("POST", "faults", {"faults": [{"kind": "quota"}]})
    assert (status, answer["network"], answer["faults"][0]["kind"]) == (200, "none", "quota")
    assert aws.control("GET", "nonsense")[0] == 404


@pytest.mark.parametrize("kind", ["access_denied", "throttling", "expired_token"])
def test_no_fault_keeps_its_owner_from_taking_it_back(aws: EmbeddedAws, kind: str) -> None:
    aws.apply(faults=[{"kind": kind}])
    with pytest.raises(ClientError):
        aws.client("sts").get_caller_identity()
    assert aws.control("GET", "status")[0] == 200
    assert aws.control("POST", "faults", {"faults": []})[0] == 200
    aws.client("sts").get_caller_identity()


# Failures on order


@pytest.fixture
def stored(aws: EmbeddedAws) -> tuple[Any, bytes]:
    """A client, and the body of faults/key."""
    client = aws.client("s3")
    body = os.urandom(1 << 20)
    client.create_bucket(Bucket="faults")
    client.put_object(Bucket="faults", Key="key", Body=body)
    return client, body


def _read(client: Any) -> bytes:
    content: bytes = client.get_object(Bucket="faults", Key="key")["Body"].read()
    return content


@pytest.mark.parametrize(
    ("kind", "code", "status"),
    [("slow_down", "SlowDown", 503), ("access_denied", "AccessDenied", 403), ("throttling", "SlowDown", 503)],
)
def test_s3_refuses_as_ordered(
    aws: EmbeddedAws, stored: tuple[Any, bytes], kind: str, code: str, status: int
) -> None:
    client, body = stored
    aws.apply(faults=[{"kind": kind, "operation": "GetObject", "key": "k*", "times": 1}])
    client.head_object(Bucket="faults", Key="key")
    with pytest.raises(ClientError) as caught:
        _read(client)
    answer = caught.value.response
    assert (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]) == (code, status)
    assert _read(client) == body


@pytest.mark.parametrize("kind", ["connection_reset", "truncated_body"])
@pytest.mark.parametrize("after_bytes", [0, 1000, 700_000])
def test_a_body_breaks_off_after_the_ordered_bytes(
    aws: EmbeddedAws, stored: tuple[Any, bytes], kind: str, after_bytes: int
) -> None:
    client, body = stored
    aws.apply(faults=[{"kind": kind, "after_bytes": after_bytes, "times": 1}])
    got = b""
    with pytest.raises((ResponseStreamingError, ConnectionClosedError, IncompleteReadError)):
        for chunk in client.get_object(Bucket="faults", Key="key")["Body"].iter_chunks(500):
            got += chunk
    assert body[:after_bytes].startswith(got)
    if kind == "truncated_body":
        assert len(got) == after_bytes
    assert _read(client) == body


def test_exactly_one_byte_is_flipped_where_ordered(aws: EmbeddedAws, stored: tuple[Any, bytes]) -> None:
    body = stored[1]
    client = aws.client("s3", response_checksum_validation="when_required")
    aws.apply(faults=[{"kind": "flipped_byte", "after_bytes": 12_345, "times": 1}])
    got = _read(client)
    assert [at for at in range(len(body)) if got[at] != body[at]] == [12_345]
    assert _read(client) == body


def test_an_upload_is_reset_and_leaves_nothing(aws: EmbeddedAws, stored: tuple[Any, bytes]) -> None:
    client, _ = stored
    before = sorted((aws.state_dir / "objects").rglob("*"))
    aws.apply(
        faults=[{"kind": "connection_reset", "operation": "PutObject", "after_bytes": 500_000, "times": 1}]
    )
    with pytest.raises((ConnectionClosedError, ConnectionError)):
        client.put_object(Bucket="faults", Key="new", Body=bytes(1 << 20))
    with pytest.raises(ClientError, match="404"):
        client.head_object(Bucket="faults", Key="new")
    assert sorted((aws.state_dir / "objects").rglob("*")) == before


def test_a_file_that_was_cut_on_disk_is_never_passed_off_as_whole(aws: EmbeddedAws) -> None:
    client = aws.client("s3", response_checksum_validation="when_required")
    client.create_bucket(Bucket="cut")
    client.put_object(Bucket="cut", Key="key", Body=bytes(3_333_333))
    (path,) = (p for p in (aws.state_dir / "objects").glob("*/*") if p.stat().st_size == 3_333_333)
    os.truncate(path, 1_000_000)
    with pytest.raises((ResponseStreamingError, IncompleteReadError, ConnectionClosedError)):
        client.get_object(Bucket="cut", Key="key")["Body"].read()
    path.unlink()
    with pytest.raises(ClientError, match="InternalFailure"):
        client.get_object(Bucket="cut", Key="key")
    client.delete_object(Bucket="cut", Key="key")


def test_the_first_byte_is_late_when_ordered(aws: EmbeddedAws, stored: tuple[Any, bytes]) -> None:
    client, body = stored
    aws.apply(faults=[{"kind": "slow_first_byte", "delay_s": 0.3, "times": 1}])
    started_s = time.monotonic()
    assert _read(client) == body
    assert time.monotonic() - started_s >= 0.3


def test_other_services_throttle_and_deny_as_ordered(aws: EmbeddedAws) -> None:
    aws.apply(
        faults=[
            {"kind": "throttling", "service": "sagemaker", "operation": "ListModels", "times": 1},
            {"kind": "access_denied", "service": "iam", "operation": "ListRoles", "times": 1},
        ]
    )
    with pytest.raises(ClientError, match="ThrottlingException"):
        aws.client("sagemaker").list_models()
    with pytest.raises(ClientError, match="AccessDenied"):
        aws.client("iam").list_roles()
    aws.client("sagemaker").list_models()
    aws.client("iam").list_roles()


def test_an_instances_key_is_shaped_and_counted_apart(tmp_path: Any) -> None:
    state_dir = tmp_path / "state"
    state_dir.mkdir(mode=0o700)
    instance = KeyRing(state_dir / "keys.json").issue("i-1", "ml.g5.2xlarge")
    lifecycle.up(state_dir, Settings())
    aws = EmbeddedAws(state_dir)
    try:
        aws.apply(network={"connection_bytes_per_s": 4e6, "first_byte_delay_s": 0.2})
        aws.client("s3").create_bucket(Bucket="shaped")
        aws.client("s3").put_object(Bucket="shaped", Key="key", Body=bytes(1_000_000))
        started_s = time.monotonic()
        aws.client("s3", instance).get_object(Bucket="shaped", Key="key")["Body"].read()
        # 0.2 s to the first byte and 0.25 s for the rest: never faster, however slow this machine is.
        assert time.monotonic() - started_s >= 0.44
        # A revoked or user's key is another matter; this one may do what the user may.
        assert aws.client("s3", instance).list_buckets()["Buckets"][0]["Name"] == "shaped"
    finally:
        lifecycle.down(state_dir)


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 507, "The disk of the embedded AWS is full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), 507, "MiB are free in"),
        (sqlite3.OperationalError("database or disk is full"), 507, "Free some space"),
        (OSError(errno.EIO, "Input/output error"), 500, "`localaws logs` has the cause"),
    ],
)
def test_a_full_disk_is_said_and_is_not_worth_another_try(
    tmp_path: Path, error: OSError | sqlite3.OperationalError, status: int, words: str
) -> None:
    gateway = cast(Gateway, SimpleNamespace(_emulator=SimpleNamespace(state_dir=tmp_path)))
    answer = Gateway._of_system(gateway, error, "0123")
    assert answer.status == status
    assert words in answer.message
