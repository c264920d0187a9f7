"""What the embedded AWS costs: S3 against nginx and against the disk, and one control-plane request.

Run with `python -m tests.benchmarks.bench_localaws [--gib 1] [--rounds 5]`. nginx (Debian: `apt-get install
nginx-light`) serves the very file that the object lies in. Every round measures each contestant once, in
turn, so that a machine which drifts does so for all. Printed are medians, and ratios within the rounds.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from localaws.protocol import sigv4
from localaws.server import lifecycle
from localaws.settings import NetworkShape, Settings
from localaws.state.files import private_folder
from localaws.state.keys import Credentials, KeyRing

_PART_BYTES = 8 << 20
_CONNECTIONS = 4
_RECORDS = 1000
_REQUESTS = 300

Address = tuple[str, int]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--gib", type=float, default=1.0, help="size of the object")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    size_bytes = int(arguments.gib * 2**30) // _PART_BYTES * _PART_BYTES
    with tempfile.TemporaryDirectory(prefix="bench-localaws-") as name:
        folder = Path(name)
        state_dir = folder / "state"
        instance = KeyRing(private_folder(state_dir) / "keys.json").issue("bench", "ml.g5.2xlarge")
        lifecycle.up(state_dir, None)
        try:
            variables = lifecycle.environment(state_dir)
            _print_s3(variables, folder, size_bytes, arguments.rounds)
            keys = {
                "AWS_ACCESS_KEY_ID": instance.access_key_id,
                "AWS_SECRET_ACCESS_KEY": instance.secret_access_key,
            }
            _print_shaping(Client({**variables, **keys}), state_dir, size_bytes)
            _print_control_plane(Client(variables))
        finally:
            lifecycle.down(state_dir)


class Client:
    """The thinnest signing client: what is left is the server's own cost."""

    def __init__(self, variables: dict[str, str]) -> None:
        host, _, port = variables["AWS_ENDPOINT_URL"].removeprefix("http://").partition(":")
        self.address: Address = (host, int(port))
        self._credentials = Credentials(variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"])
        self._region = variables["AWS_REGION"]

    def headers(
        self, method: str, path: str, query: str, service: str, body: bytes | None = b"", **extra: str
    ) -> dict[str, str]:
        """Signed headers; a body of None is left out of the signature, as S3 allows."""
        headers = {"host": f"{self.address[0]}:{self.address[1]}", **extra}
        if body is None:
            headers["x-amz-content-sha256"] = sigv4.UNSIGNED_PAYLOAD
        request = sigv4.Request(method, path, query, {name: [value] for name, value in headers.items()})
        now = datetime.now(UTC)
        return headers | sigv4.signed_headers(self._credentials, request, service, self._region, body, now)

    def call(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        target: str,
        service: str,
        body: bytes = b"",
        **extra: str,
    ) -> tuple[dict[str, str], bytes]:
        """One request on a kept connection; anything but success is an error."""
        path, _, query = target.partition("?")
        payload: bytes | None = body
        if service == "s3":
            payload = None
        connection.request(method, target, body, self.headers(method, path, query, service, payload, **extra))
        answer = connection.getresponse()
        content = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {target}: {answer.status} {content[:300]!r}")
        return {name.lower(): value for name, value in answer.getheaders()}, content


def _print_s3(variables: dict[str, str], folder: Path, size_bytes: int, rounds: int) -> None:
    client = Client(variables)
    source = folder / "source"
    _write(source, size_bytes)
    connection = http.client.HTTPConnection(*client.address)
    client.call(connection, "PUT", "/bench", "s3")
    with source.open("rb") as file:
        headers = client.headers("PUT", "/bench/whole", "", "s3", None)
        connection.request("PUT", "/bench/whole", file, {**headers, "content-length": str(size_bytes)})
        if connection.getresponse().read():
            raise RuntimeError("the upload failed")
    (stored,) = (
        path for path in (folder / "state" / "objects").glob("*/*") if path.stat().st_size == size_bytes
    )
    rows: dict[str, list[float]] = {"disk write": [], "upload, plain sockets": [], "upload, boto3": []}
    with _nginx(folder, stored.parent) as nginx:
        contestants = {"ranged GET, localaws": (client.address, "/bench/whole")}
        if nginx is not None:
            contestants["ranged GET, nginx"] = (nginx, f"/{stored.name}")
        for _ in range(rounds):
            for label, (address, target) in contestants.items():
                rows.setdefault(label, []).append(_download(client, address, target, size_bytes))
            rows["disk write"].append(_timed(lambda: _copy(source, folder / "copy")))
            rows["upload, plain sockets"].append(_timed(lambda: _upload(client, source, size_bytes)))
            rows["upload, boto3"].append(_upload_boto3(variables, source))
    print(
        f"{size_bytes / 2**30:.2f} GiB in parts of {_PART_BYTES >> 20} MiB, "
        f"{_CONNECTIONS} connections, {rounds} rounds"
    )
    for label, seconds in rows.items():
        rates = sorted(size_bytes / 1e6 / value for value in seconds)
        print(f"{label:24} {statistics.median(rates):8.0f} MB/s  ({rates[0]:.0f}-{rates[-1]:.0f})")
    if nginx is None:
        print("nginx is not installed: no ratio for ranged GET")
    else:
        _print_ratio("ranged GET, of nginx's rate", rows["ranged GET, nginx"], rows["ranged GET, localaws"])
    for label in ("upload, plain sockets", "upload, boto3"):
        _print_ratio(f"{label}, of the disk's rate", rows["disk write"], rows[label])


def _print_ratio(label: str, reference_s: list[float], measured_s: list[float]) -> None:
    ratios = [reference / measured for reference, measured in zip(reference_s, measured_s, strict=True)]
    print(f"{label:36} {statistics.median(ratios):6.2f}  ({min(ratios):.2f}-{max(ratios):.2f})")


def _print_shaping(client: Client, state_dir: Path, object_bytes: int) -> None:
    """Whole GETs of a few seconds each; the first byte's delay is not part of the rate."""
    for label, connections, connection_mb_per_s, instance_mb_per_s, asked_mb_per_s in (
        ("1 connection at 90 MB/s", 1, 90, None, 90),
        ("4 connections at 90 MB/s", 4, 90, None, 360),
        ("4 connections sharing 100 MB/s", 4, 90, 100, 100),
    ):
        shape = NetworkShape(
            connection_bytes_per_s=connection_mb_per_s * 1e6,
            instance_bytes_per_s=instance_mb_per_s and instance_mb_per_s * 1e6,
            first_byte_delay_s=0.02,
        )
        lifecycle.up(state_dir, Settings(network=shape))
        share_bytes = min(object_bytes, int(3e6 * asked_mb_per_s)) // connections
        seconds = _fetch_all(client, share_bytes, connections) - shape.first_byte_delay_s
        measured_mb_per_s = share_bytes * connections / 1e6 / seconds
        error = measured_mb_per_s / asked_mb_per_s - 1
        print(f"shaped, {label:31} {measured_mb_per_s:6.1f} MB/s  ({error:+.1%})")


def _fetch_all(client: Client, share_bytes: int, connections: int) -> float:
    return _timed(lambda: _in_parallel(lambda _: _fetch(client, share_bytes), connections))


def _fetch(client: Client, size_bytes: int) -> None:
    connection = http.client.HTTPConnection(*client.address)
    headers = client.headers("GET", "/bench/whole", "", "s3", None)
    connection.request("GET", "/bench/whole", headers={**headers, "range": f"bytes=0-{size_bytes - 1}"})
    answer = connection.getresponse()
    view = memoryview(bytearray(1 << 20))
    while answer.readinto(view):
        pass


def _print_control_plane(client: Client) -> None:
    connection = http.client.HTTPConnection(*client.address)

    def call(operation: str, **request: object) -> None:
        extra = {"x-amz-target": f"SageMaker.{operation}", "content-type": "application/x-amz-json-1.1"}
        client.call(connection, "POST", "/", "sagemaker", json.dumps(request).encode(), **extra)

    def create(number: int) -> None:
        call(
            "CreateModel",
            ModelName=f"model-{number}",
            PrimaryContainer={"Image": "example.test/lmi:0.32.0-lmi14.0.0-cu126", "Environment": {"A": "b"}},
        )

    created_ms = [_timed(lambda number=number: create(number)) * 1e3 for number in range(_RECORDS)]  # type: ignore[misc]
    for label, samples_ms in (
        ("CreateModel, first 100", created_ms[:100]),
        ("CreateModel, last 100 of 1000", created_ms[-100:]),
        ("DescribeModel", _repeat(lambda: call("DescribeModel", ModelName="model-500"))),
        ("ListModels, page of 10", _repeat(lambda: call("ListModels", MaxResults=10))),
        ("ListEndpoints", _repeat(lambda: call("ListEndpoints"))),
    ):
        ordered = sorted(samples_ms)
        p99_ms = ordered[int(len(ordered) * 0.99)]
        print(f"{label:36} {statistics.median(ordered):6.2f} ms  (99 %: {p99_ms:.2f} ms)")


def _repeat(action: Callable[[], None]) -> list[float]:
    return [_timed(action) * 1e3 for _ in range(_REQUESTS)]


def _timed(action: Callable[[], None]) -> float:
    started_s = time.perf_counter()
    action()
    return time.perf_counter() - started_s


def _write(path: Path, size_bytes: int) -> None:
    block = os.urandom(1 << 20)
    with path.open("wb") as file:
        for _ in range(size_bytes >> 20):
            file.write(block)


def _copy(source: Path, destination: Path) -> None:
    """Write the same bytes to the same disk, and wait until they are there."""
    with source.open("rb") as reader, destination.open("wb") as writer:
        shutil.copyfileobj(reader, writer, 1 << 20)
        writer.flush()
        os.fsync(writer.fileno())
    destination.unlink()


def _in_parallel(work: Callable[[int], None], count: int = _CONNECTIONS) -> None:
    failures: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001 (handed to the caller below)
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def _download(client: Client, address: Address, target: str, size_bytes: int) -> float:
    """Seconds for all ranges, over plain sockets into memory that was touched before."""
    buffers = [bytearray(_PART_BYTES) for _ in range(_CONNECTIONS)]

    def work(number: int) -> None:
        connection = http.client.HTTPConnection(*address)
        view = memoryview(buffers[number])
        for start in range(number * _PART_BYTES, size_bytes, _CONNECTIONS * _PART_BYTES):
            headers = client.headers("GET", target, "", "s3", None)
            headers["range"] = f"bytes={start}-{start + _PART_BYTES - 1}"
            connection.request("GET", target, headers=headers)
            answer = connection.getresponse()
            if answer.status != 206:
                raise RuntimeError(f"{address}: {answer.status}")
            filled = 0
            while filled < _PART_BYTES:
                filled += answer.readinto(view[filled:])
            answer.read()

    return _timed(lambda: _in_parallel(work))


def _upload(client: Client, source: Path, size_bytes: int) -> None:
    control = http.client.HTTPConnection(*client.address)
    _, answer = client.call(control, "POST", "/bench/parts?uploads=", "s3")
    upload_id = answer.decode().partition("<UploadId>")[2].partition("<")[0]
    etags: dict[int, str] = {}

    def work(number: int) -> None:
        connection = http.client.HTTPConnection(*client.address)
        with source.open("rb") as file:
            for part in range(number, size_bytes // _PART_BYTES, _CONNECTIONS):
                file.seek(part * _PART_BYTES)
                target = f"/bench/parts?partNumber={part + 1}&uploadId={upload_id}"
                headers, _ = client.call(connection, "PUT", target, "s3", file.read(_PART_BYTES))
                etags[part + 1] = headers["etag"]

    _in_parallel(work)
    parts = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
        for number, etag in sorted(etags.items())
    )
    body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
    client.call(control, "POST", f"/bench/parts?uploadId={upload_id}", "s3", body)


def _upload_boto3(variables: dict[str, str], source: Path) -> float:
    """Seconds of boto3's upload_file, in a process of its own as real uploads are, without its start."""
    script = (
        "import boto3, sys, time; client = boto3.client('s3'); client.list_buckets();"
        "started_s = time.perf_counter(); client.upload_file(sys.argv[1], 'bench', 'boto3');"
        "print(time.perf_counter() - started_s)"
    )
    command = [sys.executable, "-c", script, str(source)]
    return float(subprocess.check_output(command, env={**os.environ, **variables}))


@contextmanager
def _nginx(folder: Path, root: Path) -> Iterator[Address | None]:
    """nginx on a free loopback port, serving one folder with sendfile; None where it is not installed."""
    program = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if program is None:
        yield None
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    configuration = folder / "nginx.conf"
    configuration.write_text(
        f"daemon off; worker_processes auto; pid {folder}/nginx.pid; error_log {folder}/nginx.log; "
        f"user root; events {{}} http {{ sendfile on; tcp_nopush on; access_log off; "
        f"server {{ listen 127.0.0.1:{port}; root {root}; }} }}"
    )
    process = subprocess.Popen([program, "-c", str(configuration)], stderr=subprocess.DEVNULL)
    try:
        _await_port(port)
        yield ("127.0.0.1", port)
    finally:
        process.terminate()
        process.wait()


def _await_port(port: int) -> None:
    deadline_s = time.monotonic() + 10.0
    while time.monotonic() < deadline_s:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError("nginx does not listen")


if __name__ == "__main__":
    main()
