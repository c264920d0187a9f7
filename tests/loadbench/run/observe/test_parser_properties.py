"""Whatever a log holds, in whatever order, reading it neither fails nor invents time that runs backwards."""

from __future__ import annotations

from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from loadbench.results.timeline import partition
from loadbench.run.observe.lines import LogLine, format_line, parse_lines
from loadbench.run.observe.spans import Seen, assemble, read_container
from loadbench.run.observe.status import ResourceTimes

FIXTURES = Path(__file__).parent / "fixtures"
KNOWN = sorted(
    {
        line.message
        for path in FIXTURES.glob("*.log")
        for line in parse_lines(path.read_text(encoding="utf-8").splitlines())
    }
)
messages = st.one_of(st.sampled_from(KNOWN), st.text(max_size=80))
times = st.floats(min_value=1.7e9, max_value=1.7e9 + 900, allow_nan=False)
logs = st.lists(
    st.builds(LogLine, times, st.sampled_from(["AllTraffic/i-1", "AllTraffic/i-2"]), messages), max_size=40
)


@given(logs)
@settings(max_examples=300, deadline=None)
def test_no_span_runs_backwards(lines: list[LogLine]) -> None:
    for span in read_container(lines):
        assert span.end_s >= span.start_s


@given(logs, times, times)
@settings(max_examples=200, deadline=None)
def test_phases_add_up_to_the_time_from_request_to_ready(
    lines: list[LogLine], one_s: float, other_s: float
) -> None:
    request_s, ready_s = sorted((one_s, other_s))
    seen = Seen(ResourceTimes(request_s, ready_s), ResourceTimes(), None, ready_s, container=lines)
    shares = partition(assemble(seen), request_s, ready_s)
    assert abs(sum(share.seconds for share in shares) - (ready_s - request_s)) < 1e-3
    assert all(share.seconds >= 0 for share in shares)


@example([" "])
@given(st.lists(st.text(alphabet=st.characters(exclude_categories=["Cc", "Zl", "Zp", "Cs"])), max_size=20))
def test_a_stored_log_keeps_every_line(texts: list[str]) -> None:
    lines = [LogLine(1.7e9 + number, "AllTraffic/i-1", text) for number, text in enumerate(texts)]
    assert parse_lines([format_line(line) for line in lines]) == lines
