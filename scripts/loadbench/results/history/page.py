"""history.html: one self-contained page, no script, no network, in the style of the report."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from loadbench.results import formatting
from loadbench.results.history import charts
from loadbench.results.history.changes import FEWEST_RUNS
from loadbench.results.history.series import ComparedPoint, History, Series, day_of, marks
from loadbench.results.reports.svg import Drawing
from loadbench.workspace import Workspace


@dataclass(frozen=True)
class _Chart:
    """A chart in both layouts; the style sheet shows the one that fits."""

    wide: Markup
    narrow: Markup


def render(history: History, *, now_s: float | None = None) -> str:
    """The page. Every series has its chart, its levels and its newest runs."""
    environment = Environment(
        loader=FileSystemLoader(Workspace.here().assets / "templates"),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
    )
    return environment.get_template("history.html.j2").render(
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
        "chart": _both(charts.cold_starts(series, charts.WIDE), charts.cold_starts(series, charts.NARROW)),
        "marks": marks(series),
    }


def _compared(points: list[ComparedPoint]) -> dict[str, Any]:
    return {
        "points": points,
        "chart": _both(charts.ratios(points, charts.WIDE), charts.ratios(points, charts.NARROW)),
    }


def _by_methods(comparisons: list[ComparedPoint]) -> list[list[ComparedPoint]]:
    groups: dict[tuple[str, ...], list[ComparedPoint]] = {}
    for point in comparisons:
        key = (point.a, point.b, point.model, point.instance_type, str(point.emulated))
        groups.setdefault(key, []).append(point)
    return list(groups.values())


def _both(wide: Drawing | None, narrow: Drawing | None) -> _Chart | None:
    if wide is None or narrow is None:
        return None
    return _Chart(Markup(wide.render("wide")), Markup(narrow.render("narrow")))  # noqa: S704 - our own SVG
