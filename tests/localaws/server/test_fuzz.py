"""Malformed requests at every operation: never a 500, never a hang, never a word about the inside.

A small sample runs with the other tests; LOCALAWS_FUZZ_REQUESTS=20000 runs a night's worth, and
LOCALAWS_FUZZ_SEED draws others.
"""

from __future__ import annotations

import http.client
import json
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import botocore.session
import pytest

from localaws.protocol import cbor, sigv4
from localaws.server import lifecycle
from localaws.services.sagemaker import api as sagemaker_api

from ..conftest import EmbeddedAws

_REQUESTS = int(os.environ.get("LOCALAWS_FUZZ_REQUESTS", "400"))
_SEED = int(os.environ.get("LOCALAWS_FUZZ_SEED", "1"))
# Longer than any Describe call is held open, shorter than anybody would wait.
_PATIENCE_S = 20.0

_TEXTS = [
    "",
    "a",
    "../../etc/passwd",
    "\x00",
    "é漢\U0001f600",
    "x" * 5000,
    "${jndi:x}",
    "' OR 1=1 --",
    "%00",
    "\r\nX: y",
]
_VALUES: list[Any] = [
    *_TEXTS,
    None,
    True,
    -1,
    0,
    2**63,
    2**200,
    1.5,
    -1e308,
    [],
    [[]],
    {},
    {"a": None},
    [None] * 50,
]
_S3_OPERATIONS = [
    ("GET", ""), ("PUT", ""), ("HEAD", ""), ("DELETE", ""), ("POST", ""), ("GET", "list-type=2"),
    ("GET", "location"), ("GET", "versioning"), ("GET", "uploads"), ("POST", "uploads"),
    ("POST", "delete"), ("GET", "tagging"), ("PUT", "tagging"), ("DELETE", "tagging"),
    ("PUT", "partNumber=1&uploadId=x"), ("GET", "uploadId=x"), ("POST", "uploadId=x"),
    ("DELETE", "uploadId=x"), ("GET", "acl"), ("PATCH", ""), ("OPTIONS", ""),
]  # fmt: skip
_S3_PARAMETERS = [
    "list-type", "prefix", "delimiter", "max-keys", "continuation-token", "start-after",
    "encoding-type", "marker", "uploadId", "partNumber", "uploads", "part-number-marker", "max-parts",
    "max-uploads", "key-marker", "upload-id-marker", "response-content-type", "X-Amz-Expires",
    "versionId", "delete", "tagging",
]  # fmt: skip
_S3_HEADERS = [
    "range", "if-match", "if-none-match", "if-modified-since", "content-md5", "x-amz-copy-source",
    "x-amz-tagging", "x-amz-copy-source-range", "x-amz-checksum-crc32", "x-amz-checksum-sha256",
    "x-amz-sdk-checksum-algorithm", "x-amz-trailer", "x-amz-decoded-content-length",
    "x-amz-checksum-algorithm", "x-amz-checksum-type", "content-type", "x-amz-metadata-directive",
    "x-amz-meta-a", "content-encoding", "expect", "transfer-encoding",
]  # fmt: skip
_STREAMING = [
    "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
    "STREAMING-NONSENSE",
    "00",
    "",
]
_XML = [
    b"", b"<", b"<a/>", b"<Delete><Object><Key>a</Key></Object></Delete>", b"<Delete>" * 300, b"\xff\xfe<a/>",
    b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>",
    b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", b"<?xml version='1.0' encoding='utf-99'?><a/>",
    b"<Tagging><TagSet><Tag><Key>a</Key></Tag></TagSet></Tagging>",
    b"<CreateBucketConfiguration><LocationConstraint>" + b"x" * 999,
]  # fmt: skip


