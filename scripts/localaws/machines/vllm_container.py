"""Runs AWS's image of the vLLM server with the real vLLM from an environment on this machine.

It runs the image's own programs: `standard-supervisor`, which installs the model folder's `requirements.txt`,
then vLLM's API server (docs/facts/vllm.md#sagemaker-image). An image is an environment: each container gets a
thin virtual environment over the engine's, so that what it installs is gone with it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MODEL_FOLDER = "/opt/ml/model"
_PREFIX = "SM_VLLM_"
# What the same server needs here, unless it was set: without a GPU, without a compiler, and with an S3 whose
# buckets have no host names.
_ON_THIS_MACHINE = {"VLLM_CPU_KVCACHE_SPACE": "1", "RUNAI_STREAMER_S3_USE_VIRTUAL_ADDRESSING": "0"}
_EAGER = "ENFORCE_EAGER"
_QUIET = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}


@dataclass(frozen=True)
class Start:
    """What to run, and with which variables besides those of the machine."""

    command: list[str]
    environment: dict[str, str]
    engine: str
    """Which engine this is, for the log: `name=vllm version=0.32.0`."""


def prepare(
    engine: Path, root: Path, model_dir: Path, environment: Mapping[str, str], port: int, inherited_path: str
) -> Start:
    """Make the container's environment below `root`. Raises OSError if the engine's is not there."""
    packages = next((engine / "lib").glob("python3.*/site-packages"))
    overlay = root / "venv"
    _make_overlay(engine, packages, overlay)
    server = ["python3", "-m", "vllm.entrypoints.openai.api_server", "--host", "127.0.0.1"]
    command = [
        *(sys.executable, "-m", "localaws.container.init"),
        *(str(engine / "bin" / "standard-supervisor"), *server, "--port", str(port)),
        *arguments(environment, model_dir),
    ]
    variables = {
        name: in_model_folder(value, model_dir)
        for name, value in environment.items()
        if name != "PYTHONPATH"  # the machine's environment has it, translated
    }
    own = {
        "PATH": f"{overlay / 'bin'}:{engine / 'bin'}:{inherited_path}",
        "SAGEMAKER_MODEL_PATH": str(model_dir),
        "SUPERVISOR_CONFIG_PATH": str(root / "supervisord.conf"),
        "SUPERVISOR_SUPERVISORD_PIDFILE": str(root / "supervisord.pid"),
    }
    return Start(
        command, _ON_THIS_MACHINE | _QUIET | variables | own, f"name=vllm version={_version(packages)}"
    )


def arguments(environment: Mapping[str, str], model_dir: Path) -> list[str]:
    """vLLM's arguments, as the image's entry makes them of `SM_VLLM_*`; and eager mode, for a CPU."""
    values = {
        name.removeprefix(_PREFIX): value for name, value in environment.items() if name.startswith(_PREFIX)
    }
    if not values.get("MODEL"):
        has_model = (model_dir / "config.json").exists()
        values["MODEL"] = MODEL_FOLDER if has_model else environment.get("HF_MODEL_ID", MODEL_FOLDER)
    values.setdefault(_EAGER, "true")
    found: list[str] = []
    for name, value in sorted(values.items()):
        if value.lower() == "false":
            continue
        found.append(f"--{name.lower().replace('_', '-')}")
        if value and value.lower() != "true":
            found.append(in_model_folder(value, model_dir))
    return found


def in_model_folder(value: str, model_dir: Path) -> str:
    """The path of the model folder, or in it, as it is here: without root nothing can be at /opt/ml/model."""
    if value.rstrip("/") == MODEL_FOLDER:
        return str(model_dir)
    inner = value.removeprefix(f"{MODEL_FOLDER}/")
    return value if inner == value else str(model_dir / inner)


def python_path(wanted: str, inherited: str | None, model_dir: Path) -> str:
    """The container's PYTHONPATH; what this machine's own programs need comes last."""
    own = [in_model_folder(folder, model_dir) for folder in wanted.split(":")]
    return ":".join(filter(None, [*own, inherited]))


def _make_overlay(engine: Path, packages: Path, overlay: Path) -> None:
    """A virtual environment whose packages are the engine's until something is installed into it."""
    own = overlay / packages.relative_to(engine)
    own.mkdir(parents=True)
    (overlay / "bin").mkdir()
    for name in ("python", "python3"):
        (overlay / "bin" / name).symlink_to((engine / "bin" / "python").resolve())
    (overlay / "pyvenv.cfg").write_text((engine / "pyvenv.cfg").read_text(encoding="utf-8"), encoding="utf-8")
    # As site-packages, not only as a path: the engine's own .pth files count too.
    line = f"import site; site.addsitedir({str(packages)!r})\n"
    (own / "engine.pth").write_text(line, encoding="utf-8")


def _version(packages: Path) -> str:
    found = next(packages.glob("vllm*.dist-info"), None)
    return found.name.removesuffix(".dist-info").rpartition("-")[2] if found else "unknown"
