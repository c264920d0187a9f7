"""fastload as a wheel: pip takes it, Python finds the entry point, and equal files give equal bytes."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from loadbench.progress import Progress
from loadbench.run.models import checksum_wheel
from loadbench.run.models.plugin_data import build_wheel, write_plugin


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "fastload-0.1.0-py3-none-any.whl"
    path.write_bytes(build_wheel("0.1.0"))
    return path


def other_wheel(folder: Path) -> Path:
    """What is asked for beside fastload, without its 12 MB."""
    path, information = folder / "awscrt-0.38.1-py3-none-any.whl", "awscrt-0.38.1.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("awscrt/__init__.py", "")
        archive.writestr(f"{information}/METADATA", "Metadata-Version: 2.1\nName: awscrt\nVersion: 0.38.1\n")
        archive.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{information}/RECORD", "")
    return path


@pytest.mark.parametrize("with_checksums", [True, False])
def test_pip_installs_it_by_the_requirements_of_the_model_data_without_an_index(
    tmp_path: Path, with_checksums: bool
) -> None:
    folder, target = tmp_path / "model", tmp_path / "site"
    folder.mkdir()
    write_plugin(folder, other_wheel(tmp_path) if with_checksums else None)
    # As standard-supervisor does.
    command = [sys.executable, "-m", "pip", "install", "-r", str(folder / "requirements.txt"),
               "--find-links", str(folder / "requirements"), "--target", str(target)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    script = (
        "from importlib.metadata import entry_points\n"
        "found, = entry_points(group='vllm.general_plugins', name='fastload')\n"
        "print(found.load().__name__)\n"
        "import fastload; print(fastload.__file__)"
    )
    isolated = [sys.executable, "-S", "-c", f"import sys; sys.path.insert(0, {str(target)!r})\n{script}"]
    reported = subprocess.run(isolated, capture_output=True, text=True, timeout=60, check=True).stdout.split()
    assert reported[0] == "register"
    assert Path(reported[1]).is_relative_to(target)
    assert (target / "awscrt").exists() == with_checksums


def test_its_line_at_pythons_start_does_nothing_without_a_location(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        line = archive.read("fastload_ahead.pth").decode()
    assert line.count("\n") == 1
    script = f"import sys\n{line}print('fastload' in sys.modules)"
    command = ["env", "-i", sys.executable, "-S", "-c", script]
    assert subprocess.check_output(command, text=True, timeout=60).strip() == "False"


def test_equal_files_give_equal_bytes(wheel: Path) -> None:
    assert build_wheel("0.1.0") == wheel.read_bytes()


def test_the_wheel_for_checksums_is_kept_and_only_the_pinned_file_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # nobody there
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "http://127.0.0.1:9/simple")
    said: list[Progress] = []
    kept = tmp_path / "wheels" / checksum_wheel._NAME
    kept.parent.mkdir()
    kept.write_bytes(b"another file")
    assert checksum_wheel.checksum_wheel(tmp_path, said.append) is None
    assert "will not be compared" in said[-1].label
    monkeypatch.setattr(checksum_wheel, "_SHA256", hashlib.sha256(b"another file").hexdigest())
    assert checksum_wheel.checksum_wheel(tmp_path) == kept
