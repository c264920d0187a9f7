"""Charts of a sweep: ratios with intervals, seconds against USD, the control over time."""

from __future__ import annotations

import math
from collections.abc import Sequence

from loadbench.results import formatting
from loadbench.results.reports.charts import NARROW, SIDE_CLASSES, WIDE
from loadbench.results.reports.svg import Drawing, Scale, ticks
from loadbench.results.sweep.ranking import Drift, Ranked, SweepResult

_LEFT = 250.0
_LETTER = 7.4


def colour_of(result: SweepResult, item: Ranked) -> str:
    """The CSS class of a cell's loading method."""
    paths = list(dict.fromkeys(cell.load_path for cell in result.sweep.cells))
    return SIDE_CLASSES[paths.index(item.cell.load_path) % len(SIDE_CLASSES)]


def intervals(result: SweepResult, model_id: str, width: int) -> Drawing | None:
    """Ratios of cells to their control with intervals, on a log axis; None if there are none yet."""
    shown = [
        (item, item.verdict) for item in result.of_model(model_id) if item.verdict and item.verdict.ratio
    ]
    if not shown:
        return None
    narrow = width < WIDE
    left, lane = (8.0, 52.0) if narrow else (_LEFT, 34.0)
    # Intervals of two or three rounds may be very wide; the axis is cut so that the others stay readable.
    values = [1.0] + [verdict.ratio or 1.0 for _, verdict in shown]
    ends = [end for _, verdict in shown for end in (verdict.low, verdict.high) if end]
    least, most = min(values) / 1.6, max(values) * 1.6
    low = math.log(max(min([*ends, *values]), least)) - 0.05
    high = math.log(min(max([*ends, *values]), most)) + 0.05
    scale = Scale(low, high, left, width - 20)
    bottom = lane * len(shown) + 8
    drawing = Drawing(
        width,
        bottom + 28,
        "Speedup against the control, with 95 % intervals",
        "The table lists the figures.",
    )
    for value in ticks(math.exp(low), math.exp(high), 4 if narrow else 8):
        drawing.line(scale(math.log(value)), 0, scale(math.log(value)), bottom, "grid")
        drawing.text(scale(math.log(value)), bottom + 18, formatting.times(value), "tick", "middle")
    drawing.line(scale(0), 0, scale(0), bottom, "even")
    for number, (item, verdict) in enumerate(shown):
        y, css = lane * (number + 0.5) + (10 if narrow else 0), colour_of(result, item)
        label = short_name(result, item)
        drawing.text(
            0 if narrow else left - 14, y - 14 if narrow else y + 5, label, "", "start" if narrow else "end"
        )
        if verdict.low and verdict.high:
            ends_at = [scale(min(max(math.log(end), low), high)) for end in (verdict.low, verdict.high)]
            drawing.line(ends_at[0], y, ends_at[1], y, f"span {css}")
        tip = f"{label}: {ratio_words(item)}"
        drawing.dot(scale(math.log(verdict.ratio or 1)), y, 6, f"point {css}", tip)
    return drawing


def pareto(result: SweepResult, model_id: str, width: int) -> Drawing | None:
    """Median seconds against USD of one cold start; a line connects the Pareto front."""
    shown = [item for item in result.of_model(model_id) if item.summary and item.usd is not None]
    if not shown:
        return None
    narrow = width < WIDE
    left, bottom = 66.0, 260.0
    seconds = [item.summary.median for item in shown if item.summary]
    dollars = [item.usd or 0.0 for item in shown]
    across, up = Scale(*_around(seconds), left, width - 20), Scale(*_around(dollars), bottom, 14)
    drawing = Drawing(
        width, bottom + 46, "Seconds against USD of one cold start", "The table lists the figures."
    )
    for value in ticks(across.low, across.high, 4 if narrow else 8):
        drawing.line(across(value), 14, across(value), bottom, "grid")
        drawing.text(across(value), bottom + 18, f"{value:g}", "tick", "middle")
    for value in ticks(up.low, up.high, 5):
        drawing.line(left, up(value), width - 20, up(value), "grid")
        drawing.text(left - 8, up(value) + 4, formatting.usd(value), "tick", "end")
    drawing.text((left + width - 20) / 2, bottom + 40, "seconds, median", "tick", "middle")
    front = sorted((item.summary.median, item.usd or 0.0) for item in shown if item.on_front and item.summary)
    drawing.polyline([(across(x), up(y)) for x, y in front], "front")
    taken: list[tuple[float, float, float]] = []
    for item in shown:
        assert item.summary is not None
        x, y = across(item.summary.median), up(item.usd or 0.0)
        css = colour_of(result, item)
        label = short_name(result, item)
        tip = f"{label}: {formatting.seconds(item.summary.median)}, {formatting.usd(item.usd)}"
        drawing.dot(x, y, 7, f"point {css}{'' if item.on_front else ' outlier'}", tip)
        _label(drawing, x, y, label, taken, width)
    return drawing


