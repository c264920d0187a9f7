"""Charts of a history: cold starts by run with their levels, ratios by comparison."""

from __future__ import annotations

from collections.abc import Sequence

from loadbench.results import formatting
from loadbench.results.history.run_history import ComparedPoint, Point, Series, day_of, marks
from loadbench.results.reports.charts import WIDE
from loadbench.results.reports.svg import Drawing, Scale, ticks

_TOP, _PLOT, _BELOW = 30.0, 250.0, 52.0
_DAYS_WIDE, _DAYS_NARROW = 8, 3


def cold_starts(series: Series, width: int) -> Drawing:
    """One dot per run in chronological order, median and interval of each level, lines at version changes."""
    seconds = [point.seconds for point in series.points if point.seconds is not None]
    across, up = _scales(width, len(series.points), [*seconds, *_edges(series)])
    drawing = Drawing(
        width,
        _TOP + _PLOT + _BELOW,
        f"Cold starts of {series.title}",
        f"{len(series.points)} runs. {series.words}",
    )
    _axes(drawing, across, up, series.points, width)
    for number, (index, words) in enumerate(marks(series), 1):
        x = across(index - 0.5)
        drawing.line(x, _TOP, x, _TOP + _PLOT, "even")
        drawing.text(x, _TOP - 8, str(number), "tick", "middle")
        drawing.rectangle(x - 5, _TOP, 10, _PLOT, "hover", f"{number}: {words}")
    places = {point.run_id: index for index, point in enumerate(series.points)}
    ends = [*(places[level.first_run] for level in series.levels[1:]), len(series.points)]
    for level, end in zip(series.levels, ends, strict=True):
        left, right = across(places[level.first_run] - 0.5), across(end - 0.5)
        if level.low_s is not None and level.high_s is not None:
            drawing.rectangle(
                left, up(level.high_s), right - left, up(level.low_s) - up(level.high_s), "band a"
            )
        tip = f"{level.count} runs, median {formatting.seconds(level.median_s)}"
        drawing.line(left, up(level.median_s), right, up(level.median_s), "median a")
        drawing.rectangle(left, up(level.median_s) - 4, right - left, 8, "hover", tip)
    for index, point in enumerate(series.points):
        _run(drawing, across(index), up, point)
    return drawing


def _run(drawing: Drawing, x: float, up: Scale, point: Point) -> None:
    if point.seconds is None:
        y = _TOP + _PLOT - 8
        drawing.line(x - 4, y - 4, x + 4, y + 4, "failed")
        drawing.line(x - 4, y + 4, x + 4, y - 4, "failed")
        drawing.rectangle(x - 6, y - 6, 12, 12, "hover", f"{point.run_id}: {point.failure}")
        return
    tip = f"{point.run_id}, {point.day}: {formatting.seconds(point.seconds)}"
    drawing.dot(x, up(point.seconds), 4.5, "point a", tip)


def _edges(series: Series) -> list[float]:
    return [end for level in series.levels for end in (level.low_s, level.high_s) if end is not None]


def ratios(points: Sequence[ComparedPoint], width: int) -> Drawing | None:
    """Ratio and interval of each comparison in chronological order; None if no comparison has a ratio."""
    known = [point for point in points if point.estimate]
    if not known:
        return None
    values = [1.0]
    for point in known:
        assert point.estimate
        values += [point.estimate.ratio, point.estimate.low or 1.0, point.estimate.high or 1.0]
    across, up = _scales(width, len(known), values)
    title = f"Ratio {known[0].a} ÷ {known[0].b} of every comparison"
    drawing = Drawing(
        width, _TOP + _PLOT + _BELOW, title, "1 means no difference. The table lists the figures."
    )
    _axes(drawing, across, up, known, width, unit="×")
    drawing.line(across.start, up(1), across.end, up(1), "even")
    for index, point in enumerate(known):
        estimate = point.estimate
        assert estimate
        x = across(index)
        if estimate.low is not None and estimate.high is not None:
            drawing.line(x, up(estimate.low), x, up(estimate.high), "whisker b")
        tip = f"{point.comparison_id}: {formatting.times(estimate.ratio)} ({formatting.interval(estimate)})"
        drawing.dot(x, up(estimate.ratio), 4.5, "point b", tip)
    return drawing


def _scales(width: int, count: int, values: Sequence[float]) -> tuple[Scale, Scale]:
    low, high = min(values, default=0.0), max(values, default=1.0)
    margin = 0.08 * (high - low) or 0.05 * high or 1.0
    left = 52.0 if width < WIDE else 64.0
    across = Scale(-0.5, max(count - 0.5, 0.5), left, width - 12)
    return across, Scale(max(low - margin, 0.0), high + margin, _TOP + _PLOT, _TOP)


def _axes(
    drawing: Drawing,
    across: Scale,
    up: Scale,
    points: Sequence[Point | ComparedPoint],
    width: int,
    unit: str = "s",
) -> None:
    for value in ticks(up.low, up.high, 5):
        drawing.line(across.start, up(value), across.end, up(value), "grid")
        label = f"×{value:g}" if unit == "×" else f"{value:g} s"
        drawing.text(across.start - 8, up(value) + 4, label, "tick", "end")
    days = [
        day_of(point.created_s if isinstance(point, ComparedPoint) else point.started_s) for point in points
    ]
    most = _DAYS_NARROW if width < WIDE else _DAYS_WIDE
    starts = [index for index, day in enumerate(days) if not index or day != days[index - 1]]
    step = max(1, -(-len(starts) // most))
    shown, last_x = starts[::step], -1000.0
    for index in shown:
        x = max(across(index), across.start + 34)
        if x - last_x < 82 or x > across.end - 30:
            continue
        drawing.text(x, _TOP + _PLOT + 20, days[index], "tick", "middle")
        drawing.line(across(index), _TOP + _PLOT, across(index), _TOP + _PLOT + 5, "grid")
        last_x = x
    drawing.text(
        (across.start + across.end) / 2, _TOP + _PLOT + 42, "runs in chronological order", "tick", "middle"
    )
