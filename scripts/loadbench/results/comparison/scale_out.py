"""What adding a copy took on both sides: the part of a comparison that scale-outs make."""

from __future__ import annotations

from collections.abc import Sequence

from loadbench.results import formatting
from loadbench.results.comparison.model import ScaleOutSection, Side
from loadbench.results.comparison.rows import match, phase_rows, total_row, weights_row
from loadbench.results.comparison.side import make_side
from loadbench.results.run_record import RunRecord
from loadbench.results.run_summary import point_of
from loadbench.results.scale_out_record import ScaleOutRecord, added_copy
from loadbench.results.statistics import Estimate


def make_section(
    a: tuple[str, Sequence[RunRecord]],
    b: tuple[str, Sequence[RunRecord]],
    scale_outs: Sequence[ScaleOutRecord],
) -> ScaleOutSection | None:
    """The scale-outs of two labelled sets of runs side by side; None where there was none."""
    sides = [_side(label, runs, scale_outs) for label, runs in (a, b)]
    if not any(side.runs for side in sides):
        return None
    both = match(*sides)
    total = total_row(both)
    return ScaleOutSection(
        a=sides[0],
        b=sides[1],
        sentence=_sentence(sides[0], sides[1], total.estimate),
        total=total,
        phases=phase_rows(both),
        weights=weights_row(both),
    )


def _side(label: str, runs: Sequence[RunRecord], scale_outs: Sequence[ScaleOutRecord]) -> Side:
    by_id = {run.run_id: run for run in runs}
    copies = [added_copy(by_id[item.run_id], item) for item in scale_outs if item.run_id in by_id]
    of_id = {copy.run_id: copy for copy in copies}
    return make_side(label, [point_of(copy) for copy in copies], of_id.__getitem__)


def _sentence(a: Side, b: Side, estimate: Estimate | None) -> str:
    known = [side for side in (a, b) if side.time_to_ready]
    if not known:
        return "No copy that was asked for came to serve; the reasons stand below."
    sentence = f"One more copy serves {', '.join(_figures(side) for side in known)}"
    if estimate is None:
        return f"{sentence}."
    ratio = formatting.times(estimate.ratio)
    if estimate.low is None:
        return f"{sentence}: {ratio}. Figures and no verdict: make scale-out PAIRS=5 shows the spread."
    verdict = (
        f"{b.label} is {'faster' if estimate.ratio > 1 else 'slower'}"
        if estimate.decides
        else f"cannot tell whether {b.label} is faster or slower"
    )
    return f"{sentence}: {verdict}, {ratio} (95 % {formatting.interval(estimate)})."


def _figures(side: Side) -> str:
    median_s = side.time_to_ready.median if side.time_to_ready else None
    return f"after {formatting.seconds(median_s)} with {side.label} (n = {len(side.usable)})"
