"""Pages name files and link to pages that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
# The page gives paths from these folders.
PLACES = [ROOT, *(ROOT / name for name in ("terraform", "tests", "scripts"))]
PLACES += [path for path in (ROOT / "scripts").rglob("*") if path.is_dir()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    broken = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not broken


def test_every_file_that_the_map_names_exists() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"`([\w./-]+(?:\.py|\.md|\.toml|/))`", page)
    assert len(named) > 40
    # Folders that a run makes are described, not shipped.
    missing = [
        name
        for name in named
        if not name.startswith("results/comparison") and not any((place / name).exists() for place in PLACES)
    ]
    assert not missing
