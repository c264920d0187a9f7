"""The question before money is spent: what a run creates, what it costs, and whose prices those are."""

from __future__ import annotations

import re

import pytest

from loadbench.config import Config
from loadbench.errors import UsageError
from loadbench.results.costs import Price
from loadbench.run.preflight import describe_plan, estimate_cost
from loadbench.run.series_plan import plan_series
from tests.loadbench.run.preflight.stubs import BOTH, changed, on_aws


def test_the_question_before_money_names_what_will_be_created(config: Config) -> None:
    summary = estimate_cost(changed(on_aws(config), "standard", instance_count=2), BOTH, 1).text
    assert "standard: a model-based endpoint on 2 × ml.g5.2xlarge, 3.03 USD per hour" in summary
    assert "fast: an optimization job on ml.g5.2xlarge, 1.515 USD per hour" in summary
    assert "fast: an endpoint with an inference component on 1 × ml.g5.2xlarge" in summary
    assert "times" not in summary


def test_the_cost_of_a_like_for_like_series_is_that_of_its_endpoints(config: Config) -> None:
    benchmark = config.benchmark.model_copy(update={"like_for_like": True})
    summary = estimate_cost(on_aws(config, benchmark=benchmark), BOTH, 5).text
    assert "standard: an endpoint with an inference component" in summary
    assert "each endpoint 5 times" in summary
    assert "models and shards in S3" in summary


def test_what_aws_tells_goes_before_the_table_and_says_where_it_is_from(config: Config) -> None:
    asked: list[str] = []

    def look_up(instance_type: str) -> Price:
        asked.append(instance_type)
        return Price(usd_per_hour=1.9, source="AWS price list", date="2026-11-01", region="us-west-2")

    summary = estimate_cost(on_aws(config), BOTH, 1, look_up).text
    assert asked == ["ml.g5.2xlarge"]
    assert "1.90 USD per hour" in summary
    assert "Prices: AWS price list, 2026-11-01, region us-west-2." in summary


def test_a_price_that_is_not_known_is_said_to_be_so(config: Config) -> None:
    estimate = estimate_cost(changed(config, instance_type="ml.zz9.large"), ["standard"], 1)
    assert "price not known" in estimate.text
    assert "Estimated total: unknown" in estimate.text
    with pytest.raises(UsageError, match="cost is unknown"):
        estimate.require_within(1000)


def test_the_total_is_every_deployment_and_one_job(config: Config) -> None:
    one, five = (estimate_cost(on_aws(config), BOTH, pairs).total_usd for pairs in (1, 5))
    assert one == pytest.approx(1.515 * (2 * 15 + 20) / 60)
    assert five == pytest.approx(1.515 * (10 * 15 + 20) / 60)


def test_a_limit_below_the_total_is_refused_before_anything_is_created(config: Config) -> None:
    estimate = estimate_cost(on_aws(config), BOTH, 5)
    estimate.require_within(5)
    with pytest.raises(UsageError, match=r"estimated total is 4\.29 USD"):
        estimate.require_within(4)


def test_a_plan_lists_the_runs_in_their_order_and_all_requests(config: Config) -> None:
    plan = describe_plan(config, BOTH, 3)
    order = [slot.path for slot in plan_series(3, config.benchmark.seed, BOTH)]
    assert re.findall(r"^  \d+\. (\w+)$", plan, re.MULTILINE) == order
    requests = 6 * (2 + config.benchmark.warm_invocations)
    assert f"{requests} in all" in plan
