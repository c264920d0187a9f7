"""One copy among others is identified: its lines, its platform's events, its part of the time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from loadbench.results.scale_out_record import CountChange, ScaleOutRecord
from loadbench.results.timeline import partition
from loadbench.run.observe.added_copy import AddedCopy
from loadbench.run.observe.logs import container_group, platform_group
from tests.loadbench.run.observe.test_observer import names, put_events


def phase(name: str, start_s: float, end_s: float) -> str:
    return f"[phase] name={name} start={start_s:.6f} end={end_s:.6f} bytes=7 worker=loader"


def event(name: str, start_s: float, end_s: float, component: str | None = None) -> str:
    return json.dumps(
        {"phase": name, "start": start_s, "end": end_s, "instance_id": "i", "inference_component": component}
    )


READY = "INFO  PyProcess Model [model] initialized."


def record(*changes: CountChange) -> ScaleOutRecord:
    return ScaleOutRecord(
        scale_out_id="x",
        run_id="r",
        path="fast",
        started_s=99.0,
        command=[],
        copies_before=1,
        copies_after=2,
        changes=list(changes),
        status_history=[
            (99.0, "endpoint", "InService"),
            (100.1, "endpoint", "Updating"),
            (111.0, "endpoint", "InService"),
        ],
    )


def test_only_the_new_copys_lines_and_events_count(aws_session: Any, tmp_path: Path) -> None:
    watched = names(component=True)
    component = watched.inference_component
    container, platform = container_group(watched), platform_group(watched)
    put_events(aws_session, container, f"{component}/old", phase("weights_stream", 10, 12), READY)
    put_events(
        aws_session, platform, "i-1", event("provision", 1, 2), event("health_check", 12, 13, component)
    )

    copy = AddedCopy(aws_session, watched, embedded=True)
    put_events(aws_session, container, f"{component}/old", "a request was answered with hf_secret")
    put_events(
        aws_session, container, f"{component}/new", phase("weights_stream", 103, 108), "hf_secret", READY
    )
    put_events(aws_session, platform, "i-2", event("provision", 100, 102))
    put_events(aws_session, platform, "i-2", event("health_check", 109, 110, component))
    copy.collect(patiently=True)

    done = record(
        CountChange(resource="endpoint", before=1, after=2, request_s=100, ready_s=102),
        CountChange(resource="inference component", before=1, after=2, request_s=102.5, ready_s=110),
    )
    spans = copy.spans(done)
    assert [(span.name, span.start_s, span.end_s) for span in spans if span.clock != "poller"] == [
        ("provision", 100, 102),
        ("provision", 102, 102.5),  # until somebody asked for the copy
        ("weights_stream", 103, 108),
        ("health_check", 109, 110),
    ]
    assert [span.name for span in spans if span.clock == "poller"] == ["endpoint Updating"]
    shares = partition(spans, 100, 110)
    assert sum(share.seconds for share in shares) == 10
    copy.write_log(tmp_path / "copy.log", ["hf_secret"])
    stored = (tmp_path / "copy.log").read_text(encoding="utf-8")
    assert "[redacted]" in stored
    assert "hf_secret" not in stored
    assert f"{component}/old" not in stored
    assert copy.problems == []


def test_on_aws_the_edges_tell_what_no_line_does(aws_session: Any) -> None:
    watched = names()
    group = container_group(watched)
    put_events(aws_session, group, "AllTraffic/i-1", READY)
    copy = AddedCopy(aws_session, watched, embedded=False)
    put_events(aws_session, group, "AllTraffic/i-2", phase("weights_to_host", 100, 110), READY)
    copy.collect(patiently=True)
    done = record(CountChange(resource="endpoint", before=1, after=2, request_s=50.0, ready_s=2e9))
    inferred = [span for span in copy.spans(done) if span.certainty == "inferred"]
    assert [span.name for span in inferred] == ["provision", "health_check"]
    assert inferred[0].start_s == 50.0
