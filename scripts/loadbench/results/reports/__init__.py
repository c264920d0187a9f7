"""Report formats, one module each; `write_reports` and `write_run_files` write all of them."""

from __future__ import annotations

import os
from pathlib import Path

from loadbench.results.comparison.model import Comparison
from loadbench.results.reports import csv, html, json, markdown, original_output_files, snippet, text, trace
from loadbench.results.run_record import RunRecord, write_atomically
from loadbench.workspace import Workspace


def write_reports(comparison: Comparison, folder: Path) -> list[Path]:
    """Write every format of a comparison into `folder`, each file atomically."""
    return _write(
        folder,
        {
            "comparison.json": json.render(comparison),
            "comparison.txt": text.render(comparison),
            "comparison.md": markdown.render(comparison),
            "raw.csv": csv.render(comparison),
            "trace.json": trace.render(comparison),
            "report.html": html.render(comparison, _docs(folder)),
            **html.chart_files(comparison),
            **(
                {"scale_out.csv": csv.render_scale_outs(comparison.scale_out)} if comparison.scale_out else {}
            ),
        },
    )


def write_run_files(record: RunRecord, folder: Path) -> list[Path]:
    """Write the files that belong to the record of one run."""
    return _write(
        folder,
        {
            "timing_results.json": original_output_files.timing_results(record),
            "deployment_summary.txt": original_output_files.deployment_summary(record),
            "invoke.py": snippet.render(record),
            "trace.json": trace.render_run(record),
        },
    )


def _docs(folder: Path) -> str | None:
    """Path from the page to the documentation in a checkout; an installed package has none."""
    docs = Workspace.here().assets / "docs"
    return os.path.relpath(docs, folder) if (docs / "read-a-result.md").is_file() else None


def _write(folder: Path, files: dict[str, str]) -> list[Path]:
    return [write_atomically(folder / name, content) for name, content in files.items()]
