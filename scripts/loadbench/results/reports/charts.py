"""The charts of a comparison, one function each; `width` chooses the layout for a page or for a phone."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Protocol

from loadbench.results import formatting
from loadbench.results.comparison.model import Comparison, ShownRun, Side
from loadbench.results.reports.svg import Drawing, Scale, ticks
from loadbench.results.run_record import Series
from loadbench.results.run_summary import RunSummary
from loadbench.results.timeline import DETAILS, PHASES, Span, weights_phases_of

SIDE_CLASSES = "abcdef"  # classes of the style sheet; more sides would have no colour
WIDE = 960
NARROW = 360
_LEFT = 206.0  # pixels for labels beside a wide chart
_LETTER = 7.0  # pixels of one letter, rounded up
_SHORTEST_S = 0.001  # shorter spans that are not phases are drawn as moments
_LONG_UNITS = ((3600, "h"), (60, "min"))
_RESOURCES = ("cpu", "memory", "disk", "network")  # parts of series names
_MAX_POINTS = 400  # of a curve; more cannot be distinguished


class Sides(Protocol):
    """Input of the timeline chart: a comparison, or its scale-outs."""

    @property
    def sides(self) -> list[Side]:
        """The baseline, and the others that are compared with it."""


def waterfall(comparison: Sides, width: int) -> Drawing:
    """The shown runs on one time axis from the request on: one row per phase, weights in the side's
    colour.
    """
    shown = [(css, side, side.shown) for css, side in _sides(comparison) if side.shown]
    narrow = width < WIDE
    row_height, left = (38.0, 0.0) if narrow else (25.0, _LEFT)
    groups = [(css, side, run, _rows(run)) for css, side, run in shown]
    low_s = min((span.start_s for *_, rows in groups for _, spans in rows for span in spans), default=0.0)
    high_s = max((span.end_s for *_, rows in groups for _, spans in rows for span in spans), default=1.0)
    scale = Scale(min(low_s, 0.0), high_s, left + 4, width - (8 if narrow else 76))
    height = sum(34 + row_height * len(rows) + 14 for *_, rows in groups) + 26
    drawing = Drawing(
        width, height, "Timelines of the loading methods on one time axis", _waterfall_words(groups)
    )
    _time_axis(drawing, scale, height - 24, narrow)
    y = 4.0
    for css, side, run, rows in groups:
        drawing.text(0, y + 16, _headline(side, run, narrow), f"head {css}")
        y += 30
        ready_x, moving = scale(run.ready_s), weights_phases_of(run.spans)
        drawing.line(ready_x, y - 4, ready_x, y + row_height * len(rows), f"ready {css}")
        for name, spans in rows:
            colour = css if name in moving else "phase" if name in PHASES else "other"
            _waterfall_row(drawing, scale, y, name, spans, colour, narrow)
            y += row_height
        y += 18
    return drawing


def _headline(side: Side, run: ShownRun, narrow: bool) -> str:
    """Which run is shown, and the median for comparison."""
    text = f"{side.label}: in service after {formatting.seconds(run.ready_s)}"
    median_s = side.time_to_ready.median if side.time_to_ready else run.ready_s
    if len(side.usable) < 2:
        return text
    return text + (
        f" (median {formatting.seconds(median_s)})" if narrow else f", median {formatting.seconds(median_s)}"
    )


def _waterfall_row(
    drawing: Drawing, scale: Scale, y: float, name: str, spans: Sequence[Span], colour: str, narrow: bool
) -> None:
    label = formatting.name(name)
    length = formatting.seconds(sum(span.duration_s for span in spans))
    bar_y, bar_height = (y + 18, 13.0) if narrow else (y + 2, 16.0)
    if narrow:
        drawing.text(0, y + 13, label)
        drawing.text(max(124, 8 + _LETTER * len(label)), y + 13, length, "value")
    else:
        drawing.text(scale.start - 14, y + 15, label, "", "end")
        drawing.text(scale.end + 68, y + 15, length, "value", "end")  # a column, so that no line crosses it
    for span in spans:
        drawing.rectangle(
            scale(span.start_s),
            bar_y,
            scale(span.end_s) - scale(span.start_s),
            bar_height,
            f"bar {colour} {span.certainty}",
            f"{label}, {span.certainty} by {span.clock} {span.worker}: "
            f"{formatting.seconds(span.duration_s)}, "
            f"from {formatting.seconds(span.start_s)} to {formatting.seconds(span.end_s)}",
        )


def _rows(run: ShownRun) -> list[tuple[str, list[Span]]]:
    """Spans by name: phases in the order in which they happen, each with its finer ones, then the rest."""
    ordered = (name for phase in PHASES for name in (phase, *DETAILS.get(phase, ())))
    names: dict[str, None] = dict.fromkeys([*ordered, *(span.name for span in run.spans)])
    rows = [(name, [span for span in run.spans if span.name == name]) for name in names]
    return [
        (name, spans)
        for name, spans in rows
        if spans and (name in PHASES or sum(span.duration_s for span in spans) >= _SHORTEST_S)
    ]


def _waterfall_words(groups: Sequence[tuple[str, Side, ShownRun, list[tuple[str, list[Span]]]]]) -> str:
    return " ".join(
        f"{side.label}: "
        + ", ".join(
            f"{formatting.name(name)} {formatting.seconds(sum(s.duration_s for s in spans))}"
            for name, spans in rows
        )
        + f"; in service after {formatting.seconds(run.ready_s)}."
        for _, side, run, rows in groups
    )


def _time_axis(drawing: Drawing, scale: Scale, bottom: float, narrow: bool) -> None:
    for value in ticks(scale.low, scale.high, 4 if narrow else 8):
        drawing.line(scale(value), 0, scale(value), bottom, "grid")
        drawing.text(scale(value), bottom + 18, _tick(value), "tick", "middle")


def _tick(value: float) -> str:
    return f"{value:g} s".replace("-", formatting.MINUS)


def raw_points(comparison: Comparison, width: int) -> Drawing:
    """Every run's cold start, one lane per side; lines join pairs, a bar marks the median."""
    sides = [
        (css, side, [run.time_to_ready_s or 0.0 for run in side.usable]) for css, side in _sides(comparison)
    ]
    every = [value for *_, values in sides for value in values]
    narrow = width < WIDE
    left = 0.0 if narrow else _LEFT
    low, high = _padded(every)
    scale = Scale(low, high, left + 12, width - 16)
    lane_y = {css: 40.0 + 84 * index for index, (css, *_) in enumerate(sides)}
    count = ", ".join(f"{len(values)} {side.label}" for _, side, values in sides)
    bottom = 84.0 * len(sides) - 4
    drawing = Drawing(
        width, bottom + 26, "Cold start of every run", f"{count} runs; the table of runs has the figures."
    )
    _time_axis(drawing, scale, bottom, narrow)
    for (css_a, upper, _), (css_b, lower, _) in itertools.pairwise(sides):
        for run, other in _partners(upper, lower):
            x1, x2 = scale(run.time_to_ready_s or 0), scale(other.time_to_ready_s or 0)
            drawing.line(x1, lane_y[css_a], x2, lane_y[css_b], "pair")
    for css, side, values in sides:
        y = lane_y[css]
        drawing.text(
            0 if narrow else left - 10,
            y - 22 if narrow else y + 5,
            side.label,
            f"head {css}",
            "start" if narrow else "end",
        )
        if side.time_to_ready:
            middle = scale(side.time_to_ready.median)
            drawing.line(middle, y - 15, middle, y + 15, f"median {css}")
        for run, value in zip(side.usable, values, strict=True):
            far = run.run_id in side.outliers
            tip = f"{run.run_id}: {formatting.seconds(value)}{', outlier' if far else ''}"
            drawing.dot(scale(value), y, 5.5, f"point {css}{' outlier' if far else ''}", tip)
    return drawing


