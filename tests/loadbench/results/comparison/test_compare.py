"""What a comparison concludes from records."""

from __future__ import annotations

import pytest

from loadbench.errors import UsageError
from loadbench.results import formatting
from loadbench.results.comparison.compare import compare
from loadbench.results.comparison.model import Comparison
from loadbench.results.costs import Price
from loadbench.results.run_record import RunRecord, Streaming
from loadbench.results.timeline import Span
from tests.loadbench.results.builders import EPOCH_S, make_pairs, make_record, seed_records

STEADY = [1.31, 1.22, 1.40, 1.28, 1.35]


def of(records: list[RunRecord], baseline: list[RunRecord] | None = None) -> Comparison:
    return compare(records, baseline or [], created_s=EPOCH_S + 9000)


def test_the_first_measurement_gives_seconds_and_what_else_differed() -> None:
    comparison = of(seed_records())
    assert comparison.total.difference_s == pytest.approx(450.09 - 632)
    assert comparison.b.one_time is not None
    assert comparison.b.one_time.usd == pytest.approx(1116.89 / 3600 * 1.515)
    assert [item.what for item in comparison.differences] == ["endpoint kind", "weights source"]


def test_one_run_of_each_is_inconclusive_and_carries_no_ratio_anywhere() -> None:
    comparison = of(seed_records())
    verdict = comparison.verdict
    assert (verdict.kind, verdict.settled) == ("figures_only", False)
    assert verdict.sentence.startswith("Inconclusive (1 run each)")
    assert verdict.next_command == "make compare PAIRS=5"
    assert (comparison.estimate, comparison.break_even) == (None, None)
    assert {row.estimate for row in (*comparison.phases, comparison.total, comparison.weights)} == {None}
    assert {measure.estimate for measure in comparison.measures} == {None}


def test_what_settles_it_names_the_methods_that_are_not_the_usual_ones() -> None:
    records = [make_record(path, number=number) for number, path in enumerate(("standard", "streamer"))]
    command = of(records[1:], baseline=records[:1]).verdict.next_command
    assert command == "make compare PAIRS=5 PATHS=standard,streamer"
    again = of(records[:1], baseline=[make_record("standard", number=7)]).verdict.next_command
    assert again == "make compare PAIRS=5"


def test_what_settles_it_says_how_long_it_takes_as_the_runs_did() -> None:
    records = seed_records()
    for record in records:
        record.finished_s = record.started_s + 100 + (1116.89 if record.path == "fast" else 0)
        record.destroyed_s = record.finished_s + 50
    minutes = of(records).verdict.next_minutes
    assert minutes == pytest.approx(5 * 2 * 150 / 60)  # the one-time job is not repeated


def test_an_interval_from_two_pairs_is_warned_of() -> None:
    assert any("nearly useless" in text for text in of(make_pairs([1.3, 1.31])).warnings)
    assert not any("nearly useless" in text for text in of(make_pairs([1.3, 1.31, 1.32])).warnings)


def test_steady_pairs_give_a_verdict_with_interval_and_count() -> None:
    comparison = of(make_pairs(STEADY))
    assert comparison.verdict.kind == "faster"
    assert comparison.estimate is not None
    assert comparison.estimate.low is not None
    assert comparison.estimate.high is not None
    expected = (
        f"fast is faster: ×1.31 (95 % {comparison.estimate.low:.2f}–{comparison.estimate.high:.2f}, 5 pairs)"
    )
    assert comparison.verdict.sentence == expected
    assert "0.0625" in comparison.verdict.detail
    assert comparison.verdict.settled
    assert comparison.verdict.next_command is None


def test_a_slowdown_of_a_fifth_is_called_slower() -> None:
    comparison = of(make_pairs([1 / ratio for ratio in (1.2, 1.18, 1.23, 1.19, 1.22, 1.2)]))
    assert comparison.verdict.kind == "slower"
    assert comparison.verdict.sentence.startswith("fast is slower: ×0.83 (95 % 0.8")  # the table's own ratio


def test_scattered_pairs_are_inconclusive_and_say_what_could_have_been_seen() -> None:
    comparison = of(make_pairs([1.4, 0.8, 1.1, 0.9]))
    assert comparison.verdict.kind == "cannot_tell"
    assert comparison.verdict.sentence.startswith("Inconclusive (4 pairs)")
    assert formatting.times(comparison.estimate.ratio if comparison.estimate else None) not in (
        comparison.verdict.sentence
    )
    assert "PAIRS=40" in (comparison.verdict.next_command or "")
    assert comparison.break_even is None
    assert comparison.estimate is not None
    assert comparison.estimate.detectable_ratio is not None
    assert f"×{comparison.estimate.detectable_ratio:.2f}" in comparison.verdict.detail


def test_phases_add_up_to_the_total_on_both_sides() -> None:
    comparison = of(make_pairs(STEADY))
    assert sum(row.a_s or 0 for row in comparison.phases) == pytest.approx(comparison.total.a_s)
    assert sum(row.b_s or 0 for row in comparison.phases) == pytest.approx(comparison.total.b_s)
    assert sum(row.difference_s or 0 for row in comparison.phases) == pytest.approx(
        comparison.total.difference_s
    )


