"""The model server as a process: ping, invocations, streams, log lines, and how it ends."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import fastload

from ..tiny_model import write_tiny_model

SCRIPTS = Path(__file__).parents[3] / "scripts"
START_S = 90.0


@dataclass
class Container:
    """A container process and its port."""

    process: subprocess.Popen[str]
    port: int

    def request(
        self, method: str, path: str, document: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, str, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            body = None if document is None else json.dumps(document)
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers.get_content_type(), answer.read()
        finally:
            connection.close()

    def invoke(self, document: Any) -> Any:
        status, _, body = self.request("POST", "/invocations", document)
        assert status == 200, body
        return json.loads(body)

    def wait_until_healthy(self) -> None:
        deadline_s = time.monotonic() + START_S
        while time.monotonic() < deadline_s:
            assert self.process.poll() is None, self.process.stdout and self.process.stdout.read()
            try:
                if self.request("GET", "/ping")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise AssertionError("the container did not become healthy")

    def stop(self) -> str:
        self.process.send_signal(signal.SIGKILL)
        return self.process.communicate()[0]


def launch(folder: Path, **environment: str) -> Container:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "localaws.container"],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(SCRIPTS),
            "LOCALAWS_MODEL_DIR": str(folder),
            "LOCALAWS_MODEL_NAME": "tiny",
            "SAGEMAKER_BIND_TO_PORT": str(port),
            **environment,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return Container(process, port)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def container(folder: Path) -> Iterator[Container]:
    running = launch(folder)
    try:
        running.wait_until_healthy()
        yield running
    finally:
        running.stop()


def test_an_answer_is_repeated_for_the_same_request(container: Container) -> None:
    request = {"inputs": "hello", "parameters": {"max_new_tokens": 6}}

    first = container.invoke(request)

    assert set(first) == {"generated_text"}
    assert container.invoke(request) == first


def test_details_count_the_tokens(container: Container) -> None:
    parameters = {"max_new_tokens": 5, "min_new_tokens": 5, "details": True}

    answer = container.invoke({"inputs": "hello", "parameters": parameters})

    assert answer["details"]["generated_tokens"] == len(answer["details"]["tokens"]) == 5
    assert answer["details"]["finish_reason"] == "length"


def test_a_stream_of_lines_ends_with_the_whole_text(container: Container) -> None:
    request = {"inputs": "hello", "parameters": {"max_new_tokens": 6, "min_new_tokens": 6}}
    status, content_type, body = container.request("POST", "/invocations", {**request, "stream": True})

    lines = [json.loads(line) for line in body.splitlines()]
    assert (status, content_type) == (200, "application/jsonlines")
    assert len(lines) == 6
    assert all("generated_text" not in line for line in lines[:-1])
    assert lines[-1]["generated_text"] == container.invoke(request)["generated_text"]


def test_chat_is_answered_in_openais_form_plain_and_streamed(container: Container) -> None:
    request = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 5}

    answer = container.invoke(request)
    status, content_type, body = container.request("POST", "/invocations", {**request, "stream": True})

    assert answer["object"] == "chat.completion"
    usage = answer["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    events = [event.removeprefix("data: ") for event in body.decode().split("\n\n") if event]
    assert (status, content_type, events[-1]) == (200, "text/event-stream", "[DONE]")
    chunks = [json.loads(event)["choices"][0] for event in events[:-1]]
    streamed = "".join(chunk["delta"].get("content", "") for chunk in chunks)
    assert streamed == answer["choices"][0]["message"]["content"]
    assert chunks[-1]["finish_reason"] == answer["choices"][0]["finish_reason"]


def test_a_refused_request_has_lmis_error_body_also_when_it_asked_for_a_stream(container: Container) -> None:
    for stream in (False, True):
        request = {"inputs": "x" * 1000, "stream": stream}

        status, content_type, body = container.request("POST", "/invocations", request)

        assert (status, content_type) == (424, "application/json")
        assert "tokens" in json.loads(body)["error"]


def test_a_browser_is_turned_away(container: Container) -> None:
    for headers in ({"Origin": "https://example.com"}, {"Host": "example.com"}):
        assert container.request("POST", "/invocations", {"inputs": "x"}, headers)[0] == 403


@pytest.fixture(scope="module")
def shards(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    shards = tmp_path_factory.mktemp("shards")
    fastload.shard_checkpoint(str(folder), str(shards))
    return shards


def test_both_paths_answer_alike_and_log_their_phases(
    container: Container, folder: Path, shards: Path, tmp_path: Path
) -> None:
    for path in folder.iterdir():
        if path.suffix != ".safetensors":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "serving.properties").write_text("option.load_format=sagemaker_fast_model_loader\n")
    request = {"inputs": "hello", "parameters": {"max_new_tokens": 6}}
    fast = launch(tmp_path, SM_FAST_MODEL_LOADER_S3_URI=str(shards))
    standard = launch(folder)
    try:
        for running in (fast, standard):
            running.wait_until_healthy()
        assert fast.invoke(request) == standard.invoke(request) == container.invoke(request)
    finally:
        logs = {"fast": fast.stop(), "standard": standard.stop()}

    assert phases(logs["fast"]) == ["container_start", "weights_stream", "engine_warmup"]
    expected = ["container_start", "weights_to_host", "weights_to_device", "engine_warmup"]
    assert phases(logs["standard"]) == expected
    for log in logs.values():
        assert log.startswith("INFO  ModelServer Starting model server ...\n")
        assert log.endswith("INFO  ModelServer Model [tiny] initialized.\n")


def phases(log: str) -> list[str]:
    line = re.compile(
        r"^INFO  PyProcess W-\d+-model-stdout: \[phase\] name=(\w+) start=(\d+\.\d{6}) end=(\d+\.\d{6})"
        r" bytes=(\d+) worker=\S+$",
        re.MULTILINE,
    )
    found = line.findall(log)
    assert all(float(start) <= float(end) for _, start, end, _ in found)
    return [name for name, *_ in found]


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"LOCALAWS_CONTAINER_FAULT": "container_exit"}, "container_exit"),
        ({"OPTION_DTYPE": "int3"}, "OPTION_DTYPE=int3"),
        ({"LOCALAWS_MODEL_DIR": "/nonexistent"}, "config"),
        ({"LOCALAWS_MODEL_DIR": "/nonexistent", "HF_MODEL_ID": "/absent"}, "holds no model"),
        ({"LOCALAWS_MODEL_DIR": "/nonexistent", "HF_MODEL_ID": "not//an id"}, "Hugging Face Hub"),
        ({"OPTION_LOAD_FORMAT": "sagemaker_fast_model_loader"}, "SM_FAST_MODEL_LOADER_S3_URI"),
        (
            {
                "OPTION_LOAD_FORMAT": "sagemaker_fast_model_loader",
                "SM_FAST_MODEL_LOADER_S3_URI": "/nonexistent",
            },
            "streaming the weights failed",
        ),
    ],
)
def test_a_container_that_cannot_serve_says_why_and_exits(
    folder: Path, environment: dict[str, str], says: str
) -> None:
    process = launch(folder, **environment).process

    log, _ = process.communicate(timeout=START_S)

    assert process.returncode == 1
    errors = [line for line in log.splitlines() if "model-stderr: ERROR" in line]
    assert len(errors) == 1
    assert says in errors[0]
    assert "Traceback" not in log


def test_a_health_check_fault_keeps_ping_failing_while_the_model_answers(folder: Path) -> None:
    sick = launch(folder, LOCALAWS_CONTAINER_FAULT="health_check")
    try:
        assert sick.process.stdout is not None
        assert any("initialized" in line for line in iter(sick.process.stdout.readline, ""))
        assert sick.request("GET", "/ping")[0] == 503
    finally:
        sick.stop()
