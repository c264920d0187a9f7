"""A model server for measurements: one answer at a time, each after as many seconds as its request asks for.

    python sleeping_server.py LOW_S HIGH_S SEED … --port PORT

It listens after a time between LOW_S and HIGH_S, drawn anew for each process.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    """`/ping`, and `/invocations` with `{"seconds": 1.5}`."""

    turn = threading.Semaphore(1)

    def do_GET(self) -> None:
        """Healthy."""
        self._answer(b"{}")

    def do_POST(self) -> None:
        """Wait for the turn, then as long as asked."""
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.turn:
            time.sleep(request["seconds"])
        self._answer(b'{"generated_text": ""}')

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing: a line a request would only fill the log."""


if __name__ == "__main__":
    low_s, high_s, seed = float(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
    time.sleep(random.Random(f"{seed}-{os.getpid()}").uniform(low_s, high_s))
    port = int(sys.argv[sys.argv.index("--port") + 1])
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