def test_a_phase_that_one_side_lacks_has_seconds_and_no_ratio() -> None:
    row = next(row for row in of(make_pairs(STEADY)).phases if row.name == "weights_stream")
    assert row.a_s is None
    assert row.b_s is not None
    assert row.difference_s == pytest.approx(row.b_s)
    assert row.estimate is None
    assert row.difference_interval_s is not None


def test_weights_are_compared_by_how_long_they_moved_not_by_which_phase_owned_the_time() -> None:
    fast = make_record("fast", ready_s=100)
    start_s = fast.deployment.request_s or 0
    fast.spans = [
        Span(name="container_start", start_s=start_s, end_s=start_s + 100, clock="container"),
        Span(name="weights_stream", start_s=start_s, end_s=start_s + 30, clock="container"),
        Span(
            name="artifact_download", start_s=start_s + 40, end_s=start_s + 50, clock="platform"
        ),  # small files
    ]
    comparison = of([make_record("standard", ready_s=100), fast])
    stream = next(row for row in comparison.phases if row.name == "weights_stream")
    assert stream.b_s == 0
    assert stream.b_busy_s == pytest.approx(30)
    assert comparison.weights.a_s == pytest.approx(46)  # download, host and device
    assert comparison.weights.b_s == pytest.approx(30)
    assert comparison.weights.difference_s == pytest.approx(-16)


@pytest.mark.parametrize(("state", "certainty"), [("unproven", "inferred"), ("shown", "measured")])
def test_streaming_without_evidence_is_marked_in_its_row_and_warned_about(state: str, certainty: str) -> None:
    fast = make_record("fast")
    fast.streaming = Streaming.model_validate({"state": state, "evidence": "nothing shows it"})
    fast.spans = [
        span.model_copy(update={"certainty": certainty}) if span.name == "weights_stream" else span
        for span in fast.spans
    ]
    comparison = of([make_record("standard"), fast])
    row = next(row for row in comparison.phases if row.name == "weights_stream")
    assert row.b_certainty == comparison.weights.b_certainty == certainty
    warned = [text for text in comparison.warnings if "streamed past the disk is unproven" in text]
    assert len(warned) == (state == "unproven")


def test_a_failed_run_counts_nowhere_and_is_listed_with_its_reason() -> None:
    comparison = of([*make_pairs(STEADY), make_record("fast", number=9, status="failed")])
    assert comparison.estimate == of(make_pairs(STEADY)).estimate
    assert [run.run_id for run in comparison.b.failed] == ["20251123-000009-fast-0009"]
    assert any("Unable to provision" in text for text in comparison.warnings)


def test_a_pair_with_a_failed_half_is_no_pair_and_its_other_half_is_named() -> None:
    records = make_pairs(STEADY)
    broken = records[1].model_copy(update={"status": "failed"})
    comparison = of([records[0], broken, *records[2:]])
    assert comparison.estimate is not None
    assert comparison.estimate.runs == 4
    assert any(records[0].run_id in text and "partner" in text for text in comparison.warnings)
    assert len(comparison.a.usable) == 5  # still a raw point
    usable_s = [run.weights_busy_s for run in comparison.b.usable]
    assert comparison.weights.b_s == pytest.approx(sum(usable_s) / len(usable_s))


def test_no_successful_run_on_a_side_is_said_and_not_crashed_on() -> None:
    comparison = of([make_record("standard"), make_record("fast", status="failed")])
    assert comparison.verdict.kind == "incomplete"
    assert comparison.break_even is None
    assert comparison.total.b_s is None


def test_runs_that_were_not_made_as_pairs_are_compared_with_a_warning() -> None:
    unpaired = [record.model_copy(update={"pair": None}) for record in make_pairs(STEADY)]
    comparison = of(unpaired)
    assert comparison.estimate is not None
    assert comparison.estimate.method == "welch"
    assert "4 and 5 runs, not pairs" in of(unpaired[2:] + unpaired[1:2]).verdict.sentence
    assert any("not made as pairs" in text for text in comparison.warnings)


def test_a_run_of_a_path_nobody_planned_for_is_compared_too() -> None:
    other = make_record("fast").model_copy(update={"path": "cached|stream", "run_id": "20251123-1-other-1"})
    comparison = of([other, make_record("standard")])
    assert (comparison.a.label, comparison.b.label) == ("standard", "cached|stream")


def test_one_path_alone_is_refused_with_the_way_out() -> None:
    with pytest.raises(UsageError, match="only standard runs") as caught:
        of([make_record("standard")])
    assert "--baseline" in caught.value.remedy
    with pytest.raises(UsageError, match="no runs"):
        of([])


def test_a_baseline_of_the_same_path_becomes_the_first_side() -> None:
    comparison = of([make_record("fast", ready_s=500, number=2)], [make_record("fast", ready_s=450)])
    assert (comparison.a.label, comparison.b.label) == ("fast (baseline)", "fast")
    assert comparison.break_even is None  # both sides paid the job
    assert comparison.commands[-1].startswith("loadbench compare --baseline 20251123-000000-fast-0000")


