"""Traffic, copies and waiting over the simulated time, one curve per loading method."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from loadbench.results.reports.charts import NARROW, SIDE_CLASSES, WIDE
from loadbench.results.reports.svg import Drawing, Scale, ticks
from loadbench.what_if.distributions import Seconds
from loadbench.what_if.outcome import Day
from loadbench.what_if.simulation import Trace

_BINS = 240
_PANEL = 100.0  # pixels
_GAP = 36.0
_LEFT = 62.0
_TOP = 20.0
Points = list[tuple[float, float]]


def timeline(days: Sequence[Day], width: int = WIDE) -> Drawing:
    """Panels for requests, copies, waiting and failures on a shared time axis."""
    names = [outcome.load_path for outcome, _ in days]
    traces = [trace for _, trace in days]
    duration_s = max(trace.duration_s for trace in traces)
    across = Scale(0, duration_s, _LEFT, width - 16)
    panels = [
        ("requests per second", [("plain", _rate(traces[0]))]),
        ("copies in service", _curves(_copies, traces)),
        ("longest wait of answered requests, in seconds", _curves(_longest_wait, traces)),
        ("failed requests per minute", _curves(_failures, traces)),
    ]
    bottom = _TOP + len(panels) * (_PANEL + _GAP)
    drawing = Drawing(
        width,
        bottom + 26,
        "Requests, copies, waiting and failures over the simulated time",
        f"{', '.join(names)}. The table lists the figures.",
    )
    _legend(drawing, names)
    for number, (title, curves) in enumerate(panels, 1):
        _panel(drawing, title, curves, across, _TOP + number * (_PANEL + _GAP))
    unit_s, unit = (3600.0, "h") if duration_s > 7200 else (60.0, "min")
    for value in ticks(0, duration_s / unit_s, 4 if width <= NARROW else 12):
        drawing.text(across(value * unit_s), bottom + 20, f"{value:g} {unit}", "tick", "middle")
    return drawing


def _curves(points_of: Callable[[Trace], Points], traces: Sequence[Trace]) -> list[tuple[str, Points]]:
    return [(css, points_of(trace)) for css, trace in zip(SIDE_CLASSES, traces, strict=False)]


def _panel(
    drawing: Drawing, title: str, curves: Sequence[tuple[str, Points]], across: Scale, bottom: float
) -> None:
    """One quantity on its own scale, starting at zero."""
    highest = max((value for _, curve in curves for _, value in curve), default=0) or 1.0
    up = Scale(0, highest * 1.08, bottom, bottom - _PANEL)
    drawing.text(0, bottom - _PANEL - 8, title, "head plain")
    for value in ticks(0, highest * 1.08, 4):
        drawing.line(across.start, up(value), across.end, up(value), "grid")
        drawing.text(across.start - 8, up(value) + 4, f"{value:,g}", "tick", "end")
    for css, curve in curves:
        drawing.polyline([(across(time_s), up(value)) for time_s, value in curve], f"curve {css}")


def _legend(drawing: Drawing, names: Sequence[str]) -> None:
    x = _LEFT
    for css, name in zip(SIDE_CLASSES, names, strict=False):
        drawing.line(x, 10, x + 30, 10, f"curve {css}")
        drawing.text(x + 38, 15, name, f"head {css}")
        x += 66 + 8.5 * len(name)


def _edges(trace: Trace) -> Seconds:
    return np.linspace(0, trace.duration_s, _BINS + 1)


def _rate(trace: Trace) -> Points:
    counts, edges = np.histogram(trace.arrivals_s, _edges(trace))
    return _stairs(edges[:-1].tolist(), (counts / (edges[1] - edges[0])).tolist(), trace.duration_s)


def _copies(trace: Trace) -> Points:
    starts_s, ready = [at_s for at_s, _, _ in trace.counts], [ready for _, ready, _ in trace.counts]
    return _stairs(starts_s, ready, trace.duration_s)


def _longest_wait(trace: Trace) -> Points:
    """The longest wait of answered requests, by the interval in which they arrived."""
    waits_s, edges = np.where(np.isfinite(trace.waits_s), trace.waits_s, 0.0), _edges(trace)
    places = np.searchsorted(trace.arrivals_s, edges).tolist()
    longest_s = [float(waits_s[first:last].max(initial=0.0)) for first, last in itertools.pairwise(places)]
    return _stairs(edges[:-1].tolist(), longest_s, trace.duration_s)


def _failures(trace: Trace) -> Points:
    counts, edges = np.histogram(trace.arrivals_s[~np.isfinite(trace.waits_s)], _edges(trace))
    return _stairs(edges[:-1].tolist(), (counts * 60 / (edges[1] - edges[0])).tolist(), trace.duration_s)


def _stairs(starts_s: Sequence[float], values: Sequence[float], end_s: float) -> Points:
    """A step curve: each value holds until the next one starts."""
    ends_s = [*starts_s[1:], end_s]
    return [
        (at_s, value)
        for start_s, end, value in zip(starts_s, ends_s, values, strict=True)
        for at_s in (start_s, end)
    ]
