"""The price list's answer, as botocore's own model of the service shapes it."""

from __future__ import annotations

import json
from typing import Any

import boto3
from botocore.stub import Stubber

from loadbench.run.price_lookup import look_up_price


class Session:
    """A session whose price list is stubbed."""

    def __init__(self) -> None:
        self.client_ = boto3.client(
            "pricing", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
        )
        self.stub = Stubber(self.client_)

    def client(self, service: str, **_: Any) -> Any:
        assert service == "pricing"
        return self.client_


def product(*usd: str, unit: str = "Hrs") -> str:
    dimensions = {str(n): {"unit": unit, "pricePerUnit": {"USD": price}} for n, price in enumerate(usd)}
    term = {"effectiveDate": "2026-10-01T00:00:00Z", "priceDimensions": dimensions}
    return json.dumps({"terms": {"OnDemand": {"term": term}}})


def price_in(*products: str) -> Any:
    session = Session()
    session.stub.add_response("get_products", {"FormatVersion": "aws_v1", "PriceList": list(products)})
    with session.stub:
        return look_up_price(session, "ml.g5.2xlarge", "us-west-2")


def test_the_hourly_price_carries_its_source_and_date() -> None:
    price = price_in(product("1.5150000000"))
    assert (price.usd_per_hour, price.source, price.date, price.region) == (
        1.515,
        "AWS price list",
        "2026-10-01",
        "us-west-2",
    )


def test_an_answer_that_does_not_settle_it_is_no_price() -> None:
    assert price_in() is None
    assert price_in(product("1.5", "2.5")) is None
    assert price_in(product("1.5", unit="GB")) is None


def test_a_price_list_that_refuses_is_no_price() -> None:
    session = Session()
    session.stub.add_client_error("get_products", "AccessDeniedException")
    with session.stub:
        assert look_up_price(session, "ml.g5.2xlarge", "us-west-2") is None
