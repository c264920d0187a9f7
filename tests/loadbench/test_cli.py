"""The command line: quick help, near misses, one message and an exit code for every error."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def loadbench(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from loadbench.cli import main; main()", *arguments],
        cwd=home,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_help_imports_nothing_heavy() -> None:
    heavy = "boto3 botocore torch rich jinja2 pydantic sagemaker.core"
    script = f"import sys, loadbench.cli; print([name for name in {heavy.split()} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["compair"], "Did you mean 'compare'"),
        (["run", "fastest"], "'standard', 'fast'"),
        (["run", "fast", "--config", "absent.yaml"], "absent.yaml"),
        (["compare", "no-such-run"], "no-such-run"),
        (["report"], "make compare"),
        (["report", "no-such-comparison"], "no-such-comparison"),
    ],
)
def test_a_wrong_call_ends_in_2_with_one_message(tmp_path: Path, arguments: list[str], words: str) -> None:
    done = loadbench(*arguments, home=tmp_path)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
