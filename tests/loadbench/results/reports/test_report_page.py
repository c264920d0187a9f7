"""The report page in a real browser: quiet, self-contained, equal to comparison.json, usable at any width."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loadbench.results.comparison.compare import compare
from loadbench.results.reports import write_reports
from tests.loadbench.results.builders import (
    EPOCH_S,
    make_pairs,
    make_record,
    make_scale_out,
    seed_records,
)
from tests.loadbench.results.reports.browser import Browser

pytestmark = pytest.mark.browser

PAGES = {
    "pairs": [*make_pairs([1.31, 1.22, 1.4, 1.28, 1.35]), make_record("fast", number=9, status="failed")],
    "single": seed_records(),
    "failed": [make_record("standard"), make_record("fast", status="failed")],
}
SCALE_OUTS = {
    "pairs": [
        *(
            make_scale_out(run, number=n, ready_s=300.0 + 7 * n)
            for run in PAGES["pairs"][:2]
            for n in range(3)
        ),
        make_scale_out(PAGES["pairs"][1], number=9, status="failed", failed_requests=2),
    ],
    "single": [make_scale_out(PAGES["single"][0], ready_s=421.0)],
}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture(scope="module", params=list(PAGES))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp(request.param)
    scale_outs = SCALE_OUTS.get(request.param, [])
    write_reports(compare(PAGES[request.param], created_s=EPOCH_S + 9000, scale_outs=scale_outs), place)
    return place


_CARDS = ("a.time_to_ready.median", "b.time_to_ready.median", "estimate.ratio", "break_even.deployments")


def shown_at(figures: list[list[str]], path: str) -> str:
    """What the page shows for a path; a dash for a figure that is missing, nothing for a missing card."""
    missing = "" if path.startswith(("break_even", "estimate")) else "–"
    return next((shown for found, _, shown in figures if found == path), missing)


def at(document: Any, path: str) -> Any:
    for key in path.split("."):
        document = document[int(key)] if isinstance(document, list) else document[key]
    return document


def test_nothing_is_loaded_and_nothing_complains(browser: Browser, folder: Path) -> None:
    browser.console.clear()
    browser.requests.clear()
    browser.open(folder / "report.html", width=1200)
    assert browser.console == []
    assert [url for url in browser.requests if not url.startswith(("file:", "data:"))] == []


def test_every_figure_equals_comparison_json(browser: Browser, folder: Path) -> None:
    browser.open(folder / "report.html", width=1200)
    figures = browser.evaluate(
        "[...document.querySelectorAll('data[data-path]')].map(e => [e.dataset.path, e.value, e.innerText])"
    )
    document = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))
    assert len(figures) > 20
    for path, value, shown in figures:
        assert float(value) == at(document, path), path
        assert shown.strip(), path
    cards = browser.evaluate("[...document.querySelectorAll('.key .big')].map(e => e.innerText)")
    assert cards == [shown for path in _CARDS if (shown := shown_at(figures, path))]
    sentence = browser.evaluate("document.querySelector('h1').textContent").replace("\u00a0", " ")
    assert sentence == document["verdict"]["sentence"]
    page = browser.evaluate("document.body.innerText")
    for expected in [
        *document["warnings"],
        *(item["what"] for item in document["differences"]),
        *(run["run_id"] for side in ("a", "b") for run in document[side]["runs"]),
        *document["system"].values(),
        *document["commands"],
    ]:
        assert expected in page


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 768, 1200])
def test_nothing_overflows_and_text_can_be_read(
    browser: Browser, folder: Path, width: int, dark: bool
) -> None:
    browser.open(folder / "report.html", width=width, dark=dark)
    assert browser.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    # Every chart label keeps at least 8 CSS pixels after the chart is fitted to the page.
    smallest = browser.evaluate(
        """Math.min(99, ...[...document.querySelectorAll('svg.chart')].filter(s => s.checkVisibility())
           .flatMap(s => { const scale = s.getBoundingClientRect().width / s.viewBox.baseVal.width;
             return [...s.querySelectorAll('text')]
               .map(t => scale * parseFloat(getComputedStyle(t).fontSize)); }))"""
    )
    assert smallest >= 8
    # WCAG 1.4.3: contrast of text against what lies behind it, outside the charts.
    worst = browser.evaluate(_CONTRAST)
    assert worst[0] >= 4.5, worst


def test_a_screen_reader_finds_headings_tables_and_described_charts(browser: Browser, folder: Path) -> None:
    browser.open(folder / "report.html", width=1200)
    nodes = [
        node
        for node in browser.call("Accessibility.getFullAXTree")["nodes"]
        if not node.get("ignored", False)
    ]
    by_role: dict[str, list[str]] = {}
    for node in nodes:
        name = str(node.get("name", {}).get("value", ""))
        by_role.setdefault(str(node["role"]["value"]), []).append(name)
    assert "Phases" in by_role["heading"]
    assert len(by_role["main"]) == 1
    assert len(by_role["navigation"]) == 1
    images = by_role.get("image", []) + by_role.get("img", [])
    assert images
    assert all(len(name) > 20 for name in images)
    assert "standard" in by_role["columnheader"]
    assert "cold start" in by_role["rowheader"]


def test_the_keyboard_reaches_links_wide_tables_and_the_configuration(browser: Browser, folder: Path) -> None:
    browser.open(folder / "report.html", width=390)
    reached = set()
    for _ in range(60):
        for kind in ("keyDown", "keyUp"):
            browser.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        reached.add(
            browser.evaluate(
                "(e => e.getAttribute('aria-label') || e.innerText.slice(0, 30))(document.activeElement)"
            )
        )
    assert {"Skip to the figures", "Timeline", "Phases", "Runs", "Configuration", "Commands"} <= reached


def test_scale_outs_are_shown_with_their_requests_and_reasons(browser: Browser, folder: Path) -> None:
    section = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))["scale_out"]
    browser.open(folder / "report.html", width=1200)
    found = browser.evaluate("document.querySelector('#scale-out')?.innerText ?? null")
    if section is None:
        assert found is None
        return
    assert section["sentence"] in found
    for run in (run for side in ("a", "b") for run in section[side]["runs"]):
        assert run["run_id"] in found
        assert (run["failure"] or "") in found
    drawn = browser.evaluate("document.querySelectorAll('#scale-out svg .ready').length")
    assert drawn == 2 * sum(bool(section[side]["shown"]) for side in ("a", "b"))  # wide and narrow


def test_the_charts_change_layout_with_the_width(browser: Browser, folder: Path) -> None:
    visible = """[...document.querySelectorAll('#points svg')].filter(s => s.checkVisibility())
        .map(s => s.classList[1])"""
    browser.open(folder / "report.html", width=1200)
    assert set(browser.evaluate(visible)) == {"wide"}
    browser.open(folder / "report.html", width=390)
    assert set(browser.evaluate(visible)) == {"narrow"}


def test_curves_of_both_sides_share_a_chart_and_a_single_point_is_no_curve(
    browser: Browser, folder: Path
) -> None:
    browser.open(folder / "report.html", width=1200)
    curves = browser.evaluate(
        """[...document.querySelectorAll('.curves figure')].map(f =>
           [f.querySelector('figcaption').innerText, f.querySelectorAll('polyline').length])"""
    )
    sides = sum(
        bool(json.loads((folder / "comparison.json").read_text())[side]["shown"]) for side in ("a", "b")
    )
    assert curves == [
        [name, sides] for name in ("CPU seconds", "Memory bytes", "Disk write bytes", "Network receive bytes")
    ]


def test_a_chart_stands_alone_as_a_file(browser: Browser, folder: Path) -> None:
    browser.console.clear()
    for file in (folder / "charts").iterdir():
        browser.open(file, width=1000)
        assert browser.evaluate("document.documentElement.tagName") == "svg"
    assert browser.console == []


_CONTRAST = """(() => {
  const light = c => { const [r, g, b] = c.match(/[\\d.]+/g).map(Number).map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
    if (!/, 0\\)$/.test(c) && c !== 'transparent') return c; } return 'rgb(255,255,255)'; };
  let worst = [99, ''];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let n = walker.nextNode(); n; n = walker.nextNode()) {
    const e = n.parentElement;
    if (!n.data.trim() || e.closest('svg') || !e.checkVisibility()) continue;
    const [a, b] = [light(getComputedStyle(e).color), light(behind(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < worst[0]) worst = [ratio, n.data.trim().slice(0, 40)];
  }
  return worst; })()"""
