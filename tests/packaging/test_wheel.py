"""The wheel, installed where no checkout is: an empty folder, `loadbench init`, `loadbench compare`.

Only the project itself is installed anew. Its dependencies are those of this environment (a full installation
is 2 GB and minutes); they come in by a path file, and Python processes no path file that lies behind one, so
the checkout's own does not come with them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from loadbench.paths import COMPARED

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 280
# Small, so that the verbs are what takes the time.
MODEL = "synthetic:llama-tiny"


@dataclass(frozen=True)
class Installed:
    """A virtual environment with the wheel, and an empty folder to work in."""

    venv: Path
    home: Path

    def run(self, *command: str, exit_code: int = 0) -> str:
        done = subprocess.run(
            [str(self.venv / "bin" / command[0]), *command[1:]],
            cwd=self.home,
            env={
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("AWS_", "PYTHON", "VIRTUAL_ENV", "LOADBENCH_"))
            },
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert done.returncode == exit_code, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    folder = tmp_path_factory.mktemp("installed")
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    venv = folder / "venv"
    wheels = folder / "wheels"
    for command in (
        (*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(ROOT)),
        (sys.executable, "-m", "venv", "--without-pip", str(venv)),
    ):
        subprocess.run(command, check=True, timeout=120)
    (wheel,) = wheels.glob("*.whl")
    install = (*pip, "--python", str(venv / "bin" / "python"), "install", "--no-deps", str(wheel))
    subprocess.run(install, check=True, timeout=120)
    (site,) = venv.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    for file in site.rglob("loadbench/assets/**/*"):
        file.chmod(file.stat().st_mode & ~0o222)
    home = folder / "home"
    home.mkdir()
    place = Installed(venv, home)
    yield place
    if (home / "config.yaml").exists():
        place.run("loadbench", "local", "down")


def test_nothing_of_the_checkout_is_importable(installed: Installed) -> None:
    script = """
import json, sys, loadbench, localaws, fastload
from loadbench.workspace import Workspace
files = [loadbench.__file__, localaws.__file__, fastload.__file__, str(Workspace.here().assets)]
print(json.dumps({"files": files, "path": sys.path}))
"""
    found = json.loads(installed.run("python", "-c", script))
    assert all(Path(file).is_relative_to(installed.venv) for file in found["files"])
    assert not any(Path(entry).resolve() == ROOT / "scripts" for entry in found["path"])


def test_the_folder_is_made_once(installed: Installed) -> None:
    assert "loadbench compare" in installed.run("loadbench", "init")
    assert {file.name for file in installed.home.iterdir()} >= {
        "config.yaml",
        "config.aws.yaml",
        ".gitignore",
    }
    (installed.home / "config.aws.yaml").write_text("mine")
    refused = installed.run("loadbench", "init", exit_code=2)
    assert "config.yaml, config.aws.yaml, .gitignore" in refused
    assert (installed.home / "config.aws.yaml").read_text() == "mine"


def test_compare_runs_to_the_end_and_destroy_leaves_nothing(installed: Installed) -> None:
    if not (installed.home / "config.yaml").exists():
        installed.run("loadbench", "init")
    before = {file: file.read_bytes() for file in installed.venv.glob("lib/*/*/loadbench/assets/**/*.*")}
    assert any(file.name == ".terraform.lock.hcl" for file in before)
    models = [
        f"--set={section}.hf_model_id={MODEL}"
        for section in ("standard_deployment_info", "fast_model_loading_info")
    ]
    installed.run("loadbench", "compare", *models)
    records = [json.loads(file.read_text()) for file in (installed.home / "results").glob("*/run.json")]
    assert sorted(record["path"] for record in records) == sorted(COMPARED)
    assert {record["status"] for record in records} == {"succeeded"}
    assert list((installed.home / "results").glob("comparison-*/report.html"))
    assert "Nothing of this project is left" in installed.run("loadbench", "destroy")
    after = {file: file.read_bytes() for file in installed.venv.glob("lib/*/*/loadbench/assets/**/*.*")}
    assert after == before, "Terraform writes nothing into the package"
