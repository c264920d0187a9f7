"""The published schemas are those of the models, and what is written meets them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import jsonschema
import pytest

from loadbench.results.comparison.compare import compare
from loadbench.results.schemas import main, render_schemas
from tests.loadbench.results.builders import (
    EPOCH_S,
    make_pairs,
    make_record,
    make_scale_out,
    seed_records,
)

PUBLISHED = Path(__file__).parents[3] / "docs" / "schemas"


def test_the_published_schemas_are_up_to_date() -> None:
    """If this fails: python -m loadbench.results.schemas docs/schemas"""
    published = {file.name: file.read_text(encoding="utf-8") for file in PUBLISHED.iterdir()}
    assert published == render_schemas()


def test_the_command_writes_them(tmp_path: Path) -> None:
    main([str(tmp_path)])
    assert {file.name for file in tmp_path.iterdir()} == set(render_schemas())


@pytest.mark.parametrize("record", [make_record("fast"), make_record("standard", status="failed")])
def test_a_record_meets_its_schema(record: object) -> None:
    schema = json.loads((PUBLISHED / "run.v1.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(json.loads(record.model_dump_json()), schema)  # type: ignore[attr-defined]


@pytest.mark.parametrize("status", ["succeeded", "failed"])
def test_a_scale_out_meets_its_schema(status: Literal["succeeded", "failed"]) -> None:
    schema = json.loads((PUBLISHED / "scale-out.v1.schema.json").read_text(encoding="utf-8"))
    record = make_scale_out(make_record("fast"), status=status)
    jsonschema.validate(json.loads(record.model_dump_json()), schema)


@pytest.mark.parametrize("records", [seed_records(), make_pairs([1.3, 1.2, 1.35])])
def test_a_comparison_meets_its_schema(records: list[object]) -> None:
    schema = json.loads((PUBLISHED / "comparison.v1.schema.json").read_text(encoding="utf-8"))
    comparison = compare(records, created_s=EPOCH_S)  # type: ignore[arg-type]
    jsonschema.validate(json.loads(comparison.model_dump_json()), schema)
