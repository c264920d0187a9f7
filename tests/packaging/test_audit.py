"""`make audit` tells clean from found from not looked at; stand-ins answer as the two tools do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / ".ci" / "audit.py"
CLEAN = {"name": "click", "version": "8.5.1", "vulns": []}
KNOWN = {"name": "click", "version": "8.5.1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["8.6"]}]}
UNKNOWN = {"name": "click", "skip_reason": "Dependency not found on PyPI"}


def audit(folder: Path, *, checkov: int, packages: list[object] | None) -> tuple[int, str]:
    """Run the script beside stand-ins; `packages` None: pip-audit writes no answer, as without a network."""
    (folder / "python").symlink_to(sys.executable)
    answer = "" if packages is None else json.dumps({"dependencies": packages, "fixes": []})
    programs = {
        "checkov": f"raise SystemExit({checkov})",
        "pip-audit": f"""
import sys
answer = {answer!r}
if not answer:
    sys.exit("ERROR: connection failed")
open(sys.argv[sys.argv.index("--output") + 1], "w").write(answer)
""",
    }
    for name, text in programs.items():
        (folder / name).write_text(f"#!{sys.executable}\n{text}")
        (folder / name).chmod(0o755)
    done = subprocess.run(
        [str(folder / "python"), str(SCRIPT)], capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("checkov", "packages", "code", "words"),
    [
        (0, [CLEAN], 0, "1 of 1 packages audited, 0 known problems"),
        (1, [CLEAN], 1, "0 known problems"),
        (0, [CLEAN, KNOWN], 1, "click 8.5.1: PYSEC-1, fixed in 8.6"),
        (0, None, 2, "NOT AUDITED: the dependencies could not be looked up: ERROR: connection failed"),
        (0, [CLEAN, UNKNOWN], 2, "no entry for 1 of 2: click"),
        (1, None, 1, "NOT AUDITED"),
        (0, [KNOWN, UNKNOWN], 1, "PYSEC-1"),
    ],
)
def test_the_exit_code_tells_what_was_found(
    tmp_path: Path, checkov: int, packages: list[object] | None, code: int, words: str
) -> None:
    found, text = audit(tmp_path, checkov=checkov, packages=packages)
    assert found == code, text
    assert words in text
