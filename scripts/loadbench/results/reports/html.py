"""report.html: one self-contained page without scripts or network access; and its charts as separate
files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from markupsafe import Markup, escape

from loadbench.results import formatting
from loadbench.results.comparison.model import Comparison, PhaseRow
from loadbench.results.reports import charts
from loadbench.results.reports.svg import Drawing
from loadbench.results.reports.templates import in_both_layouts, page_templates, render_page
from loadbench.results.timeline import PHASES

_FORMATS: dict[str, Callable[..., str]] = {
    "s": formatting.seconds,
    "bytes": formatting.size_bytes,
    "USD": formatting.usd,
    "tokens/s": formatting.rate,
    "times": formatting.times,
    "plain": lambda value: formatting.times(value).removeprefix("×"),
    "count": lambda value: formatting.MISSING if value is None else f"{value:,.1f}",
}


def render(comparison: Comparison, docs: str | None = None) -> str:
    """The page. Every figure carries its path into comparison.json and its exact value.

    `docs` is the path to the documentation, None if there is none.
    """
    document = comparison.model_dump(mode="json")

    def figure(path: str, form: str, signed: bool = False) -> str:
        value = _at(document, path)
        text = _FORMATS[form](value, signed=True) if signed else _FORMATS[form](value)
        if value is None:
            return escape(text)
        return Markup('<data value="{}" data-path="{}">{}</data>').format(repr(value), path, text)

    return render_page(
        "report.html.j2",
        c=comparison,
        formatting=formatting,
        figure=figure,
        ways=_ways(comparison),
        parts=_parts(comparison),
        phases=_phases(comparison),
        details=_details,
        totals=_rows(comparison, "total"),
        weights=_rows(comparison, "weights"),
        warnings=list(dict.fromkeys(text for part in comparison.parts for text in part.warnings)),
        charts={
            "waterfall": in_both_layouts(charts.waterfall, comparison),
            "points": in_both_layouts(charts.raw_points, comparison),
            "curves": [
                (_title(name), Markup(charts.curve(comparison, name).render()))  # noqa: S704 - our own SVG
                for name in charts.curve_names(comparison)
            ],
        },
        docs=docs,
        certainties={span.certainty for side in comparison.sides if side.shown for span in side.shown.spans},
        longest=max(_longest(part.total) for part in comparison.parts),
        prices=_prices(comparison),
        configuration=json.dumps(comparison.configuration, indent=2, ensure_ascii=False),
    )


def _ways(comparison: Comparison) -> list[dict[str, Any]]:
    """Every loading method: its side, its path into comparison.json, its class in the style sheet."""
    paths = ["a", "b", *(f"others.{number}.b" for number in range(len(comparison.others)))]
    return [
        {"side": side, "path": path, "css": css}
        for side, path, css in zip(comparison.sides, paths, charts.SIDE_CLASSES, strict=False)
    ]


def _prefixes(comparison: Comparison) -> list[str]:
    return ["", *(f"others.{number}." for number in range(len(comparison.others)))]


def _parts(comparison: Comparison) -> list[dict[str, Any]]:
    """Every method except the first: its comparison, the path to it, its charts."""
    return [
        {
            "part": part,
            "path": prefix,
            "ratio": in_both_layouts(charts.ratio_interval, part),
            "break_even": in_both_layouts(charts.break_even, part),
            "scale_out": part.scale_out and in_both_layouts(charts.waterfall, part.scale_out),
            "longest_copy": part.scale_out and _longest(part.scale_out.total),
        }
        for part, prefix in zip(comparison.parts, _prefixes(comparison), strict=True)
    ]


def _rows(comparison: Comparison, name: str) -> list[dict[str, Any]]:
    return [
        {"path": f"{prefix}{name}", "row": getattr(part, name)}
        for part, prefix in zip(comparison.parts, _prefixes(comparison), strict=True)
    ]


def _phases(comparison: Comparison) -> list[tuple[str, list[dict[str, Any] | None]]]:
    """A row for each phase of any method: the phase's place in each part, None if that part does not
    have it.
    """
    found: dict[str, list[dict[str, Any] | None]] = {}
    for name in PHASES:
        rows: list[dict[str, Any] | None] = []
        for part, prefix in zip(comparison.parts, _prefixes(comparison), strict=True):
            place = next((index for index, row in enumerate(part.phases) if row.name == name), None)
            known = None if place is None else {"path": f"{prefix}phases.{place}", "row": part.phases[place]}
            rows.append(known)
        if any(rows):
            found[name] = rows
    return list(found.items())


def _details(rows: Sequence[dict[str, Any] | None]) -> list[tuple[str, list[str | None]]]:
    """The finer phases of a phase: each with the place of its seconds in every method, None if it has
    none.
    """
    known = [row for row in rows if row]
    names = dict.fromkeys(detail.name for row in known for detail in row["row"].details)

    def place(row: dict[str, Any] | None, name: str, side: str) -> str | None:
        details = row["row"].details if row else []
        index = next((index for index, detail in enumerate(details) if detail.name == name), None)
        if row is None or index is None or getattr(details[index], f"{side}_s") is None:
            return None
        return f"{row['path']}.details.{index}.{side}_s"

    return [
        (
            formatting.name(name),
            [
                next((found for row in known if (found := place(row, name, "a"))), None),
                *(place(row, name, "b") for row in rows),
            ],
        )
        for name in names
    ]


def chart_files(comparison: Comparison) -> dict[str, str]:
    """The page's charts as standalone SVG files; those of further methods are numbered from 2."""
    sheet, _, _ = page_templates().loader.get_source(page_templates(), "charts.css")  # type: ignore[union-attr]
    drawings: dict[str, Drawing | None] = {
        "waterfall": charts.waterfall(comparison, charts.WIDE),
        "points": charts.raw_points(comparison, charts.WIDE),
    }
    for number, part in enumerate(comparison.parts, 1):
        suffix = f"-{number}" if number > 1 else ""
        drawings[f"ratio{suffix}"] = charts.ratio_interval(part, charts.WIDE)
        drawings[f"break-even{suffix}"] = charts.break_even(part, charts.WIDE)
        drawings[f"scale-out{suffix}"] = (
            charts.waterfall(part.scale_out, charts.WIDE) if part.scale_out else None
        )
    return {
        f"charts/{name}.svg": drawing.render_alone(sheet, comparison.notice) + "\n"
        for name, drawing in drawings.items()
        if drawing
    }


def _longest(total: PhaseRow) -> float:
    return max(total.a_s or 0, total.b_s or 0) or 1


def _at(document: Any, path: str) -> Any:
    """The value at a dotted path, None if a value on the way is None."""
    for key in path.split("."):
        if document is None:
            return None
        document = document[int(key)] if isinstance(document, list) else document[key]
    return document


def _title(series_name: str) -> str:
    """CPUSeconds as CPU seconds: words start where a capital precedes a small letter."""
    first, *rest = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^A-Za-z]+", series_name) or [series_name]
    return " ".join([first, *(word if word.isupper() else word.lower() for word in rest)])


def _prices(comparison: Comparison) -> list[str]:
    known = [
        (cost.instance_type, cost.price)
        for side in comparison.sides
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
