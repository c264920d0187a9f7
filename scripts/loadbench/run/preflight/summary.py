"""What a run will create and what that costs, in a few lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from loadbench.config import Config
from loadbench.load_paths import LOAD_PATHS, LoadPath
from loadbench.results.costs import Price, find_price
from loadbench.run.removal.stored_weights import USD_PER_GB_MONTH

LookUp = Callable[[str], Price | None]

_KINDS = {
    "model_based": "a model-based endpoint",
    # A component is not charged for: the instances under it are.
    "inference_component": "an endpoint with an inference component",
}


def cost_summary(config: Config, load_paths: Sequence[LoadPath], look_up: LookUp = lambda _: None) -> str:
    """What the paths create, for the question that is asked before money is spent.

    `look_up` gives the price that the target itself tells for an instance type; without it the repository's
    table stands in, and where that has none the line says so.
    """
    prices: dict[str, Price | None] = {}

    def hourly(instance_type: str, count: int) -> str:
        if instance_type not in prices:
            prices[instance_type] = find_price(instance_type, config.model_dump(), look_up(instance_type))
        price = prices[instance_type]
        if price is None:
            return "price not known"
        return f"{price.usd_per_hour * count:.3f}".removesuffix("0") + " USD per hour"

    lines = []
    for load_path in load_paths:
        info = config.deployment(load_path)
        kind, count, instance = (
            _KINDS[config.endpoint_kind(load_path)],
            info.instance_count,
            info.instance_type,
        )
        if LOAD_PATHS[load_path].optimized:
            # Charged like hosting: inferred (docs/live-check.md#job-costs-like-hosting).
            job = config.fast_model_loading_info.optimization_instance_type or instance
            lines.append(
                f"  {load_path}: an optimization job on {job}, {hourly(job, 1)}, once per model and degree"
            )
        lines.append(f"  {load_path}: {kind} on {count} × {instance}, {hourly(instance, count)}")
    if config.benchmark.pairs > 1:
        lines.append(f"  each endpoint {config.benchmark.pairs} times, removed after each run")
    if any(
        LOAD_PATHS[load_path].optimized or config.weights_from(load_path) == "s3" for load_path in load_paths
    ):
        lines.append(f"  models and shards in S3, which stay: {USD_PER_GB_MONTH} USD per GB and month")
    sources = {f"{price.source}, {price.date}, region {price.region}" for price in prices.values() if price}
    price_lines = [f"Prices: {source}." for source in sorted(sources)]
    heading = "This run creates, and AWS charges for until they are removed:"
    if config.target == "local":
        heading = "The embedded AWS charges nothing. On AWS this run would create and be charged for:"
    return "\n".join([heading, *lines, *price_lines])
