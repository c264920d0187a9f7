"""`daemon.json`: process and port of the server of a state folder."""

from __future__ import annotations

import json
from pathlib import Path

from ..errors import LocalAwsError


class DaemonFileError(LocalAwsError):
    """The file is damaged."""


def read_daemon_file(state_dir: Path) -> dict[str, int]:
    """The process id and the port. Raises FileNotFoundError, or DaemonFileError where it is damaged."""
    path = state_dir / "daemon.json"
    try:
        described = json.loads(path.read_bytes())
        pid, port = described["pid"], described["port"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged(path) from error
    if not _is_number(pid, 1 << 32) or not _is_number(port, 1 << 16):
        raise _damaged(path)
    return {"pid": pid, "port": port}


def _is_number(value: object, below: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < below


def _damaged(path: Path) -> DaemonFileError:
    return DaemonFileError(f"{path} is damaged; run `localaws down` and `localaws up`, which writes it again")
