"""What a command will create, in which order, and its cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from loadbench.config import Config
from loadbench.errors import UsageError
from loadbench.load_paths import LOAD_PATHS, LoadPath
from loadbench.results.costs import Price, find_price
from loadbench.run.removal.stored_weights import USD_PER_GB_MONTH
from loadbench.run.series_plan import plan_series

LookUp = Callable[[str], Price | None]

_KINDS = {
    "model_based": "a model-based endpoint",
    # Components are free; their instances are charged.
    "inference_component": "an endpoint with an inference component",
}


# Assumed billed time of one deployment, from start to removal, and of the job: the first measurement of this
# kind, on ml.g5.2xlarge with 16 GB, took 632 s until in service and 1117 s for the job.
_MINUTES_A_RUN = 15
_MINUTES_A_JOB = 20


@dataclass(frozen=True)
class CostEstimate:
    """What a command creates and costs; `total_usd` is None if a price is unknown."""

    text: str
    total_usd: float | None

    def require_within(self, max_usd: float) -> None:
        """Raise UsageError if the total is above the limit or unknown."""
        if self.total_usd is None:
            raise UsageError(
                f"--max-usd {max_usd:g}: the cost is unknown, because an instance type has no price",
                remedy="Add it to the configuration under pricing.usd_per_hour, or omit --max-usd.",
            )
        if self.total_usd > max_usd:
            raise UsageError(
                f"--max-usd {max_usd:g}: the estimated total is {self.total_usd:.2f} USD",
                remedy="Choose fewer pairs, a smaller instance type, or a higher --max-usd.",
            )


def estimate_cost(
    config: Config, load_paths: Sequence[LoadPath], pairs: int, look_up: LookUp = lambda _: None
) -> CostEstimate:
    """What `pairs` runs of each method (0: only the job) create and cost; shown before money is spent.

    `look_up` returns the price that the target reports for an instance type; without it the built-in table is
    used. A missing price is shown as such.
    """
    prices: dict[str, Price | None] = {}
    hours: list[tuple[str, float]] = []

    def hourly(instance_type: str, count: int, minutes: float) -> str:
        if instance_type not in prices:
            prices[instance_type] = find_price(instance_type, config.model_dump(), look_up(instance_type))
        hours.append((instance_type, count * minutes / 60))
        price = prices[instance_type]
        if price is None:
            return "price not known"
        return f"{price.usd_per_hour * count:.3f}".removesuffix("0") + " USD per hour"

    lines = []
    for load_path in load_paths:
        info = config.deployment(load_path)
        kind, count = _KINDS[config.endpoint_kind(load_path)], info.instance_count
        instance = info.instance_type
        if LOAD_PATHS[load_path].optimized:
            # Charged like hosting: inferred (docs/live-check.md#job-costs-like-hosting).
            job = config.fast_model_loading_info.optimization_instance_type or instance
            price = hourly(job, 1, _MINUTES_A_JOB)
            lines.append(
                f"  {load_path}: an optimization job on {job}, {price}, once per model and parallel size"
            )
        if pairs:
            price = hourly(instance, count, _MINUTES_A_RUN * pairs)
            lines.append(f"  {load_path}: {kind} on {count} × {instance}, {price}")
    if pairs > 1:
        lines.append(f"  each endpoint {pairs} times, removed after each run")
    if any(
        LOAD_PATHS[load_path].optimized or config.weights_from(load_path) == "s3" for load_path in load_paths
    ):
        lines.append(f"  models and shards in S3, which are kept: {USD_PER_GB_MONTH} USD per GB and month")
    total_usd = _total(hours, prices)
    sources = {f"{price.source}, {price.date}, region {price.region}" for price in prices.values() if price}
    heading = "This run creates the following, which AWS charges for until they are removed:"
    if config.target == "local":
        heading = "The embedded AWS charges nothing. On AWS this run would create and be charged for:"
    total = "unknown" if total_usd is None else f"about {total_usd:.2f} USD"
    text = [
        heading,
        *lines,
        f"Estimated total: {total}, at {_MINUTES_A_RUN} min per deployment from start to removal"
        f" and {_MINUTES_A_JOB} min per optimization job.",
        *(f"Prices: {source}." for source in sorted(sources)),
    ]
    return CostEstimate("\n".join(text), total_usd)


def _total(hours: Sequence[tuple[str, float]], prices: Mapping[str, Price | None]) -> float | None:
    total = 0.0
    for instance_type, count in hours:
        price = prices[instance_type]
        if price is None:
            return None
        total += count * price.usd_per_hour
    return total


def describe_plan(config: Config, load_paths: Sequence[LoadPath], pairs: int) -> str:
    """The runs in order, what each creates, and the requests it sends."""
    slots = plan_series(pairs, config.benchmark.seed, load_paths)
    requests = 2 + config.benchmark.warm_invocations  # the first, those after it, and a streaming one
    if not pairs:
        return (
            "Dry run: nothing is created. An optimization job would write shards to S3; no request is sent."
        )
    lines = [
        "Dry run: nothing is created.",
        f"{len(slots)} run{'s' if len(slots) != 1 else ''} on "
        f"{'the embedded AWS' if config.target == 'local' else config.region}, each removed before the next, "
        f"in this order:",
        *(f"  {number}. {slot.path}" for number, slot in enumerate(slots, 1)),
        "Each creates a model, an endpoint configuration, an endpoint"
        " and, unless one is configured, an execution role:",
    ]
    for load_path in load_paths:
        info = config.deployment(load_path)
        component = config.endpoint_kind(load_path) == "inference_component"
        lines.append(
            f"  {load_path}: {info.hf_model_id} in {config.image(load_path).rpartition('/')[2]}"
            f"{', with an inference component' if component else ''}"
            f"{'; before the first one an optimization job' if LOAD_PATHS[load_path].optimized else ''}"
        )
    lines.append(f"Each sends {requests} requests to its endpoint, {requests * len(slots)} in all.")
    return "\n".join(lines)
