"""Predictions and checks as rows of a table and as a JSON document; docs/prediction.md explains both."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from typing import Any

from loadbench.predict.advice import Advice, bound_by
from loadbench.predict.check_predictions import Check
from loadbench.predict.coefficients import Coefficients, Fitted
from loadbench.predict.groups import group_of
from loadbench.predict.model import CONFIDENCE, Interval, Prediction
from loadbench.predict.shrinkage import NORMAL_90
from loadbench.results import formatting
from loadbench.results.costs import Price, cost_of

EMULATED = "Local emulation, not AWS timings"
COLUMNS = ["method", "instance type", "cold start", "90 %", "cost", "largest phases"]
PHASE_COLUMNS = ["method", "instance type", "phase", "seconds", "90 %", "busy"]
CHECK_COLUMNS = ["run", "method", "target", "weights", "measured", "predicted", "90 %", "error", "inside"]
COEFFICIENT_COLUMNS = ["coefficient", "group", "published", "used", "90 %", "records", "date", "source"]
_MOST_PHASES = 3
_WITHOUT_UNIT = ("_scale", "_share", "_expansion")

Prices = Mapping[str, Price | None]


def rows(predictions: Sequence[Prediction], prices: Prices) -> list[list[str]]:
    """One row per prediction."""
    return [
        [
            item.start.path,
            item.start.instance_type,
            formatting.seconds(item.total.median),
            _range(item.total),
            formatting.usd(cost_of(item.total.median, prices.get(item.start.instance_type))),
            ", ".join(
                f"{formatting.name(phase.name)} {formatting.seconds(phase.own.median)}"
                for phase in sorted(item.phases, key=lambda phase: -phase.own.median)[:_MOST_PHASES]
            ),
        ]
        for item in predictions
    ]


def phase_rows(predictions: Sequence[Prediction]) -> list[list[str]]:
    """One row per phase of each prediction."""
    return [
        [
            item.start.path,
            item.start.instance_type,
            formatting.name(phase.name),
            formatting.seconds(phase.own.median),
            _range(phase.own),
            formatting.seconds(phase.busy.median),
        ]
        for item in predictions
        for phase in item.phases
    ]


def sentences(
    predictions: Sequence[Prediction], advice: Sequence[Advice], coefficients: Coefficients
) -> list[str]:
    """The conclusion, then the records behind it, then what those records do not cover."""
    several = len({item.start.instance_type for item in predictions}) > 1
    found = [f"{item.instance_type}: {item.sentence}" if several else item.sentence for item in advice]
    if predictions and (bound := bound_by(predictions[0])):
        found.append(bound)
    if predictions and predictions[0].emulated:
        found.append(f"{EMULATED}: seconds of this machine.")
    found.append(fitted_on(coefficients))
    for item in predictions if coefficients.fitted.records else ():
        found += [f"{item.start.path}, {item.start.instance_type}: {note}." for note in item.notes]
    found += [
        f"Weights: {formatting.size_bytes(item.start.weights_bytes)}, {item.start.size_source}."
        for item in predictions[:1]
    ]
    return list(dict.fromkeys(found))


def fitted_on(coefficients: Coefficients) -> str:
    """What the coefficients were learned from."""
    fitted = coefficients.fitted
    where = "the embedded AWS" if coefficients.population == "local" else "AWS"
    if not fitted.records:
        return f"Fitted on no record of {where}: published figures and their ranges."
    return (
        f"Fitted on {fitted.records} record{'s' if fitted.records != 1 else ''} of {where}"
        f" ({_day(fitted.times_s[0])} to {_day(fitted.times_s[1])}): {', '.join(sorted(fitted.paths))};"
        f" {', '.join(sorted(fitted.instance_types))};"
        f" weights {' to '.join(formatting.size_bytes(size) for size in fitted.sizes_bytes)}."
    )


def document(
    predictions: Sequence[Prediction],
    advice: Sequence[Advice],
    coefficients: Coefficients,
    prices: Prices,
) -> dict[str, Any]:
    """The JSON document. Seconds are the median and the bounds of the 90 % interval."""
    emulated = coefficients.population == "local"
    return {
        "emulated": emulated,
        "notice": EMULATED if emulated else None,
        "confidence": CONFIDENCE,
        "fitted_on": _fitted(coefficients.fitted),
        "sentences": sentences(predictions, advice, coefficients),
        "predictions": [_prediction(item, prices) for item in predictions],
        "differences": [
            {
                "baseline": item.baseline,
                "path": item.path,
                "instance_type": item.instance_type,
                "saved_s": _interval(item.saved),
                "break_even_deployments": item.break_even and _interval(item.break_even),
                "sentence": item.sentence,
            }
            for item in advice
        ],
        "coefficients": coefficient_documents(predictions, coefficients),
    }


def coefficient_documents(
    predictions: Sequence[Prediction], coefficients: Coefficients
) -> list[dict[str, Any]]:
    """All coefficients of the population, once per group that the predictions use."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for item in predictions:
        for name, value in coefficients.published.items():
            group = group_of(name, item.start)
            belief = coefficients.belief(name, group)
            half = math.exp(NORMAL_90 * belief.scale)
            middle = math.exp(belief.centre)
            found[name, group] = {
                "name": name,
                "group": group,
                "published": {"median": value.median, "low": value.low, "high": value.high},
                "used": {"median": middle, "low": middle / half, "high": middle * half},
                "records": coefficients.count(name, group),
                "date": value.date,
                "source": value.source,
            }
    return list(found.values())


