"""A history as OpenMetrics 1.0 text, for a scraper or a push gateway."""

from __future__ import annotations

from collections.abc import Callable

from loadbench.results.history.run_history import History, Series

_GAUGES: tuple[tuple[str, str, str, Callable[[Series], float | None]], ...] = (
    (
        "loadbench_cold_start_seconds",
        "seconds",
        "Cold start of the newest successful run.",
        lambda series: series.timed[-1].seconds if series.timed else None,
    ),
    (
        "loadbench_cold_start_level_seconds",
        "seconds",
        "Median of the newest level: the runs since the last detected change.",
        lambda series: series.newest.median_s if series.newest else None,
    ),
    (
        "loadbench_cold_start_level_change_ratio",
        "ratio",
        "Newest level divided by the previous one; 1 if no change was detected.",
        lambda series: 1 + series.slowdown_percent / 100 if series.newest else None,
    ),
    (
        "loadbench_cold_start_level_since_timestamp_seconds",
        "seconds",
        "Start of the first run of the newest level.",
        lambda series: series.newest.since_s if series.newest else None,
    ),
)


def render(history: History) -> str:
    """The text including the EOF marker. A series without a successful run only has counts."""
    lines = []
    for name, unit, text, value_of in _GAUGES:
        lines += [f"# TYPE {name} gauge", f"# UNIT {name} {unit}", f"# HELP {name} {text}"]
        for series in history.series:
            value = value_of(series)
            if value is not None:
                lines.append(f"{name}{_labels(series)} {value!r}")
    lines += ["# TYPE loadbench_runs counter", "# HELP loadbench_runs Recorded runs by result."]
    for series in history.series:
        for result, count in (("succeeded", len(series.timed)), ("failed", series.failed)):
            lines.append(f"loadbench_runs_total{_labels(series, result=result)} {count}")
    return "\n".join([*lines, "# EOF"]) + "\n"


def _labels(series: Series, **more: str) -> str:
    labels = {
        "path": series.path,
        "target": "emulated" if series.emulated else "aws",
        # Everything that distinguishes two series, so that label sets are unique.
        **{name.lower().replace(" ", "_"): value for name, value in series.facts.items()},
        **more,
    }
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
