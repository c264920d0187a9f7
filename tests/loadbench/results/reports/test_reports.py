"""Every format says what the comparison says."""

from __future__ import annotations

import csv
import html.parser
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from loadbench.results import formatting
from loadbench.results.comparison.compare import compare
from loadbench.results.comparison.model import Comparison, load_comparison
from loadbench.results.reports import csv as raw_csv
from loadbench.results.reports import html as report_page
from loadbench.results.reports import markdown, starts_screen, text, write_reports, write_run_files
from loadbench.results.reports.terminal import print_comparison
from loadbench.results.run_record import RunRecord, save_record
from loadbench.results.timeline import Span
from tests.loadbench.results.builders import EPOCH_S, make_pairs, make_record, seed_records


def of(records: list[RunRecord]) -> Comparison:
    return compare(records, created_s=EPOCH_S + 9000)


def hostile_records() -> list[RunRecord]:
    """Names as long and as awkward as the models allow."""
    records = []
    for record in make_pairs([1.3, 0.4, 25.0]):
        record.model.model_id = '<script>alert("x")</script>|*_`' + "m" * 80
        record.configuration["note"] = "</pre><img src=x>"
        record.system["revision"] = "r" * 200
        records.append(record)
    records.append(make_record("fast", number=77, status="failed"))
    for record in records:
        if record.path == "fast":
            record.path = "fast|**<b>"
    return records


@pytest.mark.parametrize("records", [seed_records(), make_pairs([1.3, 1.2, 1.35]), hostile_records()])
def test_the_terminal_table_fits_100_columns_without_escapes(records: list[RunRecord]) -> None:
    lines = text.render(of(records)).splitlines()
    assert max(map(len, lines)) <= 100
    assert not re.search("\x1b", "".join(lines))


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_table_keeps_its_figures_on_terminals_of_any_width(width: int) -> None:
    buffer = io.StringIO()
    print_comparison(
        of(seed_records()), Console(file=buffer, force_terminal=True, no_color=True, width=width)
    )
    lines = re.sub("\x1b\\[[0-9;]*m", "", buffer.getvalue()).splitlines()
    assert max(map(len, lines)) <= min(width, 100)
    assert any("632.0 s" in line and "450.1 s" in line and "−181.9 s" in line for line in lines)


def test_a_pipe_gets_the_full_width() -> None:
    buffer = io.StringIO()
    print_comparison(of(make_pairs([1.3, 1.2, 1.35])), Console(file=buffer, width=80))
    assert max(len(line.rstrip()) for line in buffer.getvalue().splitlines()) > 80


def test_colours_appear_on_a_terminal_only() -> None:
    on_terminal, in_a_pipe = io.StringIO(), io.StringIO()
    print_comparison(of(seed_records()), Console(file=on_terminal, force_terminal=True, width=120))
    print_comparison(of(seed_records()), Console(file=in_a_pipe, width=120))
    assert "\x1b[" in on_terminal.getvalue()
    assert "\x1b[" not in in_a_pipe.getvalue()


def test_the_terminal_shows_everything_the_comparison_promises() -> None:
    shown = text.render(of(make_pairs([632 / 450.1] * 3, ready_s=632)))
    for expected in (
        "×1.40", "artifact download", "weights stream", "unattributed",
        "First response", "Request latency", "CPU time", "Peak memory", "Written to disk",
        "Received from network",
        "Cold start at AWS prices", "Optimization job, once", "1,116.9 s", "Breaks even after",
        "endpoint kind", "inference component", "weights source", "hub",
    ):  # fmt: skip
        assert expected in shown, expected


def test_the_short_screen_has_the_few_rows_that_matter() -> None:
    console = Console(file=io.StringIO(), width=100)
    with console.capture() as captured:
        print_comparison(of(make_pairs([1.3, 1.2, 1.35])), console)
    for expected in ("cold start", "weight loading", "Peak memory", "Optimization job", "Warnings"):
        assert expected in captured.get()
    for left_out in ("unattributed", "CPU time", "weights source  "):
        assert left_out not in captured.get()


@pytest.mark.parametrize("records", [seed_records(), make_pairs([1.4, 0.8, 1.1, 0.9])])
def test_what_is_not_settled_has_no_ratio_in_a_headline_and_no_break_even(records: list[RunRecord]) -> None:
    comparison = of(records)
    page = report_page.render(comparison)
    tiles = page.partition('<dl class="key">')[2].partition("</dl>")[0]
    assert "×" not in tiles
    assert "reak-even" not in tiles
    for shown in (text.render(comparison), markdown.render(comparison)):
        head = shown.lstrip("*").splitlines()[0]
        assert head.startswith("Inconclusive")
        assert "×" not in head