def coefficient_rows(predictions: Sequence[Prediction], coefficients: Coefficients) -> list[list[str]]:
    """The coefficients as rows of a table."""
    return [
        [
            item["name"],
            item["group"] or "all",
            _quantity(item["name"], item["published"]["median"]),
            _quantity(item["name"], item["used"]["median"]),
            "–".join(_quantity(item["name"], item["used"][end]) for end in ("low", "high")),
            str(item["records"]),
            item["date"],
            item["source"],
        ]
        for item in coefficient_documents(predictions, coefficients)
    ]


def check_rows(checks: Sequence[Check]) -> list[list[str]]:
    """One row per record."""
    return [
        [
            item.run_id,
            item.start.path,
            "emulated" if item.start.emulated else "aws",
            formatting.size_bytes(item.start.weights_bytes),
            formatting.seconds(item.measured_s),
            formatting.seconds(item.predicted.median),
            _range(item.predicted),
            f"{100 * item.error:+.0f} %".replace("-", formatting.MINUS),
            "yes" if item.inside else "no",
        ]
        for check in checks
        for item in check.starts
    ]


def check_sentences(checks: Sequence[Check]) -> list[str]:
    """One sentence per population."""
    found = []
    for check in checks:
        if check.median_error is None or check.coverage is None:
            continue
        count = len(check.starts)
        where = f"embedded AWS ({EMULATED})" if check.population == "local" else "AWS"
        found.append(
            f"{where}: {count} record{'s' if count != 1 else ''}, each predicted from the others:"
            f" median error {100 * check.median_error:.1f} %,"
            f" {100 * check.coverage:.0f} % within their 90 % interval."
        )
    return found


def check_document(checks: Sequence[Check]) -> dict[str, Any]:
    """The check as JSON, by population."""
    return {
        "method": "leave one out",
        "populations": [
            {
                "target": check.population,
                "emulated": check.population == "local",
                "records": len(check.starts),
                "median_error": check.median_error,
                "coverage": check.coverage,
                "starts": [
                    {
                        "run_id": item.run_id,
                        "path": item.start.path,
                        "model": item.start.model_id,
                        "weights_bytes": item.start.weights_bytes,
                        "instance_type": item.start.instance_type,
                        "measured_s": item.measured_s,
                        "predicted_s": _interval(item.predicted),
                        "error": item.error,
                        "inside": item.inside,
                        "notes": list(item.notes),
                    }
                    for item in check.starts
                ],
            }
            for check in checks
            if check.starts
        ],
    }


def _prediction(item: Prediction, prices: Prices) -> dict[str, Any]:
    price = prices.get(item.start.instance_type)
    return {
        "path": item.start.path,
        "instance_type": item.start.instance_type,
        "image": item.start.image,
        "model": item.start.model_id,
        "weights_bytes": item.start.weights_bytes,
        "weights_bytes_source": item.start.size_source,
        "emulated": item.emulated,
        "total_s": _interval(item.total),
        "phases": [
            {"name": phase.name, "own_s": _interval(phase.own), "busy_s": _interval(phase.busy)}
            for phase in item.phases
        ],
        "cost_usd": None
        if price is None
        else {
            **{
                end: cost_of(seconds, price)
                for end, seconds in (
                    ("median", item.total.median),
                    ("low", item.total.low),
                    ("high", item.total.high),
                )
            },
            "price": price.model_dump(),
        },
        "outside_of_records": list(item.notes),
    }


def _fitted(fitted: Fitted) -> dict[str, Any]:
    return {
        "records": fitted.records,
        "paths": sorted(fitted.paths),
        "instance_types": sorted(fitted.instance_types),
        "images": sorted(fitted.images),
        "weights_bytes": list(fitted.sizes_bytes) if fitted.records else None,
        "from": _day(fitted.times_s[0]) if fitted.records else None,
        "to": _day(fitted.times_s[1]) if fitted.records else None,
    }


def _interval(value: Interval) -> dict[str, float]:
    return {"median": value.median, "low": value.low, "high": value.high}


def _range(value: Interval) -> str:
    low, high = formatting.seconds(value.low), formatting.seconds(value.high)
    unit = high.rpartition(" ")[2]
    return f"{low.removesuffix(f' {unit}')}–{high}"


def _quantity(name: str, value: float) -> str:
    if name.endswith("_bytes_per_s"):
        return f"{formatting.size_bytes(value)}/s"
    if name.endswith("_bytes"):
        return formatting.size_bytes(value)
    if name.endswith(_WITHOUT_UNIT):
        return f"{value:.2f}"
    return formatting.seconds(value)


def _day(epoch_s: float) -> str:
    return f"{datetime.datetime.fromtimestamp(epoch_s, datetime.UTC):%Y-%m-%d}"
