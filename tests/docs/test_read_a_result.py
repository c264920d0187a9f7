"""docs/read-a-result.md explains every row that a comparison shows, by the very words of the row."""

from __future__ import annotations

import re

from rich.console import Console

from loadbench.results import formatting
from loadbench.results.comparison.compare import compare
from loadbench.results.reports import html
from loadbench.results.reports.terminal import print_comparison
from loadbench.results.timeline import PHASES
from tests.docs.readme import ROOT
from tests.loadbench.results.builders import EPOCH_S, make_pairs

PAGE = ROOT / "docs" / "read-a-result.md"
# The first cell of every row of its tables.
EXPLAINED = {
    cell.strip().strip("*") for cell in re.findall(r"^\|([^|]+)\|", PAGE.read_text(encoding="utf-8"), re.M)
}
COMPARISON = compare(make_pairs([1.31, 1.22, 1.4]), created_s=EPOCH_S + 9000)


def test_every_phase_is_explained() -> None:
    assert {formatting.name(name) for name in PHASES} - EXPLAINED == set()


def test_every_row_of_the_terminal_is_explained() -> None:
    console = Console(width=100, force_terminal=False)
    with console.capture() as captured:
        print_comparison(COMPARISON, console, every_row=True)
    table = re.split(r"difference +ratio|Phases are means", captured.get())[1]
    labels = {line[:25].strip() for line in table.splitlines()[1:]} - {""}
    assert len(labels) > 15
    assert labels - EXPLAINED == set()


def test_every_row_of_the_page_is_explained() -> None:
    page = html.render(COMPARISON)
    labels = {label.strip() for label in re.findall(r'<th scope="row">([^<]+)</th>', page)}
    labels -= {run.run_id for side in (COMPARISON.a, COMPARISON.b) for run in side.runs}
    labels -= {item.what for item in COMPARISON.differences}
    assert len(labels) > 20
    assert labels - EXPLAINED == set()


def test_the_page_and_the_readme_lead_there() -> None:
    assert "read-a-result.md" in html.render(COMPARISON)
    assert "docs/read-a-result.md" in (ROOT / "README.md").read_text(encoding="utf-8")
