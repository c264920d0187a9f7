"""The published JSON Schemas of the written files: `python -m loadbench.results.schemas FOLDER`.

Generated from the models and checked for drift by a test. A change that breaks old readers raises the
model's `schema_version`; a new optional field does not.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pydantic import BaseModel

from loadbench.results.comparison.model import COMPARISON_SCHEMA_VERSION, Comparison
from loadbench.results.run_record import SCHEMA_VERSION, RunRecord, write_atomically
from loadbench.results.scale_out_record import SCALE_OUT_SCHEMA_VERSION, ScaleOutRecord

_MODELS: dict[str, tuple[type[BaseModel], int]] = {
    "run": (RunRecord, SCHEMA_VERSION),
    "scale-out": (ScaleOutRecord, SCALE_OUT_SCHEMA_VERSION),
    "comparison": (Comparison, COMPARISON_SCHEMA_VERSION),
}


def render_schemas() -> dict[str, str]:
    """File names and contents; fields with a default are optional, because older records lack them."""
    return {
        f"{name}.v{version}.schema.json": _render(name, model, version)
        for name, (model, version) in _MODELS.items()
    }


def _render(name: str, model: type[BaseModel], version: int) -> str:
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:loadbench:{name}:{version}",
        **model.model_json_schema(),
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> None:
    """Write the schemas into the folder that the first argument names."""
    folder = Path(arguments[0])
    for name, text in render_schemas().items():
        write_atomically(folder / name, text)


if __name__ == "__main__":
    main(sys.argv[1:])
