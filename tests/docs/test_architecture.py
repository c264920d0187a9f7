"""The architecture page names every module once, so that a newcomer finds its place there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ROOT / "scripts"
# Folders in which one file is one format, loader or operation: the page names the folder.
FOLDERS = (
    *("loadbench/cli", "loadbench/results/reports", "localaws/container"),
    *("localaws/services/s3", "localaws/services/sagemaker"),
)


def test_every_module_is_named_on_the_architecture_page() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(?:[\w/]*/)?(\w+\.py)`", page))
    missing = [
        name
        for file in sorted(PACKAGES.rglob("*.py"))
        if not file.name.startswith("__")
        and not (name := str(file.relative_to(PACKAGES))).startswith(FOLDERS)
        and file.name not in named
    ]
    assert missing == [], "name them in docs/architecture.md"
