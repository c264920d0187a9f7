"""Costs: prices with their source and date, cost of a cold start, and the break-even point.

Method: docs/method.md, rule 6. A missing price is None and shown as a dash.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field

from loadbench.instance_types import PRICE_SOURCE, instance_types
from loadbench.results import formatting

SECONDS_PER_HOUR = 3600


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Price(_Model):
    """Hourly price of one instance, and its source."""

    usd_per_hour: float = Field(ge=0)
    source: str
    date: str
    region: str


class Cost(_Model):
    """Cost of one loading method; on the embedded AWS, which bills nothing, what AWS would charge."""

    price: Price | None
    instance_type: str
    instance_count: int
    to_ready_usd: float | None = Field(description="one cold start: mean seconds to ready times the price")
    per_thousand_usd: float | None = Field(description="a thousand cold starts")


class OneTimeCost(_Model):
    """The optimization job: paid once for every deployment that uses its shards."""

    seconds: float | None
    usd: float | None
    instance_type: str
    price: Price | None
    reused: bool = Field(description="every run used existing shards")
    job_names: list[str]
    shards_bytes: int | None = None


class BreakEven(_Model):
    """After how many deployments the one-time cost breaks even, by time and by cost."""

    saved_s: float = Field(description="seconds that one deployment saves")
    deployments: float | None = Field(description="None: it never breaks even, or is not known")
    low: float | None = Field(default=None, description="at the favourable end of the interval of saved_s")
    high: float | None = Field(default=None, description="at the other end; None: no upper limit")
    deployments_by_cost: float | None = Field(default=None, description="the same in USD")
    sentence: str


def find_price(
    instance_type: str, configuration: Mapping[str, object] | None = None, observed: Price | None = None
) -> Price | None:
    """The price of an instance type: from the configuration, looked up by the run, from the table, or
    None.
    """
    pricing = (configuration or {}).get("pricing")
    if isinstance(pricing, Mapping):
        usd = (pricing.get("usd_per_hour") or {}).get(instance_type)
        if usd is not None:
            return Price(
                usd_per_hour=float(usd),
                source=str(pricing.get("source") or "configuration"),
                date="as configured",
                region="as configured",
            )
    return observed or table_price(instance_type)


def table_price(instance_type: str) -> Price | None:
    """The price in the built-in table, None if it has none."""
    known = instance_types().get(instance_type)
    if known is None or known.usd_per_hour is None:
        return None
    return Price(
        usd_per_hour=known.usd_per_hour,
        source=PRICE_SOURCE,
        date=known.price_date,
        region=known.price_region,
    )


def cost_of(seconds: float | None, price: Price | None, instance_count: int = 1) -> float | None:
    """USD for `seconds` of `instance_count` instances; None if seconds or price are not known."""
    if seconds is None or price is None:
        return None
    return seconds / SECONDS_PER_HOUR * price.usd_per_hour * instance_count


def break_even(
    one_time: OneTimeCost,
    *,
    saved_s: float,
    saved_interval_s: tuple[float, float] | None,
    saved_usd: float | None,
) -> BreakEven:
    """Deployments after which the job breaks even if each saves `saved_s` seconds.

    The interval of the seconds saved gives the interval of the count, without an upper limit if it reaches 0.
    """
    by_time = _quotient(one_time.seconds, saved_s)
    low_s, high_s = saved_interval_s or (None, None)
    return BreakEven(
        saved_s=saved_s,
        deployments=by_time,
        low=_quotient(one_time.seconds, high_s),
        high=_quotient(one_time.seconds, low_s),
        deployments_by_cost=_quotient(one_time.usd, saved_usd),
        sentence=_sentence(one_time.seconds, saved_s, by_time),
    )


def _quotient(total: float | None, part: float | None) -> float | None:
    return total / part if total is not None and part is not None and part > 0 else None


def _sentence(seconds: float | None, saved_s: float, deployments: float | None) -> str:
    if seconds is None:
        return "The optimization job's duration is unknown, so the break-even point is too."
    job, saved = formatting.seconds(seconds), formatting.seconds(saved_s)
    if deployments is None:
        return f"The job's {job} never break even: a deployment saves no time."
    return f"Breaks even after {deployments:,.1f} deployments: the job takes {job}, each saves {saved}."
