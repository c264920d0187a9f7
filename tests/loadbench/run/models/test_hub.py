"""The real hub client against a small hub here: what is fetched, and what its refusals turn into."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from loadbench.progress import ignore_progress
from loadbench.run.models import hub, synthetic

pytest.importorskip("huggingface_hub")

SCRIPTS = Path(__file__).resolve().parents[4] / "scripts"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
GATED = ("org/gated", 403, "GatedRepo")
MISSING = ("org/missing", 404, "RepoNotFound")


class Hub(BaseHTTPRequestHandler):
    """The few answers that a download needs; `files` is set by the fixture."""

    files: dict[str, bytes]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        path = urlsplit(self.path).path
        for model_id, status, code in (GATED, MISSING):
            if model_id in path:
                self._send(status, b'{"error": "no"}', {"X-Error-Code": code}, with_body)
                return
        if path.startswith("/api/models/org/model/tree/"):
            tree = [
                {"type": "file", "path": name, "size": len(data), "oid": etag(data)}
                for name, data in self.files.items()
            ]
            self._send(200, json.dumps(tree).encode(), {"Content-Type": "application/json"}, with_body)
        elif path.startswith("/api/models/org/model"):
            siblings = [{"rfilename": name, "size": len(data)} for name, data in self.files.items()]
            info = {
                "id": "org/model",
                "modelId": "org/model",
                "sha": COMMIT,
                "siblings": siblings,
                "safetensors": {"parameters": {"BF16": 106816}, "total": 106816},
            }
            self._send(200, json.dumps(info).encode(), {"Content-Type": "application/json"}, with_body)
        elif path.startswith(f"/org/model/resolve/{COMMIT}/"):
            data = self.files[path.removeprefix(f"/org/model/resolve/{COMMIT}/")]
            self._send(200, data, {"ETag": f'"{etag(data)}"', "X-Repo-Commit": COMMIT}, with_body)
        else:
            self._send(200 if path == "/" else 404, b"", {}, with_body)

    def _send(self, status: int, body: bytes, headers: dict[str, str], with_body: bool) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the test's output clean."""


def etag(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "source"
    folder.mkdir()
    synthetic.generate(synthetic.SHAPES["llama-tiny"], folder, ignore_progress)
    Hub.files = {path.name: path.read_bytes() for path in folder.iterdir()}
    Hub.files |= {"pytorch_model.bin": b"twice", "original/params.json": b"{}", "README.md": b"# words"}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def on_hub(address: str, tmp_path: Path, program: str) -> str:
    """Run a program whose hub lies at `address`: the client reads that when it is imported."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"from pathlib import Path\nfrom loadbench.run.models import hub, resolve\n{program}",
        ],
        env={"PYTHONPATH": str(SCRIPTS), "HF_ENDPOINT": address, "HOME": str(tmp_path), "PATH": "/usr/bin"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_model_is_downloaded_once_and_only_what_serving_needs(address: str, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    program = f"""
reported = []
first = resolve.resolve_model("org/model", Path({str(cache)!r}), None, reported.append)
print(first.digest == resolve.resolve_model("org/model", Path({str(cache)!r}), None).digest)
print(first.parameters, sorted(path.name for path in first.folder.iterdir()))
"""
    same, facts = on_hub(address, tmp_path, program).splitlines()
    assert same == "True"
    served = sorted(
        name for name in Hub.files if name not in ("pytorch_model.bin", "original/params.json", "README.md")
    )
    assert facts == f"{synthetic.SHAPES['llama-tiny'].weights_bytes // 2} {served}"


def test_metadata_comes_without_weights(address: str, tmp_path: Path) -> None:
    folder = tmp_path / "metadata"
    program = f"""
hub.download_metadata("org/model", {COMMIT!r}, Path({str(folder)!r}), None)
print(hub.revision("org/model", None), hub.weights("org/model", None).elements)
"""
    assert on_hub(address, tmp_path, program) == f"{COMMIT} 106816"
    names = {path.name for path in folder.iterdir()}
    assert "config.json" in names
    assert not any(name.endswith(".safetensors") for name in names)


@pytest.mark.parametrize(
    ("model_id", "words", "remedy"),
    [("org/gated", "is gated", "Accept the licence"), ("org/missing", "has no model", "Check hf_model_id")],
)
def test_a_refusal_says_what_to_do(
    address: str, tmp_path: Path, model_id: str, words: str, remedy: str
) -> None:
    program = f"""
from loadbench.errors import UsageError
try:
    resolve.resolve_model({model_id!r}, Path({str(tmp_path / "cache")!r}), "hf_token")
except UsageError as error:
    print(error.message, "|", error.remedy)
"""
    reported = on_hub(address, tmp_path, program)
    assert words in reported
    assert remedy in reported
    assert "hf_token" not in reported


def test_any_answer_means_reachable_and_silence_does_not(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HF_ENDPOINT", address)
    assert hub.is_reachable()
    monkeypatch.setenv("HF_ENDPOINT", f"{address}/org/missing")  # 404 is an answer
    assert hub.is_reachable()
    monkeypatch.setenv("HF_ENDPOINT", f"{address}/org/gated")  # 403 is a proxy's way to say no
    assert not hub.is_reachable()
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert not hub.is_reachable()
    monkeypatch.setenv("HF_ENDPOINT", "no address")
    assert not hub.is_reachable()
    monkeypatch.setenv("HF_ENDPOINT", address)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert not hub.is_reachable()