def ratio_interval(comparison: Comparison, width: int) -> Drawing | None:
    """The ratio with its interval, and every pair's own ratio, on a log axis; None without an interval."""
    estimate = comparison.estimate
    if estimate is None or estimate.low is None or estimate.high is None:
        return None
    pairs = [
        (run, (run.time_to_ready_s or 1) / (other.time_to_ready_s or 1))
        for run, other in _partners(comparison.a, comparison.b)
    ]
    values = [1.0, estimate.low, estimate.high, *(ratio for _, ratio in pairs)]
    low, high = math.log(min(values)), math.log(max(values))
    margin = 0.12 * (high - low) or 0.05
    narrow = width < WIDE
    left = 0.0 if narrow else _LEFT
    scale = Scale(low - margin, high + margin, left + 12, width - 16)
    drawing = Drawing(
        width,
        126,
        f"Ratio {comparison.a.label} ÷ {comparison.b.label}",
        f"{formatting.times(estimate.ratio)}, 95 % interval {formatting.interval(estimate)}; "
        "1 means no difference.",
    )
    for value in ticks(math.exp(scale.low), math.exp(scale.high), 4 if narrow else 8):
        drawing.line(scale(math.log(value)), 0, scale(math.log(value)), 98, "grid")
        drawing.text(scale(math.log(value)), 116, formatting.times(value), "tick", "middle")
    drawing.line(scale(0), 0, scale(0), 98, "even")
    if not narrow:
        if pairs:
            drawing.text(left - 10, 37, "each pair", "", "end")
        drawing.text(left - 10, 77, "all, 95 %", "", "end")
    for run, ratio in pairs:
        pair = run.pair.index + 1 if run.pair else 0
        drawing.dot(scale(math.log(ratio)), 32, 5.5, "point plain", f"pair {pair}: {formatting.times(ratio)}")
    drawing.line(scale(math.log(estimate.low)), 72, scale(math.log(estimate.high)), 72, "interval")
    drawing.dot(scale(math.log(estimate.ratio)), 72, 7, "point estimate", formatting.times(estimate.ratio))
    return drawing


