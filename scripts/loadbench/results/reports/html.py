"""report.html: one self-contained page, no script, no network; and its charts as files of their own."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from loadbench.results import formatting
from loadbench.results.comparison.model import Comparison, PhaseRow
from loadbench.results.reports import charts
from loadbench.results.reports.svg import Drawing
from loadbench.workspace import Workspace

_FORMATS: dict[str, Callable[..., str]] = {
    "s": formatting.seconds,
    "bytes": formatting.size_bytes,
    "USD": formatting.usd,
    "tokens/s": formatting.rate,
    "times": formatting.times,
    "plain": lambda value: formatting.times(value).removeprefix("×"),
    "count": lambda value: formatting.MISSING if value is None else f"{value:,.1f}",
}


_Drawn = TypeVar("_Drawn")


@dataclass(frozen=True)
class _Chart:
    """A chart in both layouts; the style sheet shows the one that fits."""

    wide: Markup
    narrow: Markup


def render(comparison: Comparison) -> str:
    """The page. Every figure carries its path into comparison.json and its exact value."""
    document = comparison.model_dump(mode="json")

    def figure(path: str, form: str, signed: bool = False) -> str:
        value = _at(document, path)
        text = _FORMATS[form](value, signed=True) if signed else _FORMATS[form](value)
        if value is None:
            return escape(text)
        return Markup('<data value="{}" data-path="{}">{}</data>').format(repr(value), path, text)

    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            c=comparison,
            formatting=formatting,
            figure=figure,
            charts={
                "waterfall": _both(charts.waterfall, comparison),
                "points": _both(charts.raw_points, comparison),
                "ratio": _both(charts.ratio_interval, comparison),
                "break_even": _both(charts.break_even, comparison),
                "scale_out": comparison.scale_out and _both(charts.waterfall, comparison.scale_out),
                "curves": [
                    (_title(name), Markup(charts.curve(comparison, name).render()))  # noqa: S704 - our own SVG
                    for name in charts.curve_names(comparison)
                ],
            },
            certainties={
                span.certainty
                for side in (comparison.a, comparison.b)
                if side.shown
                for span in side.shown.spans
            },
            longest=_longest(comparison.total),
            longest_copy=comparison.scale_out and _longest(comparison.scale_out.total),
            prices=_prices(comparison),
            configuration=json.dumps(comparison.configuration, indent=2, ensure_ascii=False),
        )
    )


def chart_files(comparison: Comparison) -> dict[str, str]:
    """The page's charts, each an SVG that stands alone."""
    sheet, _, _ = _environment().loader.get_source(_environment(), "charts.css")  # type: ignore[union-attr]
    drawings = {
        "waterfall": charts.waterfall(comparison, charts.WIDE),
        "points": charts.raw_points(comparison, charts.WIDE),
        "ratio": charts.ratio_interval(comparison, charts.WIDE),
        "break-even": charts.break_even(comparison, charts.WIDE),
        "scale-out": comparison.scale_out and charts.waterfall(comparison.scale_out, charts.WIDE),
    }
    return {
        f"charts/{name}.svg": drawing.render_alone(sheet, comparison.notice) + "\n"
        for name, drawing in drawings.items()
        if drawing
    }


def _longest(total: PhaseRow) -> float:
    return max(total.a_s or 0, total.b_s or 0) or 1


def _both(draw: Callable[[_Drawn, int], Drawing | None], drawn: _Drawn) -> _Chart | None:
    wide, narrow = draw(drawn, charts.WIDE), draw(drawn, charts.NARROW)
    if wide is None or narrow is None:
        return None
    return _Chart(Markup(wide.render("wide")), Markup(narrow.render("narrow")))  # noqa: S704 - our own SVG


def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(Workspace.here().assets / "templates"),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
    )


def _at(document: Any, path: str) -> Any:
    """The value at a dotted path, None where something on the way is None."""
    for key in path.split("."):
        if document is None:
            return None
        document = document[int(key)] if isinstance(document, list) else document[key]
    return document


def _title(series_name: str) -> str:
    """CPUSeconds as CPU seconds: words begin where a capital meets a small letter."""
    first, *rest = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^A-Za-z]+", series_name) or [series_name]
    return " ".join([first, *(word if word.isupper() else word.lower() for word in rest)])


def _prices(comparison: Comparison) -> list[str]:
    known = [
        (cost.instance_type, cost.price)
        for side in (comparison.a, comparison.b)
        for cost in (side.cost, side.one_time)
        if cost and cost.price
    ]
    return list(
        dict.fromkeys(
            f"{instance_type} ${price.usd_per_hour:g} an hour "
            f"({price.source}, {price.date}, region {price.region})"
            for instance_type, price in known
        )
    )