def test_emulated_figures_say_so_in_every_format(tmp_path: Path) -> None:
    local = [make_record("standard", target="local"), make_record("fast", target="local")]
    for record in local:
        record.system["client_cpus"] = "2"
    notice = "Local emulation on 2 CPUs, not AWS timings"
    for file in write_reports(of(local), tmp_path / "local"):
        if file.name not in ("raw.csv", "trace.json"):
            assert notice in file.read_text(encoding="utf-8"), file.name
    for file in write_reports(of(seed_records()), tmp_path / "aws"):
        assert "emulation" not in file.read_text(encoding="utf-8"), file.name


def test_nothing_billed_is_said_on_the_embedded_target_only() -> None:
    local = [make_record("standard", target="local"), make_record("fast", target="local")]
    assert "Nothing was billed" in text.render(of(local))
    assert "Nothing was billed" not in text.render(of(seed_records()))


def test_an_interval_column_appears_with_an_interval() -> None:
    assert "95 %" in text.render(of(make_pairs([1.3, 1.2, 1.35])))
    assert "95 %" not in text.render(of(seed_records()))


def test_every_run_is_a_row_of_the_csv_the_failed_ones_too() -> None:
    comparison = of([*make_pairs([1.3, 1.2]), make_record("fast", number=9, status="failed")])
    rows = list(csv.DictReader(io.StringIO(raw_csv.render(comparison))))
    assert [row["run_id"] for row in rows] == [
        run.run_id for side in (comparison.a, comparison.b) for run in side.runs
    ]
    for row, run in zip(rows, comparison.a.runs, strict=False):
        assert float(row["time_to_ready_s"]) == run.time_to_ready_s
        assert float(row["weights_to_host_s"]) == run.seconds_in("weights_to_host")
    assert rows[-1]["time_to_ready_s"] == ""
    assert "Unable to provision" in rows[-1]["failure"]


