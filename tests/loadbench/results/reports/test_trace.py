"""The trace opens in Perfetto: positive microseconds, slices of a track nest, both requests at one moment."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from loadbench.results.comparison.compare import compare
from loadbench.results.reports import run_screen, trace
from loadbench.results.run_record import ReadinessEdge
from loadbench.results.timeline import PHASES, Span
from tests.loadbench.results.builders import EPOCH_S, make_record, seed_records

spans = st.builds(
    lambda name, start_s, length_s, worker: Span(
        name=name,
        start_s=EPOCH_S + start_s,
        end_s=EPOCH_S + start_s + length_s,
        clock="container",
        worker=worker,
    ),
    st.sampled_from(PHASES),
    st.floats(-10, 100),
    st.floats(0, 100),
    st.sampled_from(["W-1", "W-2"]),
)


def events(text: str, phase: str) -> list[dict[str, Any]]:
    return [event for event in json.loads(text)["traceEvents"] if event["ph"] == phase]


@given(st.lists(spans, max_size=15))
def test_slices_of_one_track_nest_and_none_is_lost(some: list[Span]) -> None:
    slices = events(trace.render_run(make_record("fast", spans=some)), "X")
    assert sorted(event["name"] for event in slices) == sorted(span.name for span in some)
    tracks = defaultdict(list)
    for event in slices:
        assert event["ts"] >= 0
        assert event["dur"] >= 0
        tracks[event["pid"], event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
    for track in tracks.values():
        for (start_a, end_a), (start_b, end_b) in itertools.combinations(sorted(track), 2):
            apart = end_a <= start_b or end_b <= start_a
            nested = (start_a <= start_b and end_b <= end_a) or (start_b <= start_a and end_a <= end_b)
            assert apart or nested


def test_both_paths_are_processes_aligned_at_their_requests() -> None:
    text = trace.render(compare(seed_records(), created_s=EPOCH_S))
    names = {
        event["pid"]: event["args"]["name"] for event in events(text, "M") if event["name"] == "process_name"
    }
    assert [name.split()[0] for name in names.values()] == ["standard", "fast"]
    marks = {(event["pid"], event["name"]): event["ts"] for event in events(text, "i")}
    assert marks[1, "request"] == marks[2, "request"]
    assert marks[1, "in service"] - marks[1, "request"] == 632_000_000
    assert marks[2, "in service"] - marks[2, "request"] == 450_090_000


def test_bytes_are_counters() -> None:
    counters = events(trace.render_run(make_record("fast")), "C")
    assert {event["name"] for event in counters} >= {
        "NetworkReceiveBytes i-0f3a (bytes)",
        "DiskWriteBytes i-0f3a (bytes)",
    }
    assert all(event["ts"] >= 0 for event in counters)


def test_every_track_has_a_name() -> None:
    text = trace.render_run(make_record("standard"))
    named = {(event["pid"], event["tid"]) for event in events(text, "M") if event["name"] == "thread_name"}
    assert {(event["pid"], event["tid"]) for event in events(text, "X")} <= named


def test_a_run_that_never_was_in_service_has_a_trace_too() -> None:
    marks = events(trace.render_run(make_record("standard", status="failed")), "i")
    assert [mark["name"] for mark in marks] == ["request"]


def test_moments_of_readiness_are_marks_in_the_trace_and_rows_of_the_run() -> None:
    record = make_record("fast")
    request_s = record.deployment.request_s or 0.0
    record.readiness = [ReadinessEdge(name="ping_ok", at_s=request_s + 40, source="the server's log line")]
    marks = {event["name"]: event["ts"] for event in events(trace.render_run(record), "i")}
    assert marks["ping_ok"] - marks["request"] == 40e6
    console = Console(width=100, record=True)
    console.print(run_screen.render(record))
    row = next(line for line in console.export_text().splitlines() if "Ping ok after" in line)
    assert row.split() == ["Ping", "ok", "after", "40.0", "s", "the", "server's", "log", "line"]
