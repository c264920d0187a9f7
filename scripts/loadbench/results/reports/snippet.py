"""invoke.py: Python code, ready to copy, that sends a request to a run's endpoint."""

from __future__ import annotations

import json
import pprint
from typing import Any

from loadbench.load_paths import LOAD_PATHS, takes_chat_requests
from loadbench.results.reports.templates import render_text
from loadbench.results.run_record import RunRecord
from loadbench.sample_request import DEFAULT, as_chat


def render(record: RunRecord) -> str:
    """A script for boto3 with the same request that the run sent."""
    return render_text(
        "invoke.py.j2",
        local=record.target == "local",
        region=json.dumps(record.region),
        endpoint=json.dumps(record.names.endpoint),
        component=record.names.inference_component and json.dumps(record.names.inference_component),
        payload=pprint.pformat(_sample(record), width=92, sort_dicts=False),
    )


def _sample(record: RunRecord) -> dict[str, Any]:
    """The sample request of the run's section, or of the first section that has one, as in the run."""
    traits = LOAD_PATHS.get(record.path)
    sections = [traits.section] if traits else []
    for section in (*sections, *(other.section for other in LOAD_PATHS.values())):
        sample: dict[str, Any] | None = (record.configuration.get(section) or {}).get("sample_input")
        if sample:
            break
    else:
        sample = DEFAULT
    return as_chat(sample) if takes_chat_requests(record.path, record.image) else sample
