"""Cited pages and headings exist; code and pages cite nothing outside the repository."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.docs.readme import ROOT

FACTS = sorted((ROOT / "docs" / "facts").glob("*.md"))
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("terraform/modules/*/*.md")])
# What cites pages by their path from the root.
CODE = ("scripts", "tests", "terraform", "templates")
SUFFIXES = {".py", ".tf", ".hcl", ".j2", ".toml", ".md", ".yaml", ".json"}

_CITATION = re.compile(r"(?<![\w/.-])docs/(?P<page>[\w/-]+\.md)(?:#(?P<heading>[\w-]+))?")
_LINK = re.compile(r"\]\((?P<page>[^)#\s]*)#(?P<heading>[^)\s]+)\)")
_OUTSIDE = {
    "a page of facts that is not in docs": re.compile(r"(?<!docs/)\bfacts/\w"),
    "a folder outside the repository": re.compile(r"\.\./shared"),
    "the number of an issue": re.compile(r"\bissues? #?[0-9]", re.IGNORECASE),
}


def code_files() -> Iterator[Path]:
    """Every text file of the code; folders with a dot (Terraform's, caches) are left out."""
    yield ROOT / "Makefile"
    for folder in CODE:
        for path in sorted((ROOT / folder).rglob("*")):
            hidden = any(part.startswith(".") for part in path.relative_to(ROOT).parent.parts)
            if path.suffix in SUFFIXES and not hidden:
                yield path


@cache
def headings(page: Path) -> frozenset[str]:
    """The anchors that GitHub gives to a page's headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    seen: Counter[str] = Counter()
    anchors = set()
    for title in re.findall(r"^#{1,6} +(.+?) *#*$", text, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title)
        anchor = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        anchors.add(f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor)
        seen[anchor] += 1
    return frozenset(anchors)


def test_code_cites_pages_and_headings_that_exist() -> None:
    cited, wrong = 0, []
    for path in code_files():
        for found in _CITATION.finditer(path.read_text(encoding="utf-8")):
            cited += 1
            page = ROOT / "docs" / found["page"]
            if not page.is_file() or (found["heading"] and found["heading"] not in headings(page)):
                wrong.append(f"{path.relative_to(ROOT)}: {found[0]}")
    assert not wrong
    assert cited > 40


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_headings_that_exist(page: Path) -> None:
    wrong = []
    for found in _LINK.finditer(page.read_text(encoding="utf-8")):
        target = (page.parent / found["page"]).resolve() if found["page"] else page
        if "://" not in found["page"] and found["heading"] not in headings(target):
            wrong.append(found[0])
    assert not wrong


def test_nothing_outside_the_repository_is_cited() -> None:
    wrong = []
    for path in [*code_files(), *(page for page in PAGES if page not in FACTS)]:
        text = path.read_text(encoding="utf-8")
        for what, pattern in _OUTSIDE.items():
            # A page's link to a page of facts is relative; the tests of links check it.
            if path.suffix == ".md" and "facts" in what:
                continue
            wrong += [f"{path.relative_to(ROOT)}: {what}: {found[0]}" for found in pattern.finditer(text)]
    assert not wrong


@pytest.mark.parametrize("page", FACTS, ids=lambda page: page.name)
def test_every_fact_has_a_source_a_date_and_a_tag(page: Path) -> None:
    wrong = []
    for table in re.findall(
        r"^\| fact \| source \| checked \| tag \|\n\|[-|]+\|\n((?:\|.*\n)+)", page.read_text("utf-8"), re.M
    ):
        for row in table.splitlines():
            fact, source, checked, tag = row.strip("| ").split(" | ")
            dated = re.fullmatch(r"20\d\d-\d\d-\d\d", checked)
            if not (fact and source and dated and tag in ("seen", "read", "inferred")):
                wrong.append(row)
    assert not wrong


def test_headings_are_those_of_github(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A: `b_c`, (d)\n## vLLM's own\n## [Linked](x.md) one\n## Twice\n## Twice\n```\n# no\n```\n"
    )
    assert headings(page) == {"a-b_c-d", "vllms-own", "linked-one", "twice", "twice-1"}
