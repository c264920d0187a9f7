"""CPU, memory, disk, GPU and network over time, from CloudWatch on both targets."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

from loadbench.results.run_record import ResourceNames, Series, Usage

# Counters of each instance; only the embedded AWS has them.
_COUNTERS = "LocalAWS/Instances"
_UTILISATION = {
    "/aws/sagemaker/Endpoints": "EndpointName",
    "/aws/sagemaker/InferenceComponents": "InferenceComponentName",
}
_QUERIES_PER_CALL = 500  # GetMetricData's own limit
_AWS_PERIOD_S = 60  # AWS publishes utilisation once a minute
_EMBEDDED_PERIOD_S = 1


@dataclass(frozen=True)
class _Metric:
    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]


def read_usage(client: Any, names: ResourceNames, start_s: float, end_s: float) -> Usage:
    """Resource usage of one cold start between two epoch seconds, with all curves.

    Figures that the target does not report are None. Raises botocore's errors.
    """
    metrics = _find(client, names)
    curves = _fetch(client, metrics, start_s, end_s)

    def counter(name: str) -> float | None:
        """The sum of the highest values of all instances (each counter starts at zero with its instance)."""
        own = [
            curve for metric, curve in curves.items() if (metric.namespace, metric.name) == (_COUNTERS, name)
        ]
        return sum(max(value for _, value in curve) for curve in own if curve) if any(own) else None

    return Usage(
        cpu_seconds=counter("CPUSeconds"),
        peak_memory_bytes=counter("MemoryPeakBytes"),
        disk_write_bytes=counter("DiskWriteBytes"),
        network_receive_bytes=counter("NetworkReceiveBytes"),
        series=[
            Series(name=_label(metric), unit=unit_of(metric.name), source=metric.namespace, points=curve)
            for metric, curve in curves.items()
            if curve
        ],
    )


def unit_of(name: str) -> str:
    """The unit of a metric, by its name."""
    if name.endswith("Bytes"):
        return "bytes"
    return "seconds" if name.endswith("Seconds") else "percent"


def _find(client: Any, names: ResourceNames) -> list[_Metric]:
    wanted = [(_COUNTERS, "EndpointName", names.endpoint)]
    for namespace, dimension in _UTILISATION.items():
        name = names.endpoint if dimension == "EndpointName" else names.inference_component
        if name:
            wanted.append((namespace, dimension, name))
    found = []
    for namespace, dimension, name in wanted:
        pages = client.get_paginator("list_metrics").paginate(
            Namespace=namespace, Dimensions=[{"Name": dimension, "Value": name}]
        )
        for item in (item for page in pages for item in page["Metrics"]):
            dimensions = tuple((entry["Name"], entry["Value"]) for entry in item["Dimensions"])
            found.append(_Metric(namespace, item["MetricName"], dimensions))
    return found


def _fetch(
    client: Any, metrics: list[_Metric], start_s: float, end_s: float
) -> dict[_Metric, list[tuple[float, float]]]:
    curves: dict[_Metric, list[tuple[float, float]]] = {metric: [] for metric in metrics}
    counted = any(metric.namespace == _COUNTERS for metric in metrics)
    period_s = _EMBEDDED_PERIOD_S if counted else _AWS_PERIOD_S
    for first in range(0, len(metrics), _QUERIES_PER_CALL):
        part = metrics[first : first + _QUERIES_PER_CALL]
        pages = client.get_paginator("get_metric_data").paginate(
            MetricDataQueries=[_query(f"m{number}", metric, period_s) for number, metric in enumerate(part)],
            StartTime=_time(start_s // period_s * period_s),
            EndTime=_time((end_s // period_s + 1) * period_s),
            ScanBy="TimestampAscending",
        )
        for result in (result for page in pages for result in page["MetricDataResults"]):
            curve = curves[part[int(result["Id"][1:])]]
            curve += [
                (time.timestamp(), value)
                for time, value in zip(result["Timestamps"], result["Values"], strict=True)
            ]
    return {metric: sorted(curve) for metric, curve in curves.items()}


def _query(query_id: str, metric: _Metric, period_s: int) -> dict[str, Any]:
    return {
        "Id": query_id,
        "MetricStat": {
            "Metric": {
                "Namespace": metric.namespace,
                "MetricName": metric.name,
                "Dimensions": [{"Name": name, "Value": value} for name, value in metric.dimensions],
            },
            "Period": period_s,
            "Stat": "Maximum" if metric.namespace == _COUNTERS else "Average",
        },
    }


def _label(metric: _Metric) -> str:
    instance = dict(metric.dimensions).get("InstanceId")
    return f"{metric.name} {instance}" if instance else metric.name


def _time(epoch_s: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(epoch_s, datetime.UTC)
