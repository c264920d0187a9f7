"""Moments on the way to readiness: what no line and no request shows has no entry."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadbench.results.run_record import Invocation, ReadinessEdge
from loadbench.run.observe.lines import LogLine, parse_lines
from loadbench.run.observe.readiness import find_readiness

FIXTURES = Path(__file__).parent / "fixtures"
LISTENS = "INFO:     Uvicorn running on http://0.0.0.0:8080 (Press CTRL+C to quit)"
PING = 'INFO:     169.254.178.2:36790 - "GET /ping HTTP/1.1" 200 OK'


def at(*lines: tuple[float, str], stream: str = "s") -> list[LogLine]:
    return [LogLine(at_s, stream, message) for at_s, message in lines]


def moments(edges: list[ReadinessEdge]) -> list[tuple[str, float]]:
    assert all(edge.source for edge in edges)
    return [(edge.name, edge.at_s) for edge in edges]


@pytest.mark.parametrize(
    ("message", "name"),
    [
        (LISTENS, "port_open"),
        ("INFO:     Uvicorn running on socket ('0.0.0.0', 8000) (Press CTRL+C to quit)", "port_open"),
        ("(APIServer pid=12) INFO:     Uvicorn running on http://0.0.0.0:8000", "port_open"),
        ("[2026-02-01 00:05:03] INFO:     Uvicorn running on http://127.0.0.1:30000", "port_open"),
        ("INFO  ModelServer BOTH API bind to: http://0.0.0.0:8080", "port_open"),
        ("INFO:     Application startup complete.", None),  # uvicorn does not listen yet
        ("INFO 11-26 07:00:07 [launcher.py:195] Route: /ping, Methods: GET", None),
        (PING, "ping_ok"),
        ('INFO  ACCESS_LOG /169.254.178.2:52168 "GET /ping HTTP/1.1" 200 1', "ping_ok"),
        ('INFO:     10.0.0.1:1 - "GET /health HTTP/1.1" 200 OK', "ping_ok"),
        ('INFO:     169.254.178.2:36790 - "GET /ping HTTP/1.1" 503 Service Unavailable', None),
        ('INFO:     169.254.178.2:36790 - "GET /ping HTTP/1.1" 2000', None),
        ('INFO:     10.0.0.1:1 - "GET /v1/models HTTP/1.1" 200 OK', "model_listed"),
        ('INFO:     10.0.0.1:1 - "GET /v1/models HTTP/1.1" 404 Not Found', None),
    ],
)
def test_each_line_shows_its_moment_and_no_other(message: str, name: str | None) -> None:
    assert moments(find_readiness(at((5.0, "a line"), (7.0, message)))) == ([(name, 7.0)] if name else [])


def test_the_first_line_of_each_kind_counts_and_the_moments_are_in_order() -> None:
    lines = at((1.0, "a line"), (4.0, PING), (5.0, PING), (3.0, LISTENS))
    assert moments(find_readiness(lines)) == [("port_open", 3.0), ("ping_ok", 4.0)]


def test_of_several_copies_the_last_one_counts_and_a_silent_one_leaves_it_open() -> None:
    both = [*at((3.0, LISTENS), (4.0, PING)), *at((9.0, LISTENS), stream="t")]
    assert moments(find_readiness(both)) == [("port_open", 9.0)]


def test_a_server_that_ended_before_it_was_ready_does_not_count() -> None:
    lines = parse_lines((FIXTURES / "vllm-supervised-restart.log").read_text(encoding="utf-8").splitlines())
    stream, first_s, last_s = lines[0].stream, lines[0].timestamp_s, lines[-1].timestamp_s
    found = find_readiness([*lines, *at((first_s + 0.001, LISTENS), (last_s + 1, LISTENS), stream=stream)])
    assert moments(found) == [("port_open", last_s + 1)]


def request(start_s: float, first_token_s: float | None, *, ok: bool = True) -> Invocation:
    return Invocation(
        kind="streaming", start_s=start_s, latency_s=9.0, ok=ok, time_to_first_token_s=first_token_s
    )


def test_the_first_token_comes_from_a_request_of_loadbench() -> None:
    requests = [request(1.0, 0.5, ok=False), request(2.0, None), request(3.0, 0.25), request(13.0, 0.1)]
    assert moments(find_readiness([], requests)) == [("first_token", 3.25)]
    assert find_readiness([], requests[:2]) == []


def test_a_recorded_start_of_vllm_has_what_its_log_says() -> None:
    lines = parse_lines((FIXTURES / "vllm-0.32-cpu.log").read_text(encoding="utf-8").splitlines())
    assert moments(find_readiness(lines)) == [("ping_ok", lines[-1].timestamp_s)]