def _partners(upper: Side, lower: Side) -> list[tuple[RunSummary, RunSummary]]:
    partners = {(run.pair.series_id, run.pair.index): run for run in lower.usable if run.pair}
    return [
        (run, other)
        for run in upper.usable
        if run.pair and (other := partners.get((run.pair.series_id, run.pair.index)))
    ]


def break_even(comparison: Comparison, width: int) -> Drawing | None:
    """Total seconds by number of deployments; the fast path starts with its job. None without a job."""
    pays, job = comparison.break_even, comparison.b.one_time
    if pays is None or job is None or job.seconds is None or not comparison.a.time_to_ready:
        return None
    a_s = comparison.a.time_to_ready.mean
    b_s = a_s - pays.saved_s
    last = 10.0 if pays.deployments is None else max(4.0, math.ceil(pays.deployments * 2))
    top_s = max(a_s * last, job.seconds + b_s * last)
    narrow = width < WIDE
    left = 56.0 if narrow else _LEFT
    bottom = 232.0
    across, up = Scale(0, last, left, width - 20), Scale(0, top_s, bottom, 26)
    drawing = Drawing(width, 284, "Total time by number of deployments", pays.sentence)
    unit_s, unit = next(((size, name) for size, name in _LONG_UNITS if top_s >= 2 * size), (1, "s"))
    for value in ticks(0, top_s / unit_s, 5):
        drawing.line(left, up(value * unit_s), width - 20, up(value * unit_s), "grid")
        drawing.text(left - 8, up(value * unit_s) + 4, f"{value:g} {unit}", "tick", "end")
    for value in ticks(0, last, 5 if narrow else 10):
        if value == int(value):
            drawing.text(across(value), bottom + 20, f"{value:g}", "tick", "middle")
    drawing.text((left + width - 20) / 2, bottom + 42, "deployments", "tick", "middle")
    lines = (
        ("a", 0.0, a_s, comparison.a.label),
        ("b", job.seconds, b_s, f"{comparison.b.label}, including its job"),
    )
    for row, (css, start_s, each_s, label) in enumerate(lines):
        drawing.polyline(
            [(across(0), up(start_s)), (across(last), up(start_s + each_s * last))], f"curve {css}"
        )
        drawing.line(left + 12, 22 + 20 * row, left + 44, 22 + 20 * row, f"curve {css}")
        drawing.text(left + 52, 27 + 20 * row, label, f"head {css}")
    if pays.deployments is not None:
        x, y = across(pays.deployments), up(a_s * pays.deployments)
        drawing.line(x, y, x, bottom, "even")
        drawing.dot(x, y, 6, "point estimate", pays.sentence)
        drawing.text(x + 8, bottom - 10, f"breaks even after {pays.deployments:,.1f}", "value")
    return drawing