def test_simulated_phases_and_unexplained_time_are_warned_of() -> None:
    spans = [
        Span(name="provision", start_s=EPOCH_S, end_s=EPOCH_S + 60, clock="platform", certainty="simulated")
    ]
    comparison = of([make_record("standard", ready_s=100, spans=spans), make_record("fast", ready_s=90)])
    assert any("simulated" in text and "provision" in text for text in comparison.warnings)
    assert any("no observation explains" in text and "standard" in text for text in comparison.warnings)
    assert comparison.total.a_certainty == "simulated"
    assert comparison.total.b_certainty == "measured"  # inferred parts, a measured whole


def test_like_for_like_runs_have_no_difference_and_no_warning() -> None:
    records = [
        make_record("standard", endpoint_kind="inference_component", weights_from="s3"),
        make_record("fast", weights_from="s3"),
    ]
    comparison = of(records)
    assert comparison.differences == []
    assert comparison.warnings == []


def test_differences_in_environment_and_versions_are_found() -> None:
    standard, fast = seed_records()
    fast.configuration["fast_model_loading_info"]["container_env_vars"] = {"OPTION_DTYPE": "bf16"}
    fast.system["terraform"] = "1.10.0"
    found = {item.what: (item.a, item.b) for item in of([standard, fast]).differences}
    assert found["environment OPTION_DTYPE"] == ("fp16", "bf16")
    assert found["environment HF_MODEL_ID"][1] == "not set"
    assert found["version terraform"] == ("1.9.8", "1.10.0")


def test_a_missing_price_is_unknown_not_fatal() -> None:
    records = [
        record.model_copy(update={"instance_type": "ml.p5.48xlarge", "optimization": None})
        for record in seed_records()
    ]
    comparison = of(records)
    assert comparison.a.cost is not None
    assert comparison.a.cost.to_ready_usd is None
    measure = comparison.measure("cost_to_ready")
    assert measure is not None
    assert measure.a is None


def test_a_configured_price_goes_before_the_table_and_an_observed_one_between() -> None:
    observed = Price(usd_per_hour=2.0, source="price list", date="2025-11-01", region="us-west-2")
    standard, fast = (record.model_copy(update={"price": observed}) for record in seed_records())
    fast.configuration["pricing"] = {"usd_per_hour": {"ml.g5.2xlarge": 1.0}, "source": "contract"}
    comparison = of([standard, fast])
    assert comparison.a.cost is not None
    assert comparison.a.cost.price == observed
    assert comparison.b.cost is not None
    assert comparison.b.cost.price is not None
    assert (comparison.b.cost.price.usd_per_hour, comparison.b.cost.price.source) == (1.0, "contract")


def test_a_job_never_pays_back_what_no_deployment_saves() -> None:
    comparison = of(make_pairs([0.9, 0.91, 0.89, 0.9]))
    assert comparison.break_even is not None
    assert comparison.break_even.deployments is None
    assert "never" in comparison.break_even.sentence


def test_the_interval_of_what_pays_back_is_that_of_the_seconds_saved() -> None:
    comparison = of(make_pairs(STEADY))
    pays, interval = comparison.break_even, comparison.total.difference_interval_s
    assert pays is not None
    assert interval is not None
    assert pays.low == pytest.approx(1116.89 / -interval[0])
    assert pays.high == pytest.approx(1116.89 / -interval[1])


def test_seconds_of_reused_shards_are_those_of_the_job_that_made_them() -> None:
    standard, fast = seed_records()
    assert fast.optimization is not None
    fast.optimization.reused = True
    comparison = of([standard, fast])
    assert comparison.b.one_time is not None
    assert comparison.b.one_time.reused
    assert comparison.b.one_time.seconds == 1116.89


def test_an_outlier_is_labelled_and_kept() -> None:
    records = [
        make_record("standard", ready_s=ready_s, number=n)
        for n, ready_s in enumerate([600, 604, 598, 602, 900])
    ]
    comparison = of([*records, make_record("fast")])
    assert comparison.a.outliers == [records[4].run_id]
    assert comparison.a.time_to_ready is not None
    assert comparison.a.time_to_ready.max == pytest.approx(900)


def test_the_shown_run_is_a_real_one_at_the_median_aligned_at_its_request() -> None:
    comparison = of(make_pairs(STEADY))
    assert comparison.a.shown is not None
    assert comparison.a.time_to_ready is not None
    assert comparison.a.shown.ready_s == pytest.approx(comparison.a.time_to_ready.median, abs=1e-5)
    assert min(span.start_s for span in comparison.a.shown.spans) == pytest.approx(-1.8, abs=1e-5)


def test_another_image_is_warned_of_since_its_effect_counts_as_loading() -> None:
    records = make_pairs(STEADY)
    for record in records:
        if record.path == "fast":
            record.image = "vllm:server-sagemaker-cuda-v1.4"
    reported = [text for text in of(records).warnings if "also differ in image" in text]
    assert len(reported) == 1
    assert "like_for_like" not in reported[0]
