"""What TLS costs a stream: a server in another process on another core, and each way of reading in turn.

    python -m tests.benchmarks.bench_tls [--megabytes 1000] [--rounds 5]

Prints the median seconds and processor seconds of the reading process over plain HTTP and over TLS, alone and
while it imports torch as a cold start does. Server and reader are bound to a core of their own each.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from tests.fastload.hostile import self_signed

_CONNECTIONS = 16
_READER = """
import json, os, resource, sys, threading, time
from fastload.storage.http_connection import Endpoint, HttpConnection
port, size, connections, with_import, tls = (int(text) for text in sys.argv[1:6])
def read():
    connection = HttpConnection(Endpoint("127.0.0.1", port, bool(tls)))
    left = size // connections
    connection.request("GET", f"/{left}", {})
    view = memoryview(bytearray(8 << 20))
    while left:
        piece = view[: min(left, len(view))]
        connection.fill(piece)
        left -= len(piece)
    connection.close()
began = time.perf_counter()
threads = [threading.Thread(target=read) for _ in range(connections)]
for thread in threads: thread.start()
imported = 0.0
if with_import:
    import torch
    imported = time.perf_counter() - began
for thread in threads: thread.join()
usage = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"seconds": time.perf_counter() - began, "import": imported,
    "processor": usage.ru_utime + usage.ru_stime}))
"""


def serve(certificate: str, tls: bool, ports: multiprocessing.Queue[int]) -> None:
    """Answer every GET /N with N bytes, a thread a connection; large writes leave the interpreter alone."""
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {0})
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    ports.put(listener.getsockname()[1])
    block = memoryview(os.urandom(1 << 20))

    def answer(plain: socket.socket) -> None:
        try:
            with context.wrap_socket(plain, server_side=True) if tls else plain as connection:
                left = int(connection.recv(65536).split()[1][1:])
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % left)
                while left:
                    left -= connection.send(block[: min(left, len(block))])
                connection.recv(1)
        except OSError:
            return

    while True:
        plain, _ = listener.accept()
        threading.Thread(target=answer, args=(plain,), daemon=True).start()


def read_once(port: int, size_bytes: int, tls: bool, with_import: bool) -> dict[str, float]:
    """One reading process; returns what it measured."""
    numbers = (port, size_bytes, _CONNECTIONS, int(with_import), int(tls))
    command = [sys.executable, "-c", _READER, *map(str, numbers)]
    pin = (lambda: os.sched_setaffinity(0, {1})) if (os.cpu_count() or 1) > 1 else None
    done = subprocess.run(command, capture_output=True, text=True, check=True, preexec_fn=pin)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def main() -> None:
    """Rounds of both in turn, so that a machine that is busy meanwhile slows both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        certificate = self_signed(Path(folder))
        os.environ["SSL_CERT_FILE"] = str(certificate)
        ports: dict[bool, int] = {}
        for tls in (False, True):
            started: multiprocessing.Queue[int] = multiprocessing.Queue()
            multiprocessing.Process(target=serve, args=(str(certificate), tls, started), daemon=True).start()
            ports[tls] = started.get()
        for with_import in (False, True):
            found: dict[bool, list[dict[str, float]]] = {tls: [] for tls in ports}
            for _ in range(options.rounds):
                for tls, port in ports.items():
                    found[tls].append(read_once(port, options.megabytes * 10**6, tls, with_import))
            for tls, runs in found.items():
                median = {name: round(statistics.median(run[name] for run in runs), 2) for name in runs[0]}
                print(f"{'TLS' if tls else 'plain':6} import={with_import!s:5} {median}", flush=True)


if __name__ == "__main__":
    main()
