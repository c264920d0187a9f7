"""history.html: one self-contained page, no script, no network, in the style of the report."""

from __future__ import annotations

import time
from typing import Any

from loadbench.results import formatting
from loadbench.results.history import charts
from loadbench.results.history.changes import FEWEST_RUNS
from loadbench.results.history.run_history import ComparedPoint, History, Series, day_of, marks
from loadbench.results.reports.templates import in_both_layouts, render_page


def render(history: History, *, now_s: float | None = None) -> str:
    """The HTML page with chart, levels and runs of every series."""
    return render_page(
        "history.html.j2",
        history=history,
        series=[_series(number, series) for number, series in enumerate(history.series, 1)],
        compared=[_compared(points) for points in _by_methods(history.comparisons)],
        changed=[series for series in history.series if series.newest and series.newest.change],
        formatting=formatting,
        day_of=day_of,
        fewest=FEWEST_RUNS,
        made=f"{day_of(time.time() if now_s is None else now_s)}",
        emulated=any(series.emulated for series in history.series),
    )


def _series(number: int, series: Series) -> dict[str, Any]:
    return {
        "number": number,
        "item": series,
        "chart": in_both_layouts(charts.cold_starts, series),
        "marks": marks(series),
    }


def _compared(points: list[ComparedPoint]) -> dict[str, Any]:
    return {
        "points": points,
        "chart": in_both_layouts(charts.ratios, points),
    }


def _by_methods(comparisons: list[ComparedPoint]) -> list[list[ComparedPoint]]:
    groups: dict[tuple[str, ...], list[ComparedPoint]] = {}
    for point in comparisons:
        key = (point.a, point.b, point.model, point.instance_type, str(point.emulated))
        groups.setdefault(key, []).append(point)
    return list(groups.values())
