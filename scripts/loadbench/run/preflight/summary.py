"""What a run will create and what that costs, in a few lines."""

from __future__ import annotations

from collections.abc import Sequence

from loadbench.config import Config
from loadbench.paths import PATHS, PathName
from loadbench.results.costs import find_price


def cost_summary(config: Config, paths: Sequence[PathName]) -> str:
    """One line a path, for the question that is asked before money is spent; no price where none is known."""
    lines = ["This run creates, and charges for until they are removed:"]
    for path in paths:
        info = config.deployment(path)
        price = find_price(info.instance_type, config.model_dump())
        each = f"{price.usd_per_hour * info.instance_count:.2f} USD per hour" if price else "price not known"
        lines.append(f"  {path}: an endpoint on {info.instance_count} × {info.instance_type}, {each}")
        if PATHS[path].optimized:
            instance = config.fast_model_loading_info.optimization_instance_type or info.instance_type
            lines.append(f"  {path}: an optimization job on {instance}, once per model and degree")
    return "\n".join(lines)
