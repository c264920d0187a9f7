"""An S3 server for measurements: localbucket with bodies sent by the kernel, and shaped like S3 on request.

    python -m tests.benchmarks.s3_server FOLDER --port 0 [--copy-bodies]
        [--connection-rate 90e6 --total-rate 1.25e9 --first-byte 0.02]

With --copy-bodies it sends them as localbucket does, read into the server and written out again.

Prints the port. Shaping concerns the bodies and answers of GetObject only; rates are bytes per second.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import localbucket

_UNSHAPED_BYTES = 64 << 20
_SHAPED_BYTES = 512 << 10
# A sender that was scheduled late may catch up by this much, or lateness would lower the rate.
_BURST_S = 0.02


@dataclass
class Pace:
    """A rate in bytes per second, shared by whoever sends through it. Zero means unlimited."""

    rate_bytes_per_s: float
    _free_at_s: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def reserve(self, size_bytes: int) -> float:
        """The time (time.monotonic) until which the caller must wait before sending more."""
        if not self.rate_bytes_per_s:
            return 0.0
        with self._lock:
            start_s = max(time.monotonic() - _BURST_S, self._free_at_s)
            self._free_at_s = start_s + size_bytes / self.rate_bytes_per_s
            return self._free_at_s


class Handler(localbucket.S3Handler):  # type: ignore[misc]
    """Requests of one connection."""

    protocol_version = "HTTP/1.1"
    connection_rate_bytes_per_s = 0.0
    first_byte_delay_s = 0.0
    copies_bodies = False
    total = Pace(0.0)

    def setup(self) -> None:
        super().setup()
        self._pace = Pace(self.connection_rate_bytes_per_s)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: a line per request would be measured too."""

    def _send_file(
        self, status: Any, file: Any, start: int, length: int, headers: Any, include_body: bool
    ) -> None:
        if self.copies_bodies:
            super()._send_file(status, file, start, length, headers, include_body)
            return
        if include_body and self.first_byte_delay_s:
            time.sleep(self.first_byte_delay_s)
        self._send_headers(status, length, headers)
        if not include_body:
            return
        self.wfile.flush()
        shaped = bool(self.connection_rate_bytes_per_s or self.total.rate_bytes_per_s)
        step_bytes = _SHAPED_BYTES if shaped else _UNSHAPED_BYTES
        position, stop = start, start + length
        while position < stop:
            sent = os.sendfile(
                self.connection.fileno(), file.fileno(), position, min(step_bytes, stop - position)
            )
            position += sent
            if shaped:
                until_s = max(self._pace.reserve(sent), self.total.reserve(sent))
                time.sleep(max(0.0, until_s - time.monotonic()))


def _version_tag(path: Path) -> str:
    """An ETag from the file's identity: hashing gigabytes at a first request would be measured as loading."""
    signature = localbucket.stat_signature(path)
    known = localbucket._etag_cache.get(str(path))  # of what was uploaded to this very server
    return str(known[1]) if known and known[0] == signature else "-".join(f"{part:x}" for part in signature)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has what it needs hangs up."""


@contextmanager
def serving(folder: Path, *flags: str, **shape: float) -> Iterator[subprocess.Popen[str]]:
    """The server over `folder` in a process of its own, and the AWS variables that point at it."""
    options = [word for name, value in shape.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "tests.benchmarks.s3_server", str(folder), *flags, *options]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        port = int(process.stdout.readline()) if process.stdout else 0
        os.environ |= {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        yield process
    finally:
        process.kill()
        process.wait()


def _end_with_parent() -> None:
    """However the measuring process ends, it closes our input."""
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--connection-rate", type=float, default=0.0)
    parser.add_argument("--total-rate", type=float, default=0.0)
    parser.add_argument("--first-byte", type=float, default=0.0)
    parser.add_argument("--copy-bodies", action="store_true")
    args = parser.parse_args()
    localbucket.object_etag = _version_tag
    localbucket.S3Handler.data_root = args.folder.resolve()
    Handler.connection_rate_bytes_per_s = args.connection_rate
    Handler.first_byte_delay_s = args.first_byte
    Handler.copies_bodies = args.copy_bodies
    Handler.total = Pace(args.total_rate)
    server = _Server(("127.0.0.1", args.port), Handler)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
