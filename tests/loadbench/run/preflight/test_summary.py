"""The question before money is spent: what a run creates, what it costs, and whose prices those are."""

from __future__ import annotations

from loadbench.config import Config
from loadbench.results.costs import Price
from loadbench.run.preflight import cost_summary
from tests.loadbench.run.preflight.stubs import BOTH, changed, on_aws


def test_the_question_before_money_names_what_will_be_created(config: Config) -> None:
    summary = cost_summary(changed(on_aws(config), "standard", instance_count=2), BOTH)
    assert "standard: a model-based endpoint on 2 × ml.g5.2xlarge, 3.03 USD per hour" in summary
    assert "fast: an optimization job on ml.g5.2xlarge, 1.515 USD per hour" in summary
    assert "fast: an endpoint with an inference component on 1 × ml.g5.2xlarge" in summary
    assert "times" not in summary


def test_the_cost_of_a_like_for_like_series_is_that_of_its_endpoints(config: Config) -> None:
    benchmark = config.benchmark.model_copy(update={"like_for_like": True, "pairs": 5})
    summary = cost_summary(on_aws(config, benchmark=benchmark), BOTH)
    assert "standard: an endpoint with an inference component" in summary
    assert "each endpoint 5 times" in summary
    assert "models and shards in S3" in summary


def test_what_aws_tells_goes_before_the_table_and_says_where_it_is_from(config: Config) -> None:
    asked: list[str] = []

    def look_up(instance_type: str) -> Price:
        asked.append(instance_type)
        return Price(usd_per_hour=1.9, source="AWS price list", date="2026-11-01", region="us-west-2")

    summary = cost_summary(on_aws(config), BOTH, look_up)
    assert asked == ["ml.g5.2xlarge"]
    assert "1.90 USD per hour" in summary
    assert "Prices: AWS price list, 2026-11-01, region us-west-2." in summary


def test_a_price_that_is_not_known_is_said_to_be_so(config: Config) -> None:
    assert "price not known" in cost_summary(changed(config, instance_type="ml.zz9.large"), ["standard"])
