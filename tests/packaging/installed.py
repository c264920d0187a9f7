"""The wheel in a virtual environment of its own, from which no checkout can be reached.

Only the project itself is installed anew. Its dependencies are those of this environment (a full installation
is 2 GB and minutes); they come in by a path file, and Python processes no path file that lies behind one, so
the checkout's own does not come with them.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_TIMEOUT_S = 120


def install_wheel(folder: Path) -> Path:
    """Build the wheel and install it below `folder`; returns that environment's Python."""
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    wheels, venv = folder / "wheels", folder / "venv"
    python = venv / "bin" / "python"
    _run(*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(ROOT))
    _run(sys.executable, "-m", "venv", "--without-pip", str(venv))
    (wheel,) = wheels.glob("*.whl")
    _run(*pip, "--python", str(python), "install", "--no-deps", str(wheel))
    (site,) = venv.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return python


def assets(python: Path) -> dict[Path, bytes]:
    """What the wheel has brought beside its code."""
    (folder,) = python.parents[1].glob("lib/python*/site-packages/loadbench/assets")
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def _run(*command: str) -> None:
    subprocess.run(command, check=True, timeout=_TIMEOUT_S)
