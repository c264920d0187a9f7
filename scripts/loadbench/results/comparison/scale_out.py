"""The scale-out section of a comparison: adding a copy, on both sides."""

from __future__ import annotations

from collections.abc import Sequence

from loadbench.results import formatting
from loadbench.results.comparison.confounders import warm_against_cold
from loadbench.results.comparison.model import ScaleOutSection, Side
from loadbench.results.comparison.rows import dependent_groups, match, phase_rows, total_row, weights_row
from loadbench.results.comparison.side import make_side
from loadbench.results.run_record import RunRecord
from loadbench.results.run_summary import point_of
from loadbench.results.scale_out_record import ScaleOutRecord, added_copy
from loadbench.results.statistics import Estimate

# Scale-outs of one endpoint are not independent (docs/method.md, rule 11).
_NEW_ENDPOINTS = "To settle it, repeat with new endpoints and compare all of these runs."


def make_section(
    a: tuple[str, Sequence[RunRecord]],
    b: tuple[str, Sequence[RunRecord]],
    scale_outs: Sequence[ScaleOutRecord],
) -> ScaleOutSection | None:
    """The scale-outs of two labelled sets of runs side by side; None if there were none."""
    sides = [_side(label, runs, scale_outs) for label, runs in (a, b)]
    if not any(side.runs for side in sides):
        return None
    layers = warm_against_cold(sides[0].usable, sides[1].usable)
    endpoint_of = {run.run_id: run.names.endpoint for run in (*a[1], *b[1]) if run.target == "aws"}
    endpoints = {
        item.scale_out_id: endpoint_of[item.run_id] for item in scale_outs if item.run_id in endpoint_of
    }
    groups = dependent_groups(sides[0], sides[1], endpoints)
    both = match(sides[0], sides[1], groups=groups, comparable=not layers)
    total = total_row(both)
    return ScaleOutSection(
        a=sides[0],
        b=sides[1],
        sentence=_sentence(
            sides[0], sides[1], total.estimate, layers, dependent=groups is not None, on_aws=bool(endpoints)
        ),
        total=total,
        phases=phase_rows(both),
        weights=weights_row(both),
    )


def _side(label: str, runs: Sequence[RunRecord], scale_outs: Sequence[ScaleOutRecord]) -> Side:
    by_id = {run.run_id: run for run in runs}
    copies = [added_copy(by_id[item.run_id], item) for item in scale_outs if item.run_id in by_id]
    of_id = {copy.run_id: copy for copy in copies}
    return make_side(label, [point_of(copy) for copy in copies], of_id.__getitem__)


def _sentence(
    a: Side,
    b: Side,
    estimate: Estimate | None,
    layers: Sequence[str],
    *,
    dependent: bool,
    on_aws: bool,
) -> str:
    known = [side for side in (a, b) if side.time_to_ready]
    if not known:
        return "No added copy reached service; the reasons are below."
    figures = f"One more copy was in service {', '.join(_figures(side) for side in known)}"
    if len(known) < 2:
        return f"{figures}."
    if layers:
        names = " and ".join(name.removesuffix(" before the start") for name in layers)
        return f"Inconclusive (one side started warm, the other cold: {names}). {figures}."
    if estimate is None and dependent:
        return (
            "Inconclusive (SageMaker keeps an endpoint's image, so scale-outs of one endpoint are not "
            f"independent). {figures}. {_NEW_ENDPOINTS}"
        )
    if estimate is None:
        runs = "1 scale-out each" if {len(side.usable) for side in known} == {1} else "too few scale-outs"
        settle = _NEW_ENDPOINTS if on_aws else "To settle it: make scale-out PAIRS=5"
        return f"Inconclusive ({runs}). {figures}. {settle}"
    interval = formatting.interval(estimate)
    if not estimate.decides:
        return f"Inconclusive: the 95 % interval of the ratio, {interval}, includes 1. {figures}."
    word = "faster" if estimate.ratio > 1 else "slower"
    return f"{b.label} is {word}: {formatting.times(estimate.ratio)} (95 % {interval}). {figures}."


def _figures(side: Side) -> str:
    median_s = side.time_to_ready.median if side.time_to_ready else None
    return f"after {formatting.seconds(median_s)} with {side.label} (n = {len(side.usable)})"
