"""comparison.json: the comparison, machine-readable. Schema: docs/schemas/comparison.v1.schema.json."""

from __future__ import annotations

from loadbench.results.comparison.model import Comparison


def render(comparison: Comparison) -> str:
    """Two spaces of indentation, one newline at the end."""
    return comparison.model_dump_json(indent=2) + "\n"