def test_markdown_has_a_well_formed_table_and_no_live_markup() -> None:
    shown = markdown.render(of(hostile_records()))
    table = [line for line in shown.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {7}
    assert not re.search(r"(?<!\\)[<`]", shown)
    assert "**cold start**" in shown


def test_the_page_shows_hostile_names_as_text() -> None:
    page = report_page.render(of(hostile_records()))
    assert "<script" not in page
    assert "<img" not in page
    assert "&lt;script&gt;" in page


class _Page(html.parser.HTMLParser):
    """What a page refers to, and the figures on it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.figures: dict[str, str] = {}
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        if tag == "data":
            self.figures[values["data-path"]] = values["value"]
        self.loads += [values[name] for name in ("src", "srcset", "action") if name in values]
        if tag == "link":
            self.loads.append(values["href"])
        if "id" in values:
            self.ids.append(values["id"])
        if tag == "a" and values["href"].startswith("#"):
            self.references.append(values["href"].removeprefix("#"))
        self.references += [values[name] for name in ("aria-labelledby",) if name in values]
        if tag not in ("meta", "link", "br", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """An element without content, as SVG has them, is neither opened nor closed."""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def three_methods() -> Comparison:
    records = make_pairs([1.3, 1.2, 1.35])
    streamers = [
        make_record("streamer", ready_s=500 + 5 * n, number=n, pair=records[2 * n].pair) for n in range(3)
    ]
    first, second = of(records), of([*records[::2], *streamers])
    return first.model_copy(update={"others": [second]})


def test_three_methods_share_the_tables_and_charts_of_one_page() -> None:
    comparison = three_methods()
    text = report_page.render(comparison)
    page = _Page(text)
    assert page.open == []
    document = comparison.model_dump(mode="json")
    assert {"total.a_s", "total.b_s", "others.0.total.b_s", "others.0.estimate.ratio"} <= set(page.figures)
    for path, value in page.figures.items():
        found: Any = document
        for key in path.split("."):
            found = found[int(key)] if isinstance(found, list) else found[key]
        assert float(value) == found, path
    waterfall = report_page.chart_files(comparison)["charts/waterfall.svg"]
    assert len(re.findall(r'class="head [abc]"', waterfall)) == 3
    for side in comparison.sides:
        for run in side.runs:
            assert f"../{run.run_id}/run.json" in text


@pytest.mark.parametrize("records", [seed_records(), make_pairs([1.3, 1.2, 1.35]), hostile_records()])
def test_the_page_is_whole_by_itself_and_equals_comparison_json(records: list[RunRecord]) -> None:
    """What can be known without a browser; the rest is in test_report_page.py."""
    comparison = of(records)
    text = report_page.render(comparison)
    page = _Page(text)
    assert page.open == []
    assert page.loads == ["data:,"]
    assert "url(" not in text
    assert len(page.ids) == len(set(page.ids))
    assert set(page.references) <= set(page.ids)
    document = comparison.model_dump(mode="json")
    assert {"total.a_s", "total.b_s", "a.cost.to_ready_usd"} <= set(page.figures)
    assert ("estimate.ratio" in page.figures) == comparison.verdict.settled
    for path, value in page.figures.items():
        found: Any = document
        for key in path.split("."):
            found = found[int(key)] if isinstance(found, list) else found[key]
        assert float(value) == found, path


def test_every_file_is_written_and_the_comparison_reads_back(tmp_path: Path) -> None:
    comparison = of(make_pairs([1.3, 1.2, 1.35]))
    files = write_reports(comparison, tmp_path)
    assert {str(file.relative_to(tmp_path)) for file in files} == {
        "comparison.json", "comparison.txt", "comparison.md", "raw.csv", "trace.json", "report.html",
        "charts/waterfall.svg", "charts/points.svg", "charts/ratio.svg", "charts/break-even.svg",
    }  # fmt: skip
    assert load_comparison(tmp_path) == comparison


def test_a_comparison_without_any_success_is_still_reported(tmp_path: Path) -> None:
    write_reports(
        of([make_record("standard", status="failed"), make_record("fast", status="failed")]), tmp_path
    )
    assert "nothing to compare" in (tmp_path / "comparison.txt").read_text(encoding="utf-8")
    assert "nothing to compare" in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("record", [make_record("fast"), make_record("standard", status="failed")])
def test_a_runs_files_stand_beside_its_record(tmp_path: Path, record: RunRecord) -> None:
    folder = save_record(tmp_path, record).parent
    write_run_files(record, folder)
    assert {file.name for file in folder.iterdir()} == {
        "run.json", "timing_results.json", "deployment_summary.txt", "trace.json", "invoke.py",
    }  # fmt: skip
    json.loads((folder / "trace.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), (0, "0 s"), (0.0004, "0 s"), (0.145, "145 ms"), (0.9996, "1.00 s"), (9.994, "9.99 s"),
     (9.996, "10.0 s"), (1116.89, "1,116.9 s"), (-0.91, "−910 ms")],
)  # fmt: skip
def test_seconds_in_words(value: float | None, shown: str) -> None:
    assert formatting.seconds(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (999.6, "1.0 kB"),
        (4e6, "4.0 MB"),
        (270_100_000, "270 MB"),
        (16.06e9, "16.1 GB"),
    ],
)
def test_bytes_in_words(value: float, shown: str) -> None:
    assert formatting.size_bytes(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "$0"), (0.00002, "$0.000020"), (0.2659, "$0.266"), (0.47, "$0.47"), (1265.5, "$1,265.50")],
)
def test_dollars_in_words(value: float, shown: str) -> None:
    assert formatting.usd(value) == shown


def test_the_page_has_the_findings_of_the_runs_that_it_draws() -> None:
    records = seed_records()
    start_s = records[0].deployment.request_s or 0.0
    records[0].spans = [
        Span(name="container_start", start_s=start_s, end_s=start_s + 500, clock="container"),
        Span(name="imports", start_s=start_s, end_s=start_s + 400, clock="container"),
    ]
    page = report_page.render(of(records))
    assert "<li>Imports take 400.0 s, 63 % of the cold start; no loader changes that.</li>" in page
    # A run about which no rule is certain has no heading either.
    for record in records:
        record.spans = []
    assert "Findings" not in report_page.render(of(records))


def test_the_table_of_starts_has_the_findings_of_the_start_at_the_median() -> None:
    records = []
    for number, (ready_s, imports_s) in enumerate([(300.0, 200.0), (310.0, 250.0), (900.0, 20.0)]):
        record = make_record("standard", number=number, ready_s=ready_s)
        start_s = record.deployment.request_s or 0.0
        record.spans = [
            Span(name=name, start_s=start_s, end_s=start_s + imports_s, clock="container")
            for name in ("container_start", "imports")
        ]
        records.append(record)
    console = Console(width=120, record=True)
    console.print(starts_screen.render(records))
    shown = console.export_text()
    assert f"The start at the median, {records[1].run_id}:" in shown
    assert "Imports take 250.0 s" in shown
    console.print(starts_screen.render(records[2:]))
    assert "Imports" not in console.export_text()
