"""Predicted cold starts of a configuration, by loading method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from loadbench.load_paths import LOAD_PATHS
from loadbench.predict.learn import known_starts, learn_from
from loadbench.predict.model import predict
from loadbench.predict.planned_start import planned_start
from loadbench.results.costs import find_price
from loadbench.results.run_summary import point_of
from loadbench.what_if.distributions import Distribution, from_values
from loadbench.what_if.recorded import LoadingFigures

if TYPE_CHECKING:
    from loadbench.config import Config
    from loadbench.predict.learn import KnownStart
    from loadbench.results.run_record import RunRecord

_VALUES = 200  # of the prediction's distribution: enough for a simulation, and readable in JSON


def predicted_loading(
    config: Config, load_paths: Sequence[str], records: Sequence[RunRecord], *, image_cached: bool
) -> list[LoadingFigures]:
    """Predicted cold starts of these loading methods (default: those of the configuration).

    Response times are those of recorded runs with the same model and instance type, if there are any. Raises
    UsageError if the size of the weights is unknown.
    """
    known = known_starts(records, config.target)
    coefficients = learn_from(known, config.target)
    found = []
    for load_path in load_paths or [name for name in config.paths if LOAD_PATHS[name].compared]:
        start = planned_start(config, load_path, known, image_cached=image_cached)
        draws_s = predict(start, coefficients).draws_s
        quantiles_s = np.quantile(draws_s, (np.arange(_VALUES) + 0.5) / _VALUES)
        price = find_price(start.instance_type, config.model_dump())
        figures = LoadingFigures(
            load_path=load_path,
            cold_start=from_values(
                [round(float(value), 2) for value in quantiles_s],
                f"predicted from {coefficients.fitted.records} records",
            ),
            request=_response_times(load_path, start.model_id, start.instance_type, known),
            usd_per_hour=price.usd_per_hour if price else None,
            is_local=config.target == "local",
        )
        found.append(figures)
    return found


def _response_times(
    load_path: str, model_id: str, instance_type: str, known: Sequence[KnownStart]
) -> Distribution | None:
    wanted = (load_path, model_id, instance_type)
    latencies_s = [
        latency_s
        for item in known
        if (item.start.path, item.start.model_id, item.start.instance_type) == wanted
        for latency_s in point_of(item.record).warm_latencies_s
    ]
    if not latencies_s:
        return None
    return from_values(latencies_s, f"{len(latencies_s)} recorded warm requests")
