"""Activities of Application Auto Scaling: what requested copies, when, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from loadbench.results.run_record import ResourceNames


@dataclass(frozen=True)
class Activity:
    """One activity. Times are epoch seconds; `end_s` is None while it runs."""

    start_s: float
    end_s: float | None
    cause: str
    description: str
    status: str

    @property
    def is_scale_out(self) -> bool:
        """Whether an instance or a copy was added, judging by its text."""
        return "ALARM" in self.cause.upper() and "AlarmLow" not in self.cause


def scaling_activities(
    client: Any, names: ResourceNames, variants: list[str]
) -> tuple[list[Activity], list[str]]:
    """The scaling activities of this endpoint that the service still has (six weeks), and problems."""
    resources = [f"endpoint/{names.endpoint}/variant/{variant}" for variant in variants]
    if names.inference_component:
        resources = [f"inference-component/{names.inference_component}", *resources]
    found, problems = [], []
    for resource in resources:
        try:
            pages = client.get_paginator("describe_scaling_activities").paginate(
                ServiceNamespace="sagemaker", ResourceId=resource
            )
            found += [_activity(item) for page in pages for item in page["ScalingActivities"]]
        except (ClientError, BotoCoreError) as error:
            problems.append(str(error))
    return sorted(found, key=lambda activity: activity.start_s), problems


def _activity(item: dict[str, Any]) -> Activity:
    end = item.get("EndTime")
    return Activity(
        start_s=item["StartTime"].timestamp(),
        end_s=end.timestamp() if end else None,
        cause=item["Cause"],
        description=item["Description"],
        status=item["StatusCode"],
    )
