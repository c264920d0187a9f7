"""Sentences about one start: each from a rule, silent where nothing is certain."""

from __future__ import annotations

from pathlib import Path

from loadbench.results.findings import MOST, findings
from loadbench.results.run_record import Layer, Restart, RunRecord, Streaming, load_record
from loadbench.results.timeline import Span

RECORD = Path(__file__).parent / "fixtures" / "run.v1.json"


def start(*spans: tuple[str, float, float], certainty: str = "measured", **more: object) -> RunRecord:
    record = load_record(RECORD).model_copy(deep=True)
    record.spans = [
        Span.model_validate(
            {"name": name, "start_s": a, "end_s": b, "clock": "container", "certainty": certainty}
        )
        for name, a, b in spans
    ]
    record.deployment.request_s, record.deployment.ready_s = 0.0, 100.0
    record.status = "succeeded"
    return record.model_copy(update=more)


def test_the_phase_that_dominates_is_named_with_its_largest_part() -> None:
    found = findings(start(("container_start", 0, 80), ("imports", 0, 60), ("weights_stream", 80, 82)))
    assert found[0] == "Container start is 80 % of the cold start, most of it imports."


def test_what_a_loader_can_save_at_most_is_said_where_it_is_little() -> None:
    found = findings(start(("container_start", 0, 80), ("weights_stream", 80, 82)))
    assert (
        "Loading weights takes 2 % of the cold start: even the fastest loader saves at most 2.00 s." in found
    )


def test_weights_that_load_beside_the_start_of_the_container_are_not_called_fast() -> None:
    found = findings(
        start(("artifact_download", 0, 2), ("container_start", 2, 82), ("weights_stream", 10, 80))
    )
    assert any(text.startswith("Weights load for 70.0 s, ") for text in found), found
    assert any("saves at most 2.00 s (2 %)" in text for text in found), found


def test_weights_that_dominate_come_first() -> None:
    found = findings(start(("container_start", 0, 20), ("weights_to_device", 20, 90)))
    assert found == ["Loading weights takes 70 % of the cold start: faster loading comes first."]


def test_imports_are_named_where_they_are_long() -> None:
    spans = (("container_start", 0, 45), ("imports", 0, 41), ("weights_to_device", 45, 60))
    assert "Imports take 41.0 s, 41 % of the cold start; no loader changes that." in findings(start(*spans))
    short = (("container_start", 0, 45), ("imports", 0, 9), ("weights_to_device", 45, 60))
    assert not any("Imports" in text for text in findings(start(*short)))


def test_an_empty_compile_cache_is_named_and_an_unknown_one_is_not() -> None:
    spans = (("engine_warmup", 10, 60), ("compilation", 10, 50), ("weights_to_device", 60, 80))
    cold = [Layer(name="compile_cache", state="cold", evidence="")]
    assert any("VLLM_CACHE_ROOT" in text for text in findings(start(*spans, layers=cold)))
    assert not any("VLLM_CACHE_ROOT" in text for text in findings(start(*spans)))


def test_a_crash_before_the_start_is_the_first_thing_said() -> None:
    restarts = [Restart(stream="s", at_s=30, reason="ValueError: no")]
    spans = (("failed_start", 0, 30), ("container_start", 30, 90), ("imports", 30, 80))
    found = findings(start(*spans, restarts=restarts))
    assert found[0].startswith(
        "30.0 s were spent on a server that ended before it was ready (ValueError: no)"
    )
    assert len(found) <= MOST


def test_what_is_only_inferred_or_failed_makes_no_finding() -> None:
    assert findings(start(("provision", 0, 90), certainty="inferred")) == []
    assert findings(start(("container_start", 0, 80), status="failed")) == []


def over_network(took_s: float, size_bytes: int, target: str = "aws", network: object = None) -> list[str]:
    spans = (("container_start", 0, 10), ("weights_stream", 10, 10 + took_s))
    record = start(*spans, network=network)
    record.target = target  # type: ignore[assignment]
    record.instance_type = "ml.g5.2xlarge"
    record.model.size_bytes = size_bytes
    return [text for text in findings(record) if "over the network" in text]


def test_weights_that_take_long_are_set_against_the_network_of_their_instance() -> None:
    assert over_network(60, 16_000_000_000) == [
        "16.0 GB of weights took 60.0 s over the network; "
        "at the 10 Gbit/s of ml.g5.2xlarge they take at least 12.8 s."
    ]
    shaped = {"instance_bytes_per_s": 1e9}
    assert "8 Gbit/s" in over_network(60, 16_000_000_000, "local", network=shaped)[0]


def test_no_network_is_named_where_its_rate_is_unknown_or_the_weights_took_little() -> None:
    assert over_network(60, 16_000_000_000, "local", network=None) == []
    assert over_network(15, 16_000_000_000) == []  # less than a fifth of the cold start
    assert over_network(60, 0) == []
    assert over_network(60, 160_000_000_000) == []  # faster than the instance can: not all of it was read


def test_streaming_that_nothing_proves_is_said_with_what_is_missing() -> None:
    def said(state: str) -> str:
        streaming = Streaming.model_validate({"state": state, "evidence": "0.10 GB were written to disk"})
        return "\n".join(findings(start(("weights_stream", 0, 50), streaming=streaming)))

    assert "That the weights were streamed is inferred: 0.10 GB were written" in said("unproven")
    assert "were not streamed past the disk, although the log says so: 0.10 GB" in said("contradicted")
    assert "0.10 GB" not in said("shown")
