"""The probe in a Python of its own: what it notes, and that breaking it changes no start."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from loadbench.run.observe.lines import LogLine
from loadbench.run.observe.probe_lines import find_probe
from loadbench.run.start_probe import delivery

PROBE = Path(delivery.__file__).with_name("sitecustomize.py")
# Stands for an image's packages: a heavy import, and the functions that the probe watches.
TORCH = "import time\ntime.sleep(0.05)\nVALUE = 42\n"
WEIGHTS = "def safetensors_weights_iterator(files):\n    '''Its text.'''\n    yield from files\n"
RUNNER = "class GPUModelRunner:\n    def _dummy_run(self, tokens):\n        return tokens + 1\n"
SERVER = """
import torch
from vllm.model_executor.model_loader.weight_utils import safetensors_weights_iterator
from vllm.v1.worker.gpu_model_runner import GPUModelRunner
print(list(safetensors_weights_iterator(["a", "b"])), GPUModelRunner()._dummy_run(1), torch.VALUE)
print(safetensors_weights_iterator.__name__, safetensors_weights_iterator.__doc__)
GPUModelRunner()._dummy_run(2)
"""
SAID = "['a', 'b'] 2 42\nsafetensors_weights_iterator Its text.\n"


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    folder = tmp_path / "packages"
    for name, text in (
        ("torch", TORCH),
        ("vllm/model_executor/model_loader/weight_utils", WEIGHTS),
        ("vllm/v1/worker/gpu_model_runner", RUNNER),
    ):
        file = folder / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return folder


def run(packages: Path, probe: str | None, program: str = SERVER) -> subprocess.CompletedProcess[str]:
    """The program with this text as the probe, None for none."""
    folder = packages.parent / "probe"
    folder.mkdir(exist_ok=True)
    if probe is not None:
        (folder / "sitecustomize.py").write_text(probe, encoding="utf-8")
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{folder}:{packages}"}
    command = [sys.executable, "-c", textwrap.dedent(program)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def logged(text: str) -> list[LogLine]:
    return [LogLine(0.0, "s", line) for line in text.splitlines()]


def test_a_start_is_noted_once_per_process_and_the_program_is_as_before(packages: Path) -> None:
    done = run(packages, PROBE.read_text(encoding="utf-8"))
    assert (done.returncode, done.stdout) == (0, SAID), done.stderr
    events = [line.split()[1].removeprefix("event=") for line in done.stderr.splitlines()]
    # vllm is a namespace package here, which no loader executes.
    assert events == ["process", "import", "first_weight", "first_forward"]
    found = find_probe(logged(done.stderr))
    assert found is not None
    assert found.processes == 1
    assert None not in (found.first_weight_s, found.first_forward_s)


def test_a_process_that_imports_nothing_heavy_writes_nothing(packages: Path) -> None:
    done = run(packages, PROBE.read_text(encoding="utf-8"), "import json; print(1)")
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")


def test_an_import_that_fails_fails_as_without_the_probe(packages: Path) -> None:
    (packages / "torch.py").write_text("raise ImportError('no CUDA')\n", encoding="utf-8")
    with_probe, without = (run(packages, probe) for probe in (PROBE.read_text(encoding="utf-8"), None))
    assert with_probe.returncode == without.returncode == 1
    assert with_probe.stderr.splitlines()[-1] == without.stderr.splitlines()[-1] == "ImportError: no CUDA"


# One way of breaking each part: what is replaced in its text, and by what.
BROKEN = {
    "the line": ("words = ", "raise OSError('full'); words = "),
    "standard error": ("os.write(2,", "os.write(99,"),
    "the process's begin": ("ticks = ", "raise ValueError('no /proc'); ticks = "),
    "the finder": ("for finder in sys.meta_path:", "for finder in [object()]:"),
    "the loader": ("execute = loader.exec_module", "execute = loader.nothing"),
    "the functions": ("*owners, attribute = path.split", "*owners, attribute = path.nothing"),
    "the begin": ("sys.meta_path.insert(0, _Finder())", "sys.nothing"),
    "the other module": ("from importlib.machinery import PathFinder", "from nothing import PathFinder"),
}


@pytest.mark.parametrize("part", BROKEN)
def test_no_error_of_the_probe_reaches_a_start(packages: Path, part: str) -> None:
    before, after = BROKEN[part]
    text = PROBE.read_text(encoding="utf-8")
    assert before in text
    done = run(packages, text.replace(before, after))
    assert (done.returncode, done.stdout) == (0, SAID), done.stderr
    assert "Traceback" not in done.stderr


def test_a_version_with_other_names_is_started_and_only_these_lines_are_missing(packages: Path) -> None:
    (packages / "vllm/v1/worker/gpu_model_runner.py").write_text(
        RUNNER.replace("_dummy_run", "_profile"), encoding="utf-8"
    )
    done = run(packages, PROBE.read_text(encoding="utf-8"), SERVER.replace("_dummy_run", "_profile"))
    assert (done.returncode, done.stdout) == (0, SAID), done.stderr
    assert "first_forward" not in done.stderr
    assert "first_weight" in done.stderr


def test_a_sitecustomize_of_the_image_is_executed_too(packages: Path) -> None:
    (packages / "sitecustomize.py").write_text("import os\nos.environ['IMAGE'] = 'own'\n", encoding="utf-8")
    program = "import os, sitecustomize, torch; print(os.environ['IMAGE'], sitecustomize.__file__)"
    done = run(packages, PROBE.read_text(encoding="utf-8"), program)
    assert done.stdout == f"own {packages / 'sitecustomize.py'}\n", done.stderr
    assert "event=import" in done.stderr


def test_it_is_a_few_kilobytes_without_imports_beyond_the_standard_library() -> None:
    assert PROBE.stat().st_size < 8000
    imports = [line for line in PROBE.read_text(encoding="utf-8").splitlines() if line.startswith("import ")]
    assert imports == ["import os", "import sys", "import time"]
