"""S3 over plain requests: its endpoint, credentials, and request signatures.

Only the usual AWS variables are used. Signing is Signature Version 4 with an unsigned payload, twenty
microseconds per request; the body is covered by its CRC32C instead. Source: "Authenticating Requests: Using
the Authorization Header", Amazon S3 API reference.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote, urlsplit

from fastload.errors import StorageError, shown
from fastload.storage.http_connection import Endpoint

_UNSIGNED = "UNSIGNED-PAYLOAD"
_VISIBLE = re.compile(r"[!-~]*")
# Of buckets and of regions; both become part of a host's name.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key; the token is empty for a long-lived one."""

    access_key_id: str
    secret_access_key: str
    session_token: str = ""


@dataclass(frozen=True, slots=True)
class Bucket:
    """One bucket: its endpoint, how its objects are addressed, and how requests to it are signed."""

    name: str
    endpoint: Endpoint
    path_prefix: str
    region: str
    credentials: Callable[[], Credentials]

    def target(self, key: str, query: Mapping[str, str]) -> tuple[str, str]:
        """Path and query string of a request, both encoded the way the signature needs them."""
        try:
            path = f"{self.path_prefix}/{quote(key, safe='/-_.~')}"
        except UnicodeEncodeError as error:
            raise StorageError(f"{shown(key)!r} is not a valid key: it is not valid Unicode.") from error
        return path, "&".join(
            f"{quote(k, safe='-_.~')}={quote(query[k], safe='-_.~')}" for k in sorted(query)
        )

    def signed_headers(
        self,
        method: str,
        path: str,
        query: str,
        extra: Mapping[str, str] | None = None,
        now: datetime | None = None,
    ) -> dict[str, str]:
        """`extra` with the headers that authenticate a request made now (or at `now`).

        S3 refuses an x-amz-* header that the signature does not cover (docs/facts/s3.md#request-rules).
        """
        credentials = self.credentials()
        stamp = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
        headers = {**(extra or {}), "x-amz-content-sha256": _UNSIGNED, "x-amz-date": stamp}
        if credentials.session_token:
            headers["x-amz-security-token"] = credentials.session_token
        covered = sorted(item for item in headers.items() if item[0].startswith("x-amz-"))
        signed = {"host": self.endpoint.host_header, **dict(covered)}
        names = ";".join(signed)
        canonical = "\n".join(
            [
                method,
                path,
                query,
                *(f"{name}:{value}" for name, value in signed.items()),
                "",
                names,
                _UNSIGNED,
            ]
        )
        scope = f"{stamp[:8]}/{self.region}/s3/aws4_request"
        to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        key = _signing_key(credentials.secret_access_key, stamp[:8], self.region)
        signature = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
        headers["Authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={credentials.access_key_id}/{scope},"
            f"SignedHeaders={names},Signature={signature}"
        )
        return headers


def bucket_from_environment(name: str) -> Bucket:
    """Address a bucket by AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, or else AWS's own host for the region.

    Raises StorageError for variables that cannot become part of a request.
    """
    if not _NAME.fullmatch(name):
        raise StorageError(f"{shown(name)!r} is not a valid bucket name; write s3://bucket/prefix/.")
    region = _variable("AWS_REGION") or _variable("AWS_DEFAULT_REGION") or "us-east-1"
    if not _NAME.fullmatch(region):
        raise StorageError(
            f"AWS_REGION is {shown(region)!r}, which is not a region; an example is eu-west-1."
        )
    url = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if url:
        endpoint, path = _endpoint(url)
        return Bucket(name, endpoint, f"{path}/{name}", region, _credentials_source())
    host = aws_host(region)
    # A bucket with dots in its name does not match S3's wildcard certificate; it is addressed by path.
    if "." in name:
        return Bucket(name, Endpoint(host, 443, True), f"/{name}", region, _credentials_source())
    return Bucket(name, Endpoint(f"{name}.{host}", 443, True), "", region, _credentials_source())


def _endpoint(url: str) -> tuple[Endpoint, str]:
    """The endpoint of a URL, and its path."""
    try:
        if not _VISIBLE.fullmatch(url):
            raise ValueError
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise ValueError
        if parts.query or parts.fragment:
            raise ValueError
        tls = parts.scheme == "https"
        return Endpoint(parts.hostname, parts.port or (443 if tls else 80), tls), parts.path.rstrip("/")
    except ValueError:  # an invalid port, or brackets that do not match
        raise StorageError(
            f"AWS_ENDPOINT_URL is {shown(url)!r}; it must look like https://host:port."
        ) from None


def aws_host(region: str) -> str:
    """S3's own host for a region of any partition, of the address family that the usual variables ask for."""
    fips = "-fips" if _is_set("AWS_USE_FIPS_ENDPOINT") else ""
    dual_stack = ".dualstack" if _is_set("AWS_USE_DUALSTACK_ENDPOINT") else ""
    return f"s3{fips}{dual_stack}.{region}.{_dns_suffix(region)}"


@lru_cache(maxsize=8)
def _dns_suffix(region: str) -> str:
    """The domain of a region's partition, from botocore's data alone: importing botocore takes long."""
    spec = find_spec("botocore")
    places = list(spec.submodule_search_locations or ()) if spec else []
    if not places:
        raise StorageError("botocore is not installed: set AWS_ENDPOINT_URL, or pip install botocore.")
    partitions = json.loads(Path(places[0], "data", "partitions.json").read_bytes())["partitions"]
    for partition in partitions:
        if region in partition["regions"] or re.search(partition["regionRegex"], region):
            return str(partition["outputs"]["dnsSuffix"])
    raise StorageError(f"{region!r} is not an AWS region; correct AWS_REGION, or set AWS_ENDPOINT_URL.")


def _is_set(name: str) -> bool:
    return os.environ.get(name, "").lower() == "true"


def _variable(name: str) -> str:
    return _visible(os.environ.get(name, ""), name)


def _visible(value: str, name: str) -> str:
    """`value`. Raises StorageError, without showing the value, if it is invalid in a header."""
    if not _VISIBLE.fullmatch(value):
        raise StorageError(
            f"{name} contains a space, a line break or another invalid character;"
            " copy it again: values from files and secret stores often end with a line break."
        )
    return value


def _credentials_source() -> Callable[[], Credentials]:
    access_key_id = _variable("AWS_ACCESS_KEY_ID")
    secret_access_key = _variable("AWS_SECRET_ACCESS_KEY")
    if access_key_id and secret_access_key:
        fixed = Credentials(access_key_id, secret_access_key, _variable("AWS_SESSION_TOKEN"))
        return lambda: fixed
    return _botocore_credentials()


def _botocore_credentials() -> Callable[[], Credentials]:
    """The credentials that boto3 would use: a profile, or the role of the container or instance,
    refreshed in time.
    """
    import botocore.session
    from botocore.exceptions import BotoCoreError

    try:
        found = botocore.session.get_session().get_credentials()
    except BotoCoreError as error:
        raise StorageError(f"cannot get AWS credentials: {shown(str(error))}.") from error
    if found is None:
        raise StorageError(
            "No AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the host a role."
        )

    def current() -> Credentials:
        frozen = found.get_frozen_credentials()
        keys = (frozen.access_key, frozen.secret_key, frozen.token or "")
        return Credentials(*(_visible(key, f"an AWS credential ({found.method})") for key in keys))

    return current


@lru_cache(maxsize=8)
def _signing_key(secret_access_key: str, date: str, region: str) -> bytes:
    key = f"AWS4{secret_access_key}".encode()
    for part in (date, region, "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key
