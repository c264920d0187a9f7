"""Recorded container logs become the phases that a careful reader would see in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadbench.results.timeline import Span, partition
from loadbench.run.observe.lines import LogLine, format_line, parse_lines, unwrap
from loadbench.run.observe.spans import read_container

FIXTURES = Path(__file__).parent / "fixtures"
GIB = 2**30


def read(name: str) -> tuple[list[LogLine], list[Span]]:
    lines = parse_lines((FIXTURES / name).read_text(encoding="utf-8").splitlines())
    return lines, read_container(lines)


def phases(name: str) -> dict[str, tuple[float, float]]:
    """Seconds from the first line, by phase, for logs with one span a phase."""
    lines, spans = read(name)
    zero_s = lines[0].timestamp_s
    return {span.name: (round(span.start_s - zero_s, 3), round(span.end_s - zero_s, 3)) for span in spans}


def test_lmi_v14_pulling_from_the_hub_is_start_download_weights_and_warm_up() -> None:
    # 21:55:41.208 first line · 21:56:06.512 load starts · 21:57:31.640 first file · 21:57:39.153 loaded
    # · 21:57:49.870 initialized
    assert phases("lmi-v14-hub.log") == {
        "container_start": (0.0, 25.304),
        "artifact_download": (25.304, 110.432),
        "weights_to_device": (110.432, 117.945),
        "engine_warmup": (117.945, 128.662),
    }


def test_a_download_that_no_line_names_is_marked_as_inferred() -> None:
    _, spans = read("lmi-v14-hub.log")
    assert {span.name: span.certainty for span in spans} == {
        "container_start": "measured",
        "artifact_download": "inferred",
        "weights_to_device": "measured",
        "engine_warmup": "measured",
    }


def test_the_size_that_the_engine_calls_gb_is_gib() -> None:
    _, spans = read("lmi-v14-hub.log")
    weights = next(span for span in spans if span.name == "weights_to_device")
    assert weights.size_bytes == pytest.approx(14.9888 * GIB, rel=1e-9)


def test_lmi_v14_with_the_fast_loader_streams_its_weights() -> None:
    # 21:38:02.114 · 21:38:27.801 · 21:38:41.544 · 21:38:51.660
    assert phases("lmi-v14-fast.log") == {
        "container_start": (0.0, 25.687),
        "weights_stream": (25.687, 39.43),
        "engine_warmup": (39.43, 49.546),
    }


def test_every_rank_of_a_tensor_parallel_start_has_its_own_weights() -> None:
    lines, spans = read("lmi-v14-tensor-parallel.log")
    zero_s = lines[0].timestamp_s
    weights = [span for span in spans if span.name == "weights_to_device"]
    assert [(span.worker, round(span.end_s - zero_s, 3)) for span in weights] == [
        ("", 71.301),
        ("VllmWorkerProcess 237", 72.656),
    ]
    warm_up = next(span for span in spans if span.name == "engine_warmup")
    assert warm_up.start_s == max(span.end_s for span in weights)


def test_what_the_front_end_fetches_is_not_counted_as_the_containers_start() -> None:
    lines, spans = read("lmi-v14-tensor-parallel.log")
    zero_s = lines[0].timestamp_s
    shares = {share.name: share for share in partition(spans, zero_s, lines[-1].timestamp_s)}
    assert shares["artifact_download"].seconds == pytest.approx(9.552 - 0.730, abs=1e-3)
    assert shares["container_start"].seconds == pytest.approx(33.206 - 8.822, abs=1e-3)


def test_a_newer_engine_is_believed_about_its_own_seconds() -> None:
    lines, spans = read("vllm-new.log")
    zero_s = lines[0].timestamp_s
    lengths = {(span.name, span.worker): round(span.duration_s, 3) for span in spans}
    assert lengths["weights_to_device", "Worker_TP0 241"] == 24.84
    assert lengths["weights_to_device", "Worker_TP1 242"] == 25.10
    assert lengths["artifact_download", "Worker_TP0 241"] == 10.0
    start = next(span for span in spans if span.name == "container_start")
    # The download ends with its line at 20:59:32.600 and says ten seconds.
    assert round(start.end_s - zero_s, 3) == 31.58


def test_weights_include_the_model_loading_when_nothing_finer_is_told() -> None:
    assert phases("vllm-server.log") == {
        "container_start": (0.0, 3.9),
        "weights_to_device": (3.9, 9.21),
        "engine_warmup": (9.21, 41.91),
    }


def test_vllms_own_server_streams_its_weights_with_the_model_streamer() -> None:
    # 20:07:11.020 first line · 20:07:43.061 "took … 9.956121 seconds" · 20:08:22.950 startup complete
    assert phases("vllm-streamer.log") == {
        "container_start": (0.0, 22.085),
        "weights_stream": (22.085, 32.041),
        "engine_warmup": (32.041, 71.93),
    }


def test_a_container_that_died_leaves_its_time_unattributed() -> None:
    assert phases("lmi-v14-retry.log") == {
        "container_start": (60.0, 78.25),
        "weights_to_device": (78.25, 89.75),
        "engine_warmup": (89.75, 96.0),
    }


def test_the_embedded_container_is_believed_about_its_own_clock() -> None:
    _, spans = read("embedded-standard.log")
    assert [(span.name, span.start_s, span.end_s, span.worker, span.size_bytes) for span in spans] == [
        ("container_start", 1795414533.09512, 1795414536.01884, "server", 0),
        ("weights_to_host", 1795414536.02001, 1795414536.341, "loader", 269060552),
        ("weights_to_device", 1795414536.341, 1795414536.488, "loader", 269060552),
        ("engine_warmup", 1795414536.488, 1795414536.9, "engine", 0),
    ]


@pytest.mark.parametrize("name", sorted(path.name for path in FIXTURES.glob("*.log")))
def test_a_log_cut_anywhere_never_has_more_phases_than_the_whole(name: str) -> None:
    lines, spans = read(name)
    whole = {(span.name, span.worker, span.start_s) for span in spans if span.name.startswith("weights")}
    for count in range(len(lines)):
        for span in read_container(lines[:count]):
            assert span.end_s >= span.start_s
            if span.name.startswith("weights"):
                assert (span.name, span.worker, span.start_s) in whole


def test_a_log_that_nobody_knows_has_no_phases() -> None:
    lines = [LogLine(1.0 + number, "s", text) for number, text in enumerate(("hello", "{}", "loading model"))]
    assert read_container(lines) == []


@pytest.mark.parametrize(
    ("message", "worker", "text"),
    [
        ("INFO  PyProcess W-252-model-stdout: plain", "", "plain"),
        ("[INFO ] PyProcess - W-210-model-stdout: plain", "", "plain"),
        ("WARN  PyProcess W-7-my_model.v1-stderr: [1,3]<stderr>:oh", "rank 3", "oh"),
        ("[INFO ] ModelServer - Starting model server ...", "", "Starting model server ..."),
        ("INFO  PyProcess Model [model] initialized.", "", "Model [model] initialized."),
        (
            "[INFO ] PyProcess - W-1-model-stdout: #033[1;36m(VllmWorkerProcess pid=9)#033[0;0m"
            " INFO 02-14 08:23:15 worker.py:266] words",
            "VllmWorkerProcess 9",
            "words",
        ),
        (
            "(EngineCore_0 pid=1) (VllmWorker TP1 pid=2) INFO 08-17 22:48:21 [a.py:2] words",
            "VllmWorker TP1 2",
            "words",
        ),
        ("INFO:     Application startup complete.", "", "INFO:     Application startup complete."),
        ("", "", ""),
    ],
)
def test_the_wrappings_of_a_line_are_taken_off(message: str, worker: str, text: str) -> None:
    entry = unwrap(LogLine(0.0, "stream", message))
    assert (entry.worker, entry.text) == (worker, text)


def test_a_stored_line_reads_back_as_it_was() -> None:
    line = LogLine(1795414533.101, "AllTraffic/i-1", "INFO  a [b] c")
    (read_back,) = parse_lines([format_line(line) + "\n"])
    assert read_back == line


def test_a_stored_log_that_was_cut_short_is_read_as_far_as_it_goes() -> None:
    stored = [format_line(LogLine(1.5, "s", "whole")), "2026-05-06T20:58:5"]
    assert [line.message for line in parse_lines(stored)] == ["whole"]
