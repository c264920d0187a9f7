"""What an engine has compiled is kept once, and put in place for the same engine, model and hardware only."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from fastload.errors import StorageError
from fastload.storage.store import Session, open_store
from fastload.vllm import compile_cache

KEY = "0123"
COMMAND = ["python3", "-m", "vllm.entrypoints.openai.api_server", "--port", "8080", "--dtype", "bfloat16"]

# A server that has compiled something when it first answers its health check.
SERVER = """
import http.server, pathlib, sys, threading, time
from fastload.vllm import compile_cache

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        folder = pathlib.Path(sys.argv[2])
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "graph.so").write_bytes(b"code")
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()
    def log_message(self, *args): pass

server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
compile_cache.begin(["vllm", "serve", "--port", str(server.server_address[1])])
threading.Thread(target=server.serve_forever, daemon=True).start()
store = pathlib.Path(sys.argv[1])
deadline_s = time.monotonic() + 30
while not list(store.glob("*.sha256")) and time.monotonic() < deadline_s:
    time.sleep(0.05)
"""


@pytest.fixture
def session(tmp_path: Path) -> Session:
    (tmp_path / "store").mkdir()
    return open_store(str(tmp_path / "store")).session()


@pytest.fixture
def compiled(tmp_path: Path) -> Path:
    """An engine's cache folder."""
    folder = tmp_path / "cache" / "torch_compile_cache"
    (folder / "9f1b" / "rank_0_0").mkdir(parents=True)
    (folder / "9f1b" / "rank_0_0" / "graph.so").write_bytes(b"code" * 1000)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_what_one_start_has_compiled_the_next_one_has(
    session: Session, compiled: Path, tmp_path: Path
) -> None:
    compile_cache.save(session, KEY, compiled)
    target = tmp_path / "other" / "torch_compile_cache"
    assert compile_cache.restore(session, KEY, target)
    assert contents(target) == contents(compiled)
    assert list(target.parent.iterdir()) == [target]


def test_another_key_has_nothing(session: Session, compiled: Path, tmp_path: Path) -> None:
    compile_cache.save(session, KEY, compiled)
    assert not compile_cache.restore(session, "4567", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_folder_with_content_stays_as_it_is(session: Session, compiled: Path) -> None:
    compile_cache.save(session, KEY, compiled)
    (compiled / "9f1b" / "rank_0_0" / "graph.so").write_bytes(b"newer")
    assert compile_cache.restore(session, KEY, compiled)
    assert contents(compiled) == {"9f1b/rank_0_0/graph.so": b"newer"}


def test_a_changed_archive_is_not_unpacked(session: Session, compiled: Path, tmp_path: Path) -> None:
    compile_cache.save(session, KEY, compiled)
    file = tmp_path / "store" / f"{KEY}.tar"
    content = bytearray(file.read_bytes())
    content[600] ^= 1
    file.write_bytes(content)
    with pytest.raises(StorageError, match=r"0123\.tar is damaged"):
        compile_cache.restore(session, KEY, tmp_path / "other" / "torch_compile_cache")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("name", ["../escaped", "/absolute", "torch_compile_cache/../../escaped"])
def test_an_archive_cannot_write_elsewhere(session: Session, tmp_path: Path, name: str) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as files:
        member = tarfile.TarInfo(name)
        member.size = 4
        files.addfile(member, io.BytesIO(b"code"))
    (tmp_path / "store" / f"{KEY}.tar").write_bytes(buffer.getvalue())
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    (tmp_path / "store" / f"{KEY}.sha256").write_text(digest)
    before = set(tmp_path.rglob("*"))
    with pytest.raises(StorageError, match="cannot be put in place"):
        compile_cache.restore(session, KEY, tmp_path / "cache" / "torch_compile_cache")
    assert set(tmp_path.rglob("*")) - before == {tmp_path / "cache"}


def machine(folder: Path, model: str = "EPYC", gpu: str = "NVIDIA A10G") -> Path:
    proc = folder / "proc"
    information = proc / "driver" / "nvidia" / "gpus" / "0000:00:1e.0" / "information"
    information.parent.mkdir(parents=True, exist_ok=True)
    information.write_text(f"Model: \t {gpu}\nIRQ: 11\n")
    (proc / "cpuinfo").write_text(f"processor: 0\nmodel name: {model}\nflags: avx2\n")
    return folder


def test_the_key_depends_on_what_decides_the_code_and_on_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "config.json").write_text("{}")
    root = machine(tmp_path / "root")
    command = [*COMMAND, "--model", str(tmp_path / "model")]
    key = compile_cache.cache_key(command, {"VLLM_USE_X": "1", "HOME": "/a"}, root)

    def other(command: list[str] = command, root: Path = root, **environment: str) -> bool:
        changed = {"VLLM_USE_X": "1", "HOME": "/a"} | environment
        return compile_cache.cache_key(command, changed, root) != key

    assert not other()
    assert not other([*command[:-1], str(tmp_path / "copy")])
    assert not other([word.replace("8080", "9090") for word in command])
    assert not other(HOME="/b", VLLM_CACHE_ROOT="/c", VLLM_API_KEY="k")
    assert other([*command, "--max-model-len", "2048"])
    assert other([word.replace("bfloat16", "float32") for word in command])
    assert other(VLLM_USE_X="0")
    assert other(root=machine(tmp_path / "second", model="Xeon"))
    assert other(root=machine(tmp_path / "third", gpu="NVIDIA L4"))
    (tmp_path / "model" / "config.json").write_text('{"num_hidden_layers": 2}')
    assert other()


def test_the_process_writes_the_archive_when_the_server_is_ready(tmp_path: Path) -> None:
    store, folder = tmp_path / "store", tmp_path / "cache" / "torch_compile_cache"
    store.mkdir()
    environment = os.environ | {
        compile_cache.VARIABLE: str(store),
        "VLLM_CACHE_ROOT": str(folder.parent),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run(
        [sys.executable, "-c", SERVER, str(store), str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "of compiled code written (key " in done.stderr
    (archive,) = store.glob("*.tar")
    with tarfile.open(archive) as files:
        assert "torch_compile_cache/graph.so" in files.getnames()


def test_a_server_that_ends_before_it_is_ready_leaves_nothing(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    environment = os.environ | {compile_cache.VARIABLE: str(store), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "fastload.vllm.compile_cache", json.dumps(COMMAND), "1"]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False)
    assert done.returncode == 1
    assert not list(store.iterdir())
