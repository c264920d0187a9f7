"""What is no verdict: warm starts against cold ones, and many starts of one endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import pytest

from loadbench.errors import UsageError
from loadbench.results.ci_gate import check_limit
from loadbench.results.comparison.compare import compare
from loadbench.results.comparison.model import Comparison, ScaleOutSection
from loadbench.results.run_record import Layer, RunRecord
from loadbench.results.scale_out_record import ScaleOutRecord
from tests.loadbench.results.builders import EPOCH_S, make_pairs, make_record, make_scale_out

STEADY = [1.31, 1.22, 1.40, 1.28, 1.35]
LayerName = Literal["image", "weights", "compile_cache", "page_cache"]
State = Literal["cold", "warm", "unknown"]


def of(records: Sequence[RunRecord], scale_outs: Sequence[ScaleOutRecord] = ()) -> Comparison:
    return compare(records, created_s=EPOCH_S + 9000, scale_outs=scale_outs)


def pairs_with(layer: LayerName, standard: Sequence[State], fast: Sequence[State]) -> list[RunRecord]:
    """Five pairs; each side's runs have these states of a layer in turn."""
    states = {"standard": standard, "fast": fast}
    records = make_pairs(STEADY)
    for number, record in enumerate(records):
        own = states[record.path]
        record.layers = [Layer(name=layer, state=own[number // 2 % len(own)], evidence="")]
    return records


@pytest.mark.parametrize("layer", ["image", "weights", "compile_cache", "page_cache"])
@pytest.mark.parametrize(("standard", "fast"), [("warm", "cold"), ("cold", "warm")])
def test_warm_against_cold_is_no_verdict_in_either_direction(
    layer: LayerName, standard: State, fast: State
) -> None:
    comparison = of(pairs_with(layer, [standard], [fast]))
    verdict = comparison.verdict
    assert (verdict.kind, verdict.settled) == ("figures_only", False)
    assert verdict.sentence.startswith("Inconclusive (one side started warm, the other cold)")
    assert layer.replace("_", " ") in verdict.detail
    # The figures are shown, and no ratio is, in no row.
    assert comparison.a.time_to_ready
    assert f"{comparison.a.time_to_ready.median:.1f} s" in verdict.sentence
    assert None not in (comparison.total.a_s, comparison.total.b_s)
    rows = (*comparison.phases, comparison.total, comparison.weights)
    assert {row.estimate for row in rows} == {None}
    assert {row.difference_interval_s for row in rows} == {None}
    assert {measure.estimate for measure in comparison.measures} == {None}
    assert (comparison.estimate, comparison.break_even) == (None, None)
    with pytest.raises(UsageError, match="one side started warm"):
        check_limit(comparison, 1.05)


@pytest.mark.parametrize(
    ("standard", "fast"),
    [
        (["warm"], ["warm"]),
        (["cold"], ["cold"]),
        (["cold"], ["unknown"]),  # listed as a difference
        (["warm", "cold"], ["cold"]),
    ],
)
def test_starts_that_are_not_known_to_differ_are_compared(
    standard: Sequence[State], fast: Sequence[State]
) -> None:
    comparison = of(pairs_with("image", standard, fast))
    assert comparison.verdict.kind == "faster"
    differs = any(item.what == "image before the start" for item in comparison.differences)
    assert differs == (set(standard) != set(fast))


def imported(endpoints: dict[str, Sequence[float]], side: str, number: int) -> list[RunRecord]:
    """Starts of endpoints that others deployed, each with its seconds."""
    records: list[RunRecord] = []
    for endpoint, starts in endpoints.items():
        for ready_s in starts:
            record = make_record("standard", ready_s=ready_s, number=number + len(records))
            record.path, record.origin = side, "imported"
            record.names.endpoint = endpoint
            records.append(record)
    return records


SLOW, QUICK = [300.0, 310.0, 305.0, 302.0], [200.0, 204.0, 202.0, 207.0]


def test_many_starts_of_one_endpoint_are_one_value() -> None:
    comparison = of([*imported({"a": SLOW}, "a", 0), *imported({"b": QUICK}, "b", 100)])
    verdict = comparison.verdict
    assert verdict.kind == "figures_only"
    assert verdict.sentence == (
        "Inconclusive (starts of one endpoint are not independent): cold start a 303.5 s, b 203.0 s."
    )
    assert {row.estimate for row in (*comparison.phases, comparison.total)} == {None}


def test_endpoints_are_counted_and_not_their_starts() -> None:
    several = of(
        [
            *imported({"a1": SLOW, "a2": SLOW[:1], "a3": SLOW[:2]}, "a", 0),
            *imported({"b1": QUICK, "b2": QUICK[:3], "b3": QUICK[1:2]}, "b", 100),
        ]
    )
    assert several.estimate is not None
    assert (several.estimate.method, several.estimate.runs) == ("welch", 3)
    # An endpoint with many starts weighs no more than one with a single start.
    balanced = of(
        [
            *imported({"a1": [50.0, 200.0] * 4, "a2": [400.0], "a3": [200.0]}, "a", 0),
            *imported({"b1": [100.0], "b2": [100.0], "b3": [100.0]}, "b", 100),
        ]
    )
    assert balanced.estimate is not None
    assert balanced.estimate.ratio == pytest.approx((1 * 4 * 2) ** (1 / 3))


def scaled_out(
    target: Literal["aws", "local"], endpoints: int, each: int, warm: str | None = None
) -> ScaleOutSection:
    """`each` scale-outs of each of `endpoints` endpoints; `warm`: the path with a cached image."""
    records, scale_outs = [], []
    for place in range(endpoints):
        for path, ready_s in (("standard", 300.0), ("fast", 200.0)):
            record = make_record(path, target=target, number=place)
            records.append(record)
            for number in range(each):
                added = make_scale_out(
                    record, number=each * place + number, ready_s=ready_s + 3 * number + place
                )
                state: State = "warm" if path == warm else "cold"
                added.layers = [Layer(name="image", state=state, evidence="")] if warm else []
                scale_outs.append(added)
    section = of(records, scale_outs).scale_out
    assert section is not None
    return section


def test_repeated_scale_outs_of_one_endpoint_on_aws_are_figures() -> None:
    section = scaled_out("aws", endpoints=1, each=4)
    assert section.total.estimate is None
    assert section.sentence.startswith("Inconclusive (SageMaker keeps an endpoint's image")
    assert "n = 4" in section.sentence
    # What is suggested settles it: more of the same endpoint would not.
    for each in (1, 4):
        assert scaled_out("aws", endpoints=1, each=each).sentence.endswith(
            "To settle it, repeat with new endpoints and compare all of these runs."
        )
    local = scaled_out("local", endpoints=1, each=1).sentence
    assert local.endswith("To settle it: make scale-out PAIRS=5")


def test_scale_outs_of_several_endpoints_on_aws_count_by_endpoint() -> None:
    estimate = scaled_out("aws", endpoints=3, each=2).total.estimate
    assert estimate is not None
    assert (estimate.method, estimate.runs) == ("welch", 3)
    # One scale-out of each endpoint: nothing to group, so the pairs stay.
    single = scaled_out("aws", endpoints=3, each=1).total.estimate
    assert single is not None
    assert (single.method, single.runs) == ("paired", 3)


def test_the_embedded_aws_has_no_image_cache_and_every_scale_out_counts() -> None:
    section = scaled_out("local", endpoints=1, each=4)
    assert section.total.estimate is not None
    assert (section.total.estimate.method, section.total.estimate.runs) == ("paired", 4)
    assert "fast is faster" in section.sentence


@pytest.mark.parametrize("warm", ["standard", "fast"])
def test_a_warm_scale_out_against_a_cold_one_is_figures(warm: str) -> None:
    section = scaled_out("local", endpoints=1, each=4, warm=warm)
    assert section.sentence.startswith("Inconclusive (one side started warm, the other cold: image).")
    assert section.total.estimate is None


def test_a_copy_does_not_have_the_layers_and_restarts_of_its_endpoints_first_start() -> None:
    from loadbench.results.run_record import Restart
    from loadbench.results.scale_out_record import added_copy

    run = make_record("fast")
    run.layers = [Layer(name="image", state="cold", evidence="the first start of the endpoint")]
    run.restarts = [Restart(stream="first", at_s=1.0, reason=None)]
    added = make_scale_out(run)
    added.layers = [Layer(name="image", state="unknown", evidence="a later start")]
    copy = added_copy(run, added)
    assert (copy.layers, copy.restarts) == (added.layers, [])
