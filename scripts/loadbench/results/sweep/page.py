"""Table and HTML page of a sweep: ranking, charts, drift, next measurements. No script, no network."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from loadbench.results import formatting
from loadbench.results.reports.templates import in_both_layouts, render_page
from loadbench.results.run_record import write_atomically
from loadbench.results.sweep import charts
from loadbench.results.sweep.model import sweep_folder
from loadbench.results.sweep.ranking import Drift, SweepResult

COLUMNS = ["cell", "runs", "median", "USD", "speedup against the control (95 %)"]


def table_rows(result: SweepResult) -> list[list[str]]:
    """One row per cell, by model, fastest first."""
    return [
        [
            item.cell.name,
            str(len(item.times_s)),
            formatting.seconds(item.summary.median if item.summary else None),
            formatting.usd(item.usd),
            charts.ratio_words(item),
        ]
        for item in result.ranked
    ]


def summary_lines(result: SweepResult) -> list[str]:
    """Cost of the sweep, the reason why it ended, drift of the control, next measurements."""
    sweep = result.sweep
    lines = [
        f"{sum(run.status == 'succeeded' for run in sweep.runs)} runs in {sweep.used_s / 3600:.2f} of "
        f"{sweep.max_hours:g} h, at AWS prices {formatting.usd(sweep.spent_usd)} of "
        f"{formatting.usd(sweep.max_usd)}; ended because {sweep.ended_because}.",
        drift_words(result.drift),
        *next_words(result)[:3],
    ]
    if sweep.target == "local":
        lines.append("Timings of the embedded AWS, not of AWS; nothing was billed.")
    return lines


def drift_words(drift: Drift) -> str:
    """The drift of the control over the sweep, as text."""
    if drift.ratio is None or drift.low is None or drift.high is None:
        return "Drift: unknown, too few runs of the control."
    change = (
        f"{100 * (drift.ratio - 1):+.0f} % ({100 * (drift.low - 1):+.0f} to {100 * (drift.high - 1):+.0f} %)"
    )
    if drift.low <= 1 <= drift.high:
        return f"Drift: not significant; the control changed by {change} from its first run to its last."
    return f"Drift: the control changed by {change} from its first run to its last; ratios are not affected."


def next_words(result: SweepResult) -> list[str]:
    """Undecided cells, the cheapest to decide first."""
    return [
        f"To decide {step.cell}: about {step.rounds} more round{'s' if step.rounds != 1 else ''}, "
        f"{formatting.usd(step.usd)}, {step.minutes:.0f} min."
        for step in result.next_steps
    ]


def write_page(result: SweepResult, results_dir: Path) -> Path:
    """Write result.json and report.html to the sweep's folder; returns the path of the page."""
    folder = sweep_folder(results_dir, result.sweep.sweep_id)
    write_atomically(folder / "result.json", result.model_dump_json(indent=2) + "\n")
    return write_atomically(folder / "report.html", render(result))


def render(result: SweepResult) -> str:
    """The HTML page."""
    return render_page(
        "sweep.html.j2",
        result=result,
        sweep=result.sweep,
        formatting=formatting,
        short_name=lambda item: charts.short_name(result, item),
        ratio_words=charts.ratio_words,
        colour=lambda item: charts.colour_of(result, item),
        drift=drift_words(result.drift),
        next_words=next_words(result),
        best={model: _best(result, model) for model in result.models},
        paths=list(dict.fromkeys(cell.load_path for cell in result.sweep.cells)),
        intervals={m: in_both_layouts(partial(charts.intervals, result), m) for m in result.models},
        pareto={m: in_both_layouts(partial(charts.pareto, result), m) for m in result.models},
        control_chart=in_both_layouts(charts.control_over_time, result.drift),
        model_names={model: _model_name(model) for model in result.models},
    )


def _best(result: SweepResult, model: str) -> str:
    """The headline of a model: its fastest cell, and whether that is shown to be faster than the control."""
    items = result.of_model(model)
    first, name = items[0], charts.short_name(result, items[0])
    if first.summary is None:
        return f"With {_model_name(model)}: no run yet."
    text = f"With {_model_name(model)}, {name} is the fastest of {len(items)}: "
    text += formatting.seconds(first.summary.median)
    if first.verdict is None:
        return f"{text}. It is the control of the others."
    words = {"faster": "faster than the control", "open": "not yet shown to be faster than the control"}
    return f"{text}, {words.get(first.verdict.kind, 'no difference from the control that matters')}."


def _model_name(model: str) -> str:
    return model.rsplit("/", 1)[-1].removeprefix("synthetic:")
