"""The price that AWS publishes, looked up once per run on a real account."""

from __future__ import annotations

import json
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from loadbench.partitions import service_region
from loadbench.results.costs import Price

_CLIENT_CONFIG = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 1})


def look_up_price(session: Any, instance_type: str, region: str) -> Price | None:
    """USD per hour for hosting on an instance type, None if the price list has no such price.

    The filters are inferred (docs/facts/sagemaker.md#prices); a wrong one finds nothing, and then
    the built-in table is used.
    """
    # The price list of all regions is served from a few of them (docs/facts/sagemaker.md#prices).
    price_list_region = service_region("pricing", region)
    if price_list_region is None:
        return None
    wanted = {
        "productFamily": "ML Instance",
        "regionCode": region,
        "instanceName": instance_type,
        "platoinstancetype": "Hosting",
    }
    try:
        answer = session.client("pricing", region_name=price_list_region, config=_CLIENT_CONFIG).get_products(
            ServiceCode="AmazonSageMaker",
            Filters=[{"Type": "TERM_MATCH", "Field": key, "Value": value} for key, value in wanted.items()],
        )
    except (ClientError, BotoCoreError):
        return None  # no permission or no connection: the table's price, with its date, is good enough
    found = [price for item in answer["PriceList"] for price in _hourly(json.loads(item), region)]
    return found[0] if len({price.usd_per_hour for price in found}) == 1 else None


def _hourly(product: dict[str, Any], region: str) -> list[Price]:
    return [
        Price(
            usd_per_hour=float(dimension["pricePerUnit"]["USD"]),
            source="AWS price list",
            date=str(term.get("effectiveDate", "unknown"))[:10],
            region=region,
        )
        for term in product.get("terms", {}).get("OnDemand", {}).values()
        for dimension in term.get("priceDimensions", {}).values()
        if dimension.get("unit") == "Hrs" and "USD" in dimension.get("pricePerUnit", {})
    ]