def curve_names(comparison: Comparison) -> list[str]:
    """Processor, memory, disk and network, if a shown run has a curve with more than one point.

    If a resource has several series, the first is drawn; trace.json has all.
    """
    known = dict.fromkeys(
        _quantity(series)
        for _, side in _sides(comparison)
        if side.shown
        for series in side.shown.series
        if len(series.points) > 1
    )
    chosen = (next((name for name in known if pattern in name.lower()), None) for pattern in _RESOURCES)
    return list(dict.fromkeys(name for name in chosen if name))


def _quantity(series: Series) -> str:
    """The resource of a series: its name without the instance after it."""
    return series.name.split(" ")[0]


def curve(comparison: Comparison, name: str, width: int = 400) -> Drawing:
    """One resource over time on both sides, from the request on."""
    chosen = [
        (css, side, series)
        for css, side in _sides(comparison)
        if side.shown
        for series in side.shown.series
        if _quantity(series) == name and series.points
    ]
    unit = chosen[0][2].unit if chosen else ""
    points = [(css, _thinned(series)) for css, _, series in chosen]
    high_s = max((time_s for _, series in points for time_s, _ in series), default=1.0)
    top = max((value for _, series in points for _, value in series), default=1.0) or 1.0
    across, up = Scale(0, high_s, 64, width - 14), Scale(0, top * 1.06, 150, 10)
    ends = ", ".join(f"{side.label} {_reader(unit)(series.points[-1][1])}" for _, side, series in chosen)
    drawing = Drawing(width, 196, f"{name} over time", f"At the end: {ends}.")
    drawing.text((64 + width - 14) / 2, 190, "since the request", "tick", "middle")
    for value in ticks(0, top * 1.06, 4):
        drawing.line(64, up(value), width - 14, up(value), "grid")
        drawing.text(58, up(value) + 4, _reader(unit)(value), "tick", "end")
    for value in ticks(0, high_s, 4):
        drawing.text(across(value), 170, _tick(value), "tick", "middle")
    for css, series in points:
        drawing.polyline(
            [(across(time_s), up(value)) for time_s, value in series if time_s >= 0], f"curve {css}"
        )
    return drawing


def _thinned(series: Series) -> list[tuple[float, float]]:
    step = max(1, len(series.points) // _MAX_POINTS)
    return [*series.points[:-1:step], series.points[-1]]


def _reader(unit: str) -> Callable[[float], str]:
    if unit.lower() in ("bytes", "byte"):
        return formatting.size_bytes
    if unit.lower() in ("s", "seconds"):
        return lambda value: "0 s" if value == 0 else f"{value:g} s"
    suffix = " %" if unit.lower() in ("percent", "%") else f" {unit}" if unit and unit != "None" else ""
    return lambda value: f"{value:g}{suffix}"


def _sides(comparison: Sides) -> list[tuple[str, Side]]:
    return list(zip(SIDE_CLASSES, comparison.sides, strict=False))


def _padded(values: Sequence[float]) -> tuple[float, float]:
    """An axis range a little wider than the values; around a single value a tenth of it."""
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    margin = 0.08 * (high - low) or 0.1 * high or 1.0
    return max(0.0, low - margin), high + margin
