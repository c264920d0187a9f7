"""A container that crashes repeatedly is not waited for; a slow start is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from loadbench.run.observe.crash_loop import find_crash_loop
from loadbench.run.observe.lines import LogLine, parse_lines
from loadbench.run.observe.spans import cold_starts

FIXTURES = Path(__file__).parent / "fixtures"
LOGS = sorted(path.name for path in FIXTURES.glob("*.log"))
OUT_OF_MEMORY = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.17 GiB."


def log(name: str) -> list[LogLine]:
    return parse_lines((FIXTURES / name).read_text(encoding="utf-8").splitlines())


def crash(number: int, stream: str = "AllTraffic/i-1", error: str = OUT_OF_MEMORY) -> Iterator[LogLine]:
    """One start of an LMI container that ends, a minute after the one before."""
    for seconds, message in (
        (0, "INFO  ModelServer Starting model server ..."),
        (20, f"INFO  PyProcess W-{number}-model-stdout: Starting to load model /opt/ml/model..."),
        (31, f"WARN  PyProcess W-{number}-model-stderr: {error}"),
    ):
        yield LogLine(60.0 * number + seconds, stream, message)


def crashes(count: int, **changes: str) -> list[LogLine]:
    return [line for number in range(count) for line in crash(number, **changes)]


def test_the_fourth_start_after_three_equal_crashes_is_a_loop_with_its_reason() -> None:
    begun = crashes(3) + list(crash(3))[:1]
    found = find_crash_loop(begun)
    assert found is not None
    assert str(found) == (
        "the container crashes repeatedly: 3 starts in 151 s ended before the server was ready,"
        f" each with: {OUT_OF_MEMORY}"
    )
    assert find_crash_loop(begun[:-1]) is None, "the third one may still come up"


def test_numbers_that_differ_each_time_are_the_same_reason() -> None:
    errors = [f"ValueError: process {pid} needs {pid * 7} blocks" for pid in range(100, 104)]
    lines = [line for number, error in enumerate(errors) for line in crash(number, error=error)]
    found = find_crash_loop(lines)
    assert found is not None
    assert found.reason == errors[2]


def test_different_reasons_need_more_starts() -> None:
    errors = ["OSError: a", "ValueError: b", "KeyError: c", "TypeError: d", "IndexError: e", "OSError: f"]
    lines = [line for number, error in enumerate(errors) for line in crash(number, error=error)]
    assert find_crash_loop([line for line in lines if line.timestamp_s < 300]) is None
    found = find_crash_loop(lines)
    assert found is not None
    assert (found.starts, found.reason) == (5, None)


def test_a_container_that_gets_a_stream_of_its_own_each_time_is_seen_as_well() -> None:
    lines = [line for number in range(4) for line in crash(number, stream=f"copy/{number}")]
    found = find_crash_loop(lines)
    assert found is not None
    assert found.starts == 3
    assert find_crash_loop(lines, copies=4) is None, "four copies, one start each"


def test_a_program_that_cannot_be_run_is_a_loop_without_any_start() -> None:
    words = "exec /usr/local/bin/entrypoint: exec format error"
    lines = [LogLine(10.0 * number, "AllTraffic/i-1", words) for number in range(5)]
    found = find_crash_loop(lines)
    assert found is not None
    assert found.reason == words
    assert find_crash_loop(lines[:4]) is None


def test_ranks_that_lack_an_optional_program_are_no_loop() -> None:
    missing = [LogLine(8.0 + rank / 10, "AllTraffic/i-1", "/bin/sh: 1: nvcc: not found") for rank in range(8)]
    assert find_crash_loop(missing) is None, "all within a second"
    later = [LogLine(10.0 + 6 * turn, "AllTraffic/i-1", "/bin/sh: 1: nvcc: not found") for turn in range(8)]
    working = [LogLine(9.0 + turn, "AllTraffic/i-1", f"INFO compiling kernel {turn}") for turn in range(30)]
    assert find_crash_loop(sorted(later + working, key=lambda line: line.timestamp_s)) is None


@pytest.mark.parametrize("name", LOGS)
def test_no_real_log_of_a_container_that_came_up_is_a_loop_at_any_time(name: str) -> None:
    """Some of them have a crash, or a restart by a supervisor, before the start that came up."""
    lines = log(name)
    assert not [count for count in range(len(lines) + 1) if find_crash_loop(lines[:count])]


def test_a_slow_start_with_errors_in_its_log_is_not_a_loop() -> None:
    """A download that is retried, eight ranks with the same warning, an hour without a line."""
    start = list(crash(0))[:2]
    retries = [
        LogLine(
            30.0 + number,
            start[0].stream,
            f"WARN  PyProcess W-1-model-stderr: ConnectionError: retry {number}",
        )
        for number in range(40)
    ]
    ranks = [
        LogLine(3600.0, start[0].stream, f"[1,{rank}]<stderr>:RuntimeError: a slow rank") for rank in range(8)
    ]
    assert find_crash_loop([*start, *retries, *ranks]) is None


def test_a_loop_that_ends_with_a_server_that_is_ready_is_none() -> None:
    ready = LogLine(600.0, "AllTraffic/i-1", "INFO  PyProcess Model [model] initialized.")
    assert find_crash_loop([*crashes(9), *list(crash(9))[:2], ready]) is None


def test_many_servers_that_one_container_starts_side_by_side_are_not_a_loop() -> None:
    words = ("vLLM API server version 0.27.0", "Resolved architecture: LlamaForCausalLM")
    lines = [LogLine(10 + 0.1 * number, "AllTraffic/i-1", words[number % 2]) for number in range(16)]
    assert len(cold_starts(lines)[0]) == 8
    assert find_crash_loop(lines) is None
