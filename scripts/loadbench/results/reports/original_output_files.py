"""timing_results.json and deployment_summary.txt: the original two output files, same keys, same lines."""

from __future__ import annotations

import datetime
import json

from loadbench.load_paths import LOAD_PATHS
from loadbench.redaction import redacted_environment
from loadbench.results import formatting
from loadbench.results.reports import snippet
from loadbench.results.reports.templates import render_text
from loadbench.results.run_record import RunRecord


def timing_results(record: RunRecord) -> str:
    """The timing file in JSON, seconds with fractions, the time in UTC.

    A step that the loading method does not have took 0 seconds; a step that did not complete is null.
    """

    def seconds(step: str) -> float | None:
        return record.seconds_of(step) if any(item.name == step for item in record.steps) else 0.0

    document = {
        "model": record.model.model_id,
        "instance_type": record.instance_type,
        "initialization_time": seconds("initialization"),
        "builder_creation_time": seconds("builder_creation"),
        "optimization_time": seconds("optimization"),
        "build_time": seconds("build"),
        "deployment_time": seconds("deployment"),
        "testing_time": seconds("testing"),
        "total_execution_time": _total_s(record),
        "timestamp": _completed_at(record),
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def deployment_head(record: RunRecord) -> str:
    """The first part of the summary, which is printed on a terminal: timings and details."""
    return _render("deployment_head.txt.j2", record)


def deployment_summary(record: RunRecord) -> str:
    """The whole summary: the original text, then the container's environment and how to send requests."""
    return _render("deployment_summary.txt.j2", record)


def _render(template: str, record: RunRecord) -> str:
    setup_s = sum(record.seconds_of(step) or 0.0 for step in ("initialization", "optimization", "build"))
    deployment_s = record.seconds_of("deployment")
    section = LOAD_PATHS[record.path].section if record.path in LOAD_PATHS else ""
    configured = (record.configuration.get(section) or {}).get("container_env_vars") or {}
    return render_text(
        template,
        record=record,
        setup=formatting.duration(setup_s),
        deployment=formatting.MISSING if deployment_s is None else formatting.duration(deployment_s),
        total=formatting.duration(_total_s(record)),
        completed_at=_completed_at(record),
        environment=redacted_environment(configured),
        snippet=snippet.render(record),
    )


def _total_s(record: RunRecord) -> float:
    """To the end of the run, as far as it is known. Destroying the endpoint is not part of it."""
    ends = [step.end_s for step in record.steps if step.end_s is not None and step.name != "destroy"]
    return max([*ends, record.started_s]) - record.started_s


def _completed_at(record: RunRecord) -> str:
    moment = datetime.datetime.fromtimestamp(record.started_s + _total_s(record), datetime.UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}"
