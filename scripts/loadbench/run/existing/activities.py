"""Activities of Application Auto Scaling: what requested copies, when, and why."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from loadbench.results.run_record import ResourceNames

# Setting desired copy count to 2.
_COUNT = re.compile(r"desired (?:instance|copy) count to (?P<count>\d+)")


@dataclass(frozen=True)
class Activity:
    """One activity. Times are epoch seconds; `end_s` is None while it runs."""

    start_s: float
    end_s: float | None
    cause: str
    description: str
    status: str
    # The count set by the previous activity, None if unknown.
    count_before: int | None = None

    @property
    def count(self) -> int | None:
        """The count that it set, None if its text does not contain one."""
        found = _COUNT.search(self.description)
        return int(found["count"]) if found else None

    @property
    def is_scale_out(self) -> bool:
        """Whether an instance or a copy was added.

        Target tracking's alarms are recognized by their names. For other alarms and for scheduled actions the
        counts are compared; if the earlier count is unknown, an alarm is assumed to be a scale-out.
        """
        if self.count == 0 or "AlarmLow" in self.cause:
            return False
        if "AlarmHigh" in self.cause or self.count is None or self.count_before is None:
            return "ALARM" in self.cause.upper()
        return self.count > self.count_before


def scaling_activities(
    client: Any, names: ResourceNames, variants: list[str]
) -> tuple[list[Activity], list[str]]:
    """The scaling activities of this endpoint that the service retains (six weeks), and problems."""
    resources = [f"endpoint/{names.endpoint}/variant/{variant}" for variant in variants]
    if names.inference_component:
        resources = [f"inference-component/{names.inference_component}", *resources]
    found, problems = [], []
    for resource in resources:
        try:
            pages = client.get_paginator("describe_scaling_activities").paginate(
                ServiceNamespace="sagemaker", ResourceId=resource
            )
            items = [_activity(item) for page in pages for item in page["ScalingActivities"]]
            found += _with_counts_before(items)
        except (ClientError, BotoCoreError) as error:
            problems.append(str(error))
    return sorted(found, key=lambda activity: activity.start_s), problems


def _with_counts_before(items: list[Activity]) -> list[Activity]:
    """The activities of one resource in order, each with the count set by the previous successful one."""
    count, ordered = None, []
    for item in sorted(items, key=lambda activity: activity.start_s):
        ordered.append(replace(item, count_before=count))
        if item.status == "Successful" and item.count is not None:
            count = item.count
    return ordered


def _activity(item: dict[str, Any]) -> Activity:
    end = item.get("EndTime")
    return Activity(
        start_s=item["StartTime"].timestamp(),
        end_s=end.timestamp() if end else None,
        cause=item["Cause"],
        description=item["Description"],
        status=item["StatusCode"],
    )
