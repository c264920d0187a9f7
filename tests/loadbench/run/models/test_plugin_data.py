"""fastload as a wheel: pip takes it, Python finds the entry point, and equal files give equal bytes."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from loadbench.run.models.plugin_data import build_wheel


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "requirements" / "fastload-0.1.0-py3-none-any.whl"
    path.parent.mkdir()
    path.write_bytes(build_wheel("0.1.0"))
    return path


def test_pip_installs_it_by_the_requirements_of_the_model_data_without_an_index(
    wheel: Path, tmp_path: Path
) -> None:
    (tmp_path / "requirements.txt").write_text("--no-index\nfastload==0.1.0\n")
    target = tmp_path / "site"
    # As standard-supervisor does.
    command = [sys.executable, "-m", "pip", "install", "-r", str(tmp_path / "requirements.txt"),
               "--find-links", str(wheel.parent), "--target", str(target)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    script = (
        "from importlib.metadata import entry_points\n"
        "found, = entry_points(group='vllm.general_plugins', name='fastload')\n"
        "print(found.load().__name__)\n"
        "import fastload; print(fastload.__file__)"
    )
    isolated = [sys.executable, "-S", "-c", f"import sys; sys.path.insert(0, {str(target)!r})\n{script}"]
    told = subprocess.run(isolated, capture_output=True, text=True, timeout=60, check=True).stdout.split()
    assert told[0] == "register"
    assert Path(told[1]).is_relative_to(target)


def test_its_line_at_pythons_start_does_nothing_without_a_location(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        line = archive.read("fastload_ahead.pth").decode()
    assert line.count("\n") == 1
    script = f"import sys\n{line}print('fastload' in sys.modules)"
    command = ["env", "-i", sys.executable, "-S", "-c", script]
    assert subprocess.check_output(command, text=True, timeout=60).strip() == "False"


def test_equal_files_give_equal_bytes(wheel: Path) -> None:
    assert build_wheel("0.1.0") == wheel.read_bytes()