@dataclass
class Sent:
    """One request to send; the signature is added last, unless the request is to be unsigned."""

    service: str
    method: str
    target: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class Generator:
    """Requests that are almost right, drawn from one seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        session = botocore.session.Session()
        self._models = {
            name: session.get_service_model(name)
            for name in ("sagemaker", "logs", "cloudwatch", "iam", "sts", "cloudcontrol")
        }
        served = [("sagemaker", name) for name in sagemaker_api.OPERATIONS]
        served += [("logs", name) for name in self._models["logs"].operation_names if "Log" in name]
        served += [("cloudcontrol", name) for name in self._models["cloudcontrol"].operation_names]
        self._json_operations = served
        self._kinds: list[Callable[[], Sent]] = [
            self._json,
            self._json,
            self._s3,
            self._s3,
            self._cbor,
            self._query,
        ]
        self._kinds += [self._runtime, self._control]

    def request(self) -> Sent:
        """The next request."""
        return self._random.choice(self._kinds)()

    def _json(self) -> Sent:
        service, name = self._random.choice(self._json_operations)
        model = self._models[service]
        shape = model.operation_model(name).input_shape
        document = json.dumps(self._value(shape, 0)).encode()
        headers = {
            "x-amz-target": f"{model.metadata['targetPrefix']}.{name}",
            "content-type": f"application/x-amz-json-{model.metadata['jsonVersion']}",
        }
        return Sent(model.signing_name, "POST", "/", headers, self._mangled(document))

    def _cbor(self) -> Sent:
        name = self._random.choice(["ListMetrics", "GetMetricData", "GetMetricStatistics", "Nonsense"])
        known = self._models["cloudwatch"].operation_names
        shape = self._models["cloudwatch"].operation_model(name).input_shape if name in known else None
        try:
            body = cbor.dumps(self._value(shape, 0))
        except (TypeError, OverflowError, UnicodeEncodeError):
            body = b"\xff"
        headers = {"smithy-protocol": "rpc-v2-cbor", "content-type": "application/cbor"}
        target = f"/service/GraniteServiceVersion20100801/operation/{name}"
        return Sent("monitoring", "POST", target, headers, self._mangled(body))

    def _query(self) -> Sent:
        service = self._random.choice(["iam", "sts", "cloudformation", "ec2", "no-such-service", "é"])
        actions = ["DescribeType", "GetCallerIdentity", "", "Nonsense"]
        if service in self._models:
            actions = list(self._models[service].operation_names)
        pairs = [("Action", self._random.choice(actions)), ("Version", "2010-05-08")]
        pairs += [
            (self._random.choice(["RoleName", "PolicyArn", "TypeName", "a.1.b"]), self._text())
            for _ in range(2)
        ]
        body = "&".join(f"{name}={quote(value)}" for name, value in pairs).encode()
        headers = {"content-type": "application/x-www-form-urlencoded"}
        return Sent(service, "POST", "/", headers, self._mangled(body))

    def _s3(self) -> Sent:
        method, query = self._random.choice(_S3_OPERATIONS)
        bucket = self._random.choice(["fuzz", "fuzz", "fuzz", "no-such-bucket", "..", "%2e%2e", "%ff", ""])
        key = quote(self._random.choice(["", "key", self._text()]), safe=self._random.choice(["", "/.~"]))
        pairs = [query] if query else []
        for _ in range(self._random.randrange(3)):
            pairs.append(f"{self._random.choice(_S3_PARAMETERS)}={quote(self._text())}")
        headers = {self._random.choice(_S3_HEADERS): self._header() for _ in range(self._random.randrange(3))}
        if self._random.random() < 0.2:
            headers["x-amz-content-sha256"] = self._random.choice(_STREAMING)
        body = self._random.choice(
            [*_XML, self._random.randbytes(50), b"5;chunk-signature=0\r\nhello\r\n0\r\n\r\n"]
        )
        return Sent(
            "s3", method, f"/{bucket}/{key}" + ("?" + "&".join(pairs) if pairs else ""), headers, body
        )

    def _runtime(self) -> Sent:
        name = quote(self._text(), safe="")
        suffix = self._random.choice(
            ["invocations", "invocations-response-stream", "async-invocations", "", "x"]
        )
        headers = {"x-amzn-sagemaker-inference-component": self._header(), "content-type": "application/json"}
        return Sent(
            "sagemaker", "POST", f"/endpoints/{name}/{suffix}", headers, self._mangled(b'{"inputs": "a"}')
        )

    def _control(self) -> Sent:
        document = {
            self._random.choice(["network", "faults", "provision_s", "x"]): self._random.choice(_VALUES)
        }
        target = "/_localaws/" + self._random.choice(["settings", "faults", "status", "", "../x"])
        body = json.dumps(document).encode()
        # A document that is valid by chance must not slow the run down: settings are never sent whole.
        if target.endswith("settings"):
            body += b"}"
        return Sent("localaws", self._random.choice(["GET", "POST", "PUT"]), target, {}, body)

    def _value(self, shape: Any, depth: int) -> Any:
        """A value of the modelled shape with something wrong in it somewhere, more often the deeper it is."""
        if shape is None or depth > 6 or self._random.random() < 0.08:
            return self._random.choice(_VALUES)
        kind = shape.type_name
        if kind == "structure":
            required = set(shape.required_members)
            return {
                name: self._value(member, depth + 1)
                for name, member in shape.members.items()
                if (name in required and self._random.random() < 0.95) or self._random.random() < 0.15
            }
        if kind == "list":
            return [self._value(shape.member, depth + 1) for _ in range(self._random.randrange(3))]
        if kind == "map":
            return {
                self._text()[:20]: self._value(shape.value, depth + 1)
                for _ in range(self._random.randrange(3))
            }
        if kind == "string":
            names = [
                "fuzz",
                "arn:aws:iam::123456789012:role/fuzz",
                "s3://fuzz/key/",
                "ml.g5.2xlarge",
                self._text(),
            ]
            return self._random.choice([*(shape.enum or names), self._text()])
        if kind in ("integer", "long", "float", "double", "timestamp"):
            return self._random.choice([0, 1, 60, -1, 2**40, 1.5])
        return self._random.choice([True, False, "x"])

    def _text(self) -> str:
        return self._random.choice([*_TEXTS, "fuzz", "key", "1", "-1", "99999999999999999999", "a/b/"])

    def _header(self) -> str:
        # What http.client would refuse to send never reaches the server.
        text = self._random.choice(
            [self._text(), "bytes=0-0", "bytes=-1", "*", "/fuzz/key", "CRC32", "100-continue"]
        )
        return "".join(c for c in text if c.isprintable() and c.isascii())[:300]

    def _mangled(self, body: bytes) -> bytes:
        chance = self._random.random()
        if chance < 0.05:
            return body[: len(body) // 2]
        if chance < 0.1:
            return self._random.randbytes(len(body))
        if chance < 0.12:
            return b"[" * 20_000
        return body


def _send(aws: EmbeddedAws, sent: Sent) -> tuple[int, bytes]:
    host = f"127.0.0.1:{aws.port}"
    headers = {"host": host, **sent.headers}
    # Framing is the HTTP library's; it and the host are what a client cannot leave out.
    headers.pop("transfer-encoding", None)
    path, _, query = sent.target.partition("?")
    payload: bytes | None = sent.body
    if sent.service == "s3":
        headers.setdefault("x-amz-content-sha256", sigv4.UNSIGNED_PAYLOAD)
        payload = None
    request = sigv4.Request(sent.method, path, query, {name: [value] for name, value in headers.items()})
    headers |= _signed(aws, request, sent.service, headers, payload)
    connection = http.client.HTTPConnection("127.0.0.1", aws.port, timeout=_PATIENCE_S)
    try:
        connection.request(sent.method, sent.target, sent.body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _signed(
    aws: EmbeddedAws, request: sigv4.Request, service: str, headers: dict[str, str], payload: bytes | None
) -> dict[str, str]:
    now = datetime.now(UTC)
    if payload is not None or headers["x-amz-content-sha256"] == sigv4.UNSIGNED_PAYLOAD:
        return sigv4.signed_headers(aws.user, request, service, "us-east-1", payload, now)
    timestamp = now.strftime("%Y%m%dT%H%M%SZ")
    all_headers = {**request.headers, "x-amz-date": [timestamp]}
    names = tuple(sorted(all_headers))
    signed = sigv4.Signed(
        aws.user.access_key_id, timestamp[:8], "us-east-1", service, names, "", timestamp, None
    )
    request = sigv4.Request(request.method, request.raw_path, request.raw_query, all_headers)
    canonical = sigv4.canonical_request(request, signed, headers["x-amz-content-sha256"])
    signature = sigv4.sign(signed, canonical, aws.user.secret_access_key)
    authorization = (
        f"{sigv4.ALGORITHM} Credential={signed.access_key_id}/{signed.scope}, "
        f"SignedHeaders={';'.join(names)}, Signature={signature}"
    )
    return {"x-amz-date": timestamp, "authorization": authorization}


@pytest.mark.timeout(60 + _REQUESTS)
def test_no_malformed_request_makes_a_500_or_a_hang(own_aws: EmbeddedAws) -> None:
    client = own_aws.client("s3")
    client.create_bucket(Bucket="fuzz")
    own_aws.make_role("fuzz")
    client.put_object(Bucket="fuzz", Key="key", Body=b"body")
    generator = Generator(_SEED)
    statuses: dict[int, int] = {}
    pid = own_aws.pid
    for number in range(_REQUESTS):
        sent = generator.request()
        context = f"request {number} of seed {_SEED}: {sent}"[:3000]
        try:
            status, content = _send(own_aws, sent)
        except (OSError, http.client.HTTPException) as error:
            raise AssertionError(f"no answer ({error!r}) to {context}") from error
        statuses[status] = statuses.get(status, 0) + 1
        assert status < 500 or status == 501, f"{status} {content[:500]!r} to {context}"
        assert b"Traceback" not in content, f"{content[:500]!r} to {context}"
        assert str(own_aws.state_dir).encode() not in content or sent.service == "localaws", context
    assert own_aws.pid == pid
    assert "Traceback" not in _own_errors(lifecycle.log_path(own_aws.state_dir).read_text())
    # The generator must reach the operations, not only the doors before them.
    assert statuses[200] > _REQUESTS / 20, statuses
    assert statuses[400] > _REQUESTS / 10, statuses


def _own_errors(log: str) -> str:
    """The log without moto's complaints, which the bridge turns into a ValidationError on purpose."""
    return "\n".join(block for block in log.split("\n20") if "localaws.services.moto_bridge" not in block)
