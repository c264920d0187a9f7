"""Differences between two sides other than the loading method, and warnings about the result.

Method: docs/method.md, rules 5, 7, 8. They are found from the facts in the records, never from the
configuration's intent.
"""

from __future__ import annotations

from collections.abc import Sequence

from loadbench.results.comparison.model import Difference, Side
from loadbench.results.comparison.rows import Match
from loadbench.results.run_summary import RunSummary
from loadbench.results.statistics import Estimate
from loadbench.results.timeline import PHASES

# Why a difference matters, by the fact's name; other facts are printed without a reason.
_WHY = {
    "endpoint kind": "an inference component starts after its endpoint is in service, and both times count",
    "weights source": "the hub is not a bucket in the region: the source may explain part of the difference",
    "image": "another image pulls, starts and loads differently",
    "engine": "another engine starts and loads differently, and the emulator's server is not a real engine",
    "model": "the sides did not load the same model",
    "weights digest": "the sides did not load the same bytes",
    "dtype": "a different number of bytes was loaded",
    "instance type": "another instance has another network, disk and device",
    "instance count": "more instances start than are compared",
    "region": "capacity and network differ between regions",
    "target": "one side ran on the embedded AWS, the other on a real account",
    "S3 shaping": "S3 was not equally fast for both sides",
    "start probe": "the probe costs less than 1 % of a start",
    "data cache": "a warm cache skips work of a cold start",
    "SageMaker's data cache": "it keeps model files and image on an instance",
    "image before the start": "a cached image is not pulled",
    "weights before the start": "cached weights are not downloaded",
    "compile cache before the start": "cached graphs are loaded instead of compiled",
    "page cache before the start": "cached files are read from memory",
}
# Caches that a cold start does not have; if only one side had one, the ratio proves nothing.
_CACHES = ("data cache", *(name for name in _WHY if name.endswith(" before the start")))
_LIKE_FOR_LIKE = ("endpoint kind", "weights source")
_ENOUGH_ATTRIBUTED = 0.99


def find_differences(a: Sequence[RunSummary], b: Sequence[RunSummary]) -> list[Difference]:
    """Facts with different values on the two sides, in the order of the records."""
    names = dict.fromkeys(name for run in (*a, *b) for name in run.facts)
    found = []
    for name in names:
        values_a, values_b = _values(a, name), _values(b, name)
        if values_a != values_b and a and b:
            found.append(Difference(what=name, a=values_a, b=values_b, why=_WHY.get(name, "")))
    return found


def warm_against_cold(a: Sequence[RunSummary], b: Sequence[RunSummary]) -> list[str]:
    """The caches that were known to be warm in all runs of one side, and cold in all of the other."""
    states = {name: [{run.facts.get(name) for run in runs} for runs in (a, b)] for name in _CACHES}
    return [
        name
        for name, (of_a, of_b) in states.items()
        if [of_a, of_b] in ([{"warm"}, {"cold"}], [{"cold"}, {"warm"}])
    ]


def _values(runs: Sequence[RunSummary], name: str) -> str:
    return " and ".join(sorted({run.facts.get(name, "not set") for run in runs}))


def find_warnings(both: Match, estimate: Estimate | None, differences: Sequence[Difference]) -> list[str]:
    """Warnings to read before using the result; each says what to do about it."""
    return [
        *_about_pairs(both, estimate),
        *(text for side in (both.a, both.b) for text in _about_runs(side)),
        *_about_differences(differences),
    ]


def _about_pairs(both: Match, estimate: Estimate | None) -> list[str]:
    texts = []
    if estimate and estimate.runs == 2:
        texts.append(
            "An interval from two runs of a method is nearly useless: two values hardly show the spread of "
            "runs. To narrow it: make compare PAIRS=5"
        )
    if estimate and estimate.method == "welch":
        texts.append(
            "The runs were not made as pairs: a drift between the two sets looks like a difference of the "
            "loading. To get pairs: make compare PAIRS=5"
        )
    if alone := both.runs_without_partner():
        texts.append(f"Runs without a partner, listed but not part of the ratio: {', '.join(alone)}.")
    return texts


def _about_runs(side: Side) -> list[str]:
    texts, usable = [], side.usable
    if side.failed:
        reasons = "; ".join(f"{run.run_id} ({run.failure or 'no time to in service'})" for run in side.failed)
        texts.append(f"{len(side.failed)} of {len(side.runs)} runs of {side.label} failed: {reasons}.")
    if side.outliers:
        texts.append(
            f"{side.label}: outliers, included in every figure: {', '.join(side.outliers)}. Check the "
            "timeline and repeat on a quieter machine if something disturbed it."
        )
    if refused := sum(run.failed_invocations for run in usable):
        texts.append(f"{refused} requests to {side.label} failed: latency is that of the successful ones.")
    if simulated := _simulated_phases(usable):
        texts.append(f"{side.label}: simulated phases, part of the cold start: {', '.join(simulated)}.")
    if doubted := sorted(
        {state for run in usable if (state := run.facts.get("streaming", "shown")) != "shown"}
    ):
        texts.append(
            f"{side.label}: that the weights were streamed past the disk is {' or '.join(doubted)}, so their"
            " phase is marked as inferred. The run's page (loadbench show RUN) says why."
        )
    lost = _unattributed_share(usable)
    if lost > 1 - _ENOUGH_ATTRIBUTED:
        texts.append(
            f"{side.label}: {100 * lost:.1f} % of the cold start is unattributed: no observation explains it."
        )
    if mixed := sorted(name for name in _facts_that_vary(usable) if name in _WHY):
        texts.append(f"The runs of {side.label} differ from each other in {', '.join(mixed)}.")
    return texts


def _simulated_phases(runs: Sequence[RunSummary]) -> list[str]:
    simulated = {
        share.name
        for run in runs
        for share in run.phases
        if share.certainty == "simulated" and share.busy_s > 0
    }
    return [name.replace("_", " ") for name in PHASES if name in simulated]


def _unattributed_share(runs: Sequence[RunSummary]) -> float:
    total_s = sum(run.time_to_ready_s or 0 for run in runs)
    return sum(run.seconds_in("unattributed") for run in runs) / total_s if total_s > 0 else 0.0


def _facts_that_vary(runs: Sequence[RunSummary]) -> set[str]:
    seen: dict[str, str] = {}
    varying = set()
    for run in runs:
        for name, value in run.facts.items():
            if seen.setdefault(name, value) != value:
                varying.add(name)
    return varying


def _about_differences(differences: Sequence[Difference]) -> list[str]:
    known = [item.what for item in differences if item.what in _WHY]
    by_choice = [name for name in known if name in _LIKE_FOR_LIKE]
    others = [name for name in known if name not in _LIKE_FOR_LIKE]
    texts = []
    if by_choice:
        texts.append(
            f"The sides also differ in {' and '.join(by_choice)}. To compare the loading alone, run "
            'make compare ARGS="--set benchmark.like_for_like=true".'
        )
    if others:
        texts.append(
            f"The sides also differ in {' and '.join(others)}: the effect looks like a difference of the "
            "loading. The values are listed under other differences."
        )
    return texts
