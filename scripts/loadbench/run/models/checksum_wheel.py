"""The package that computes S3's CRC32C and CRC64NVME, as the wheel that a container can install.

AWS's image of the vLLM server does not have it. It is fetched for that image, whatever machine this is: its
stable ABI fits every Python from 3.11 on.
"""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
import sys
from pathlib import Path

from loadbench.progress import OnProgress, Progress, ignore_progress
from loadbench.scratch import scratch_folder

REQUIREMENT = "awscrt==0.38.1"
_NAME = "awscrt-0.38.1-cp311-abi3-manylinux2014_x86_64.manylinux_2_17_x86_64.whl"
_SHA256 = "00de63a5a88d722cb7d515bbe35c1a723bd8d53a3bfcc2015bd57cc9ac6196b8"
_TIMEOUT_S = 120


def checksum_wheel(cache: Path, on_progress: OnProgress = ignore_progress) -> Path | None:
    """The wheel (4.4 MB), from the cache or the package index.

    None if the index cannot be reached or has another file: then the container's log says that checksums
    were not compared.
    """
    kept = cache / "wheels" / _NAME
    if not _is_right(kept):
        on_progress(Progress(f"downloading {REQUIREMENT} from the package index"))
        kept.parent.mkdir(parents=True, exist_ok=True)
        with scratch_folder(kept.parent) as folder:
            downloaded = folder / _NAME
            _download(folder)
            if not _is_right(downloaded):
                on_progress(Progress(f"no {REQUIREMENT}: CRC32C and CRC64NVME will not be compared"))
                return None
            downloaded.replace(kept)
    return kept


def _download(folder: Path) -> None:
    """Try to bring the wheel into a folder."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--disable-pip-version-check",
        "--no-input",
        "--quiet",
    ]
    command += [
        "--no-deps",
        "--only-binary=:all:",
        "--platform=manylinux2014_x86_64",
        "--python-version=3.11",
    ]
    command += ["--retries=1", "--dest", str(folder), REQUIREMENT]
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT_S, check=False
        )


def _is_right(path: Path) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == _SHA256
