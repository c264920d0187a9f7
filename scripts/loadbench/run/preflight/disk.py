"""Checks the folders that a run writes to: a full or read-only disk would end it when it already
costs money.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from loadbench.errors import storage_error
from loadbench.run.preflight.check_result import Check, CheckContext
from loadbench.workspace import Workspace

# State, record and logs of one run take about 0.3 MB, without the weights.
_NEEDED_BYTES = 1 << 20


def writable(_: CheckContext) -> Iterator[Check]:
    """There is disk space in `results/` and `.loadbench/`."""
    workspace = Workspace.here()
    problems = list(filter(None, map(_problem, (workspace.results_dir, workspace.private_dir))))
    yield from problems or [Check("disk", "ok", f"{workspace.home} can be written")]


def _problem(folder: Path) -> Check | None:
    while not folder.exists():  # a check creates nothing; the folder will be on its parent's disk
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            written = sum(file.write(bytes(1 << 16)) for _ in range(_NEEDED_BYTES >> 16))
    except OSError as error:
        known = storage_error(error)
        return Check(
            "disk", "failure", f"{folder} cannot be written: {error.strerror}", known.remedy if known else ""
        )
    if written < _NEEDED_BYTES:
        return Check(
            "disk", "failure", f"{folder} has less than 1 MB of free space", "Free space on that disk."
        )
    return None
