"""raw.csv and scale_out.csv: one row per run, including failed ones; seconds and bytes, no units in cells."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

from loadbench.foreign_text import csv_cell
from loadbench.results.comparison.model import Comparison, ScaleOutSection, Side
from loadbench.results.run_summary import RunSummary
from loadbench.results.timeline import PHASES

_PHASES = [phase for phase in PHASES if phase != "first_response"]
COLUMNS = [
    "side",
    "path",
    "run_id",
    "status",
    "series_id",
    "pair",
    "position",
    "outlier",
    "time_to_ready_s",
    "terraform_s",
    "poller_s",
    *(f"{phase}_s" for phase in _PHASES),
    "first_response_s",
    "warm_response_median_s",
    "time_to_first_token_median_s",
    "output_rate_median_tokens_per_s",
    "cpu_seconds",
    "peak_memory_bytes",
    "disk_write_bytes",
    "network_receive_bytes",
    "optimization_s",
    "target",
    "reused",
    "failure",
]
SCALE_OUT_COLUMNS = [
    *COLUMNS[: COLUMNS.index("terraform_s")],
    *(f"{phase}_s" for phase in _PHASES),
    "requests",
    "failed_requests",
    "failure",
]


def render(comparison: Comparison) -> str:
    """RFC 4180 with a header; unknown values are empty cells."""
    return _table(
        COLUMNS,
        [
            _row(side, run) | {"reused": int(run.run_id in {item.run_id for item in comparison.reused_runs})}
            for side in comparison.sides
            for run in side.runs
        ],
    )


def render_scale_outs(section: ScaleOutSection) -> str:
    """One row per scale-out, without the columns that only deployments have."""
    rows = [
        _row(side, run) | {"requests": run.sent_requests, "failed_requests": run.failed_invocations}
        for side in (section.a, section.b)
        for run in side.runs
    ]
    return _table(SCALE_OUT_COLUMNS, rows)


def _table(columns: Sequence[str], rows: Sequence[Mapping[str, object]]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, extrasaction="ignore")
    writer.writeheader()
    writer.writerows({column: csv_cell(value) for column, value in row.items()} for row in rows)
    return buffer.getvalue()


def _row(side: Side, run: RunSummary) -> dict[str, object]:
    return {
        "side": side.label,
        "path": run.path,
        "run_id": run.run_id,
        "status": run.status,
        "series_id": run.pair.series_id if run.pair else None,
        "pair": run.pair.index if run.pair else None,
        "position": run.pair.position if run.pair else None,
        "outlier": int(run.run_id in side.outliers),
        "time_to_ready_s": run.time_to_ready_s,
        "terraform_s": run.clocks.terraform_s,
        "poller_s": run.clocks.poller_s,
        **{f"{phase}_s": run.seconds_in(phase) if run.phases else None for phase in _PHASES},
        "first_response_s": run.first_response_s,
        "warm_response_median_s": run.warm_latency_s,
        "time_to_first_token_median_s": run.time_to_first_token_s,
        "output_rate_median_tokens_per_s": run.output_tokens_per_s,
        "cpu_seconds": run.cpu_seconds,
        "peak_memory_bytes": run.peak_memory_bytes,
        "disk_write_bytes": run.disk_write_bytes,
        "network_receive_bytes": run.network_receive_bytes,
        "optimization_s": run.optimization.seconds if run.optimization else None,
        "target": run.target,
        "failure": run.failure,
    }
