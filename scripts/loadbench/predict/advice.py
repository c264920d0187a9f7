"""The conclusion of a prediction: what one loading method saves over another, by rules with stated
conditions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from loadbench.load_paths import LOAD_PATHS
from loadbench.predict.coefficients import Coefficients
from loadbench.predict.model import Interval, Prediction, interval, job_draws, predict
from loadbench.predict.physics import Array
from loadbench.results import formatting
from loadbench.results.timeline import WEIGHTS_PHASES

_NEARLY_ALWAYS = 0.9  # share of draws in which a statement must hold to be printed
_NOTHING = 0.02  # of the total; a smaller saving counts as none
_DOMINATES = 0.5


@dataclass(frozen=True)
class Advice:
    """What a loading method saves compared with the first one, on the same instance type."""

    baseline: str
    path: str
    instance_type: str
    saved: Interval
    sentence: str
    break_even: Interval | None = None
    """Deployments after which the sharding job has paid back in seconds; None without a job or a saving."""


def advise(predictions: Sequence[Prediction], coefficients: Coefficients) -> list[Advice]:
    """Compares each loading method with the first one of its instance type."""
    found = []
    for instance_type in dict.fromkeys(item.start.instance_type for item in predictions):
        first, *others = [item for item in predictions if item.start.instance_type == instance_type]
        found += [_advice(first, other, coefficients) for other in others]
    return found


def _advice(base: Prediction, other: Prediction, coefficients: Coefficients) -> Advice:
    saved_s = base.draws_s - other.draws_s
    saved = interval(saved_s)
    pays = _break_even(other, saved_s, coefficients) if saved.low > 0 else None
    sentence = next(
        text
        for rule in (_hidden_by_pull, _saves, _loses, _unclear)
        for text in rule(base, other, coefficients)
    )
    if pays is not None:
        sentence += f" Its sharding job pays back after {_count(pays)} deployments."
    return Advice(base.start.path, other.start.path, base.start.instance_type, saved, sentence, pays)


def _hidden_by_pull(base: Prediction, other: Prediction, coefficients: Coefficients) -> Iterator[str]:
    """The pull ends last in nearly every draw, so a saving can only come from the bandwidth that the download
    takes from it.
    """
    pull = base.own_draws_s.get("image_pull")
    if base.start.loading != "download" or other.start.loading == "download" or pull is None:
        return
    if np.mean(pull > 0) < _NEARLY_ALWAYS:
        return
    saved = interval(base.draws_s - other.draws_s)
    if saved.low > _NOTHING * base.total.median:
        return  # there is a saving anyway, because pull and download share the instance's bandwidth
    cached = [predict(replace(item.start, image_cached=True), coefficients) for item in (base, other)]
    then = interval(cached[0].draws_s - cached[1].draws_s)
    what = "nothing" if saved.median <= _NOTHING * base.total.median else "nothing for sure"
    later = f" Then it saves {_span(then)} of {_s(cached[0].total.median)}." if then.low > 0 else ""
    if base.emulated:  # the pull is simulated there, and no start has the image cached
        later = ""
    yield (
        f"The image pull hides the download: {other.start.path} saves {what} until the image is cached"
        f" ({_span(saved)}).{later}"
    )


def _saves(base: Prediction, other: Prediction, _: Coefficients) -> Iterator[str]:
    """The whole interval of the difference is a saving."""
    saved = interval(base.draws_s - other.draws_s)
    if saved.low > 0:
        name = other.start.path
        yield f"{name} saves {_span(saved)} of the {_s(base.total.median)} of {base.start.path}."


def _loses(base: Prediction, other: Prediction, _: Coefficients) -> Iterator[str]:
    """The whole interval of the difference is a loss."""
    saved = interval(base.draws_s - other.draws_s)
    if saved.high < 0:
        lost = Interval(-saved.median, -saved.high, -saved.low)
        name = other.start.path
        yield f"{name} takes {_span(lost)} longer than the {_s(base.total.median)} of {base.start.path}."


def _unclear(base: Prediction, other: Prediction, _: Coefficients) -> Iterator[str]:
    """The interval contains 0: the known figures cannot distinguish the two."""
    saved = interval(base.draws_s - other.draws_s)
    yield (
        f"Whether {other.start.path} is faster than {base.start.path} cannot be concluded from what is known"
        f" ({_span(saved)} saved); measure it: loadbench compare --paths"
        f" {base.start.path},{other.start.path} --pairs 4"
    )


def bound_by(prediction: Prediction) -> str | None:
    """The phase that takes more than half of a cold start, if it is not loading weights; otherwise the most
    that a loader can save.
    """
    total = prediction.total.median
    largest = max(prediction.phases, key=lambda phase: phase.own.median, default=None)
    if largest is None or total <= 0:
        return None
    share = largest.own.median / total
    weights_s = sum(phase.own.median for phase in prediction.phases if phase.name in WEIGHTS_PHASES)
    if share > _DOMINATES and largest.name == "image_pull":  # a parallel download slows it down, too
        return f"Image pull is {100 * share:.0f} % of {prediction.start.path}."
    if share > _DOMINATES and largest.name not in WEIGHTS_PHASES:
        return (
            f"{formatting.name(largest.name).capitalize()} is {100 * share:.0f} % of {prediction.start.path};"
            f" however fast, a loader saves at most {_s(weights_s)}."
        )
    if weights_s > _DOMINATES * total:
        return f"Loading weights is {100 * weights_s / total:.0f} % of {prediction.start.path}."
    return None


def _break_even(other: Prediction, saved_s: Array, coefficients: Coefficients) -> Interval | None:
    traits = LOAD_PATHS.get(other.start.path)
    if traits is None or not traits.optimized:
        return None
    return interval(job_draws(other.start, coefficients) / np.maximum(saved_s, 1e-3))


def _span(value: Interval) -> str:
    """A range as 31-52 s, in whole seconds from 10 s."""
    digits = 0 if max(abs(value.low), abs(value.high)) >= 10 else 1
    low, high = (f"{end:,.{digits}f}".replace("-", formatting.MINUS) for end in (value.low, value.high))
    between = " to " if formatting.MINUS in low + high else "–"
    return f"{low}{between}{high} s"


def _count(value: Interval) -> str:
    return f"{value.low:,.0f}–{value.high:,.0f}"


def _s(value_s: float) -> str:
    return formatting.seconds(value_s)