def _around(values: Sequence[float]) -> tuple[float, float]:
    """An axis range around the values, with space for the labels of the outermost points."""
    margin = 0.3 * (max(values) - min(values)) or 0.2 * max(values) or 1.0
    return max(0.0, min(values) - margin), max(values) + margin


def _label(
    drawing: Drawing, x: float, y: float, text: str, taken: list[tuple[float, float, float]], width: float
) -> None:
    """A label beside its point, on the left if there is no space on the right, without overlapping others."""
    length = _LETTER * len(text)
    left = x + 12 if x + 14 + length < width else max(0.0, x - 12 - length)

    def is_free(text_y: float) -> bool:
        return all(
            abs(text_y - other_y) >= 17 or left > end or left + length < start
            for other_y, start, end in taken
        )

    offsets = (step * sign for step in range(0, 200, 17) for sign in (1, -1))
    text_y = next((y + 4 + offset for offset in offsets if is_free(y + 4 + offset)), y + 4)
    taken.append((text_y, left, left + length))
    drawing.text(left, text_y, text)


def control_over_time(drift: Drift, width: int) -> Drawing | None:
    """The runs of the first control in chronological order; None if there are fewer than two."""
    if len(drift.points) < 2:
        return None
    hours, seconds = [hour for hour, _ in drift.points], [value for _, value in drift.points]
    left, bottom = 66.0, 130.0
    unit_s, unit = (60, "min") if hours[-1] < 2 else (1, "h")
    across = Scale(0, max(hours[-1], 1e-6), left, width - 24)
    up = Scale(0, max(seconds) * 1.15, bottom, 10)
    drawing = Drawing(
        width, bottom + 42, "The control over time", "Each run of the first control in chronological order."
    )
    for value in ticks(0, up.high, 4):
        drawing.line(left, up(value), width - 20, up(value), "grid")
        drawing.text(left - 8, up(value) + 4, f"{value:g} s", "tick", "end")
    for value in ticks(0, hours[-1] * unit_s, 4 if width <= NARROW else 8):
        drawing.text(across(value / unit_s), bottom + 18, f"{value:g} {unit}", "tick", "middle")
    drawing.polyline([(across(hour), up(value)) for hour, value in drift.points], "front")
    for hour, value in drift.points:
        drawing.dot(across(hour), up(value), 5.5, "point a", formatting.seconds(value))
    return drawing


def short_name(result: SweepResult, item: Ranked) -> str:
    """The cell's name without its model, which is in the heading."""
    parts = [item.cell.load_path, item.cell.instance_type]
    names = {cell.settings for cell in result.sweep.cells}
    return " · ".join([*parts, *([item.cell.settings] if len(names) > 1 else [])])


def ratio_words(item: Ranked) -> str:
    """The verdict of a cell as text."""
    verdict = item.verdict
    if item.failure:
        return "failed"
    if verdict is None:
        return "control"
    if verdict.ratio is None:
        return "not measured"
    words = {
        "faster": "faster",
        "slower": "slower",
        "same": "no difference that matters",
        "open": "not decided",
    }
    text = f"{formatting.times(verdict.ratio)}"
    if verdict.low is not None and verdict.high is not None:
        text += f" ({formatting.times(verdict.low)} – {formatting.times(verdict.high)})"
    return f"{text}, {words[verdict.kind]}"
