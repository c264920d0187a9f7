"""Curves and figures of a cold start from CloudWatch's answers, on either target."""

from __future__ import annotations

import datetime
from typing import Any

import boto3
from botocore.stub import ANY, Stubber

from loadbench.results.run_record import ResourceNames, Usage
from loadbench.run.observe.usage import read_usage

NAMES = ResourceNames(endpoint="e", endpoint_configuration="c", model="m", inference_component="k")
START_S = 1795418355.638


class CloudWatch:
    """A real client whose answers are given; what it is asked is checked against the service's own model."""

    def __init__(self, curves: dict[tuple[str, str, str], list[float]]) -> None:
        """`curves` by namespace, metric and instance ('' for none), one value a second from START_S."""
        self.client = boto3.Session(region_name="us-west-2").client(
            "cloudwatch", aws_access_key_id="key", aws_secret_access_key="secret"
        )
        self.asked: list[dict[str, Any]] = []
        self.client.meta.events.register("provide-client-params.cloudwatch.GetMetricData", self._note)
        stub = Stubber(self.client)
        for namespace, dimension, name in (
            ("LocalAWS/Instances", "EndpointName", "e"),
            ("/aws/sagemaker/Endpoints", "EndpointName", "e"),
            ("/aws/sagemaker/InferenceComponents", "InferenceComponentName", "k"),
        ):
            metrics = [
                {
                    "Namespace": namespace,
                    "MetricName": metric,
                    "Dimensions": [
                        {"Name": dimension, "Value": name},
                        *([{"Name": "InstanceId", "Value": instance}] if instance else []),
                    ],
                }
                for space, metric, instance in curves
                if space == namespace
            ]
            asked = {"Namespace": namespace, "Dimensions": [{"Name": dimension, "Value": name}]}
            stub.add_response("list_metrics", {"Metrics": metrics}, asked)
        if curves:
            results = [
                {
                    "Id": f"m{number}",
                    "Timestamps": [
                        datetime.datetime.fromtimestamp(int(START_S) + second, datetime.UTC)
                        for second in range(len(values))
                    ],
                    "Values": values,
                }
                for number, values in enumerate(curves.values())
            ]
            wanted = {
                "MetricDataQueries": ANY,
                "StartTime": ANY,
                "EndTime": ANY,
                "ScanBy": "TimestampAscending",
            }
            stub.add_response("get_metric_data", {"MetricDataResults": results}, wanted)
        stub.activate()

    def _note(self, params: dict[str, Any], **_: Any) -> None:
        self.asked.append(params)

    def usage(self) -> Usage:
        return read_usage(self.client, NAMES, START_S, START_S + 10)


def test_counters_of_several_instances_add_up() -> None:
    space = "LocalAWS/Instances"
    watched = CloudWatch(
        {
            (space, "CPUSeconds", "i-1"): [0.5, 3.0],
            (space, "CPUSeconds", "i-2"): [0.5, 2.0],
            (space, "MemoryPeakBytes", "i-1"): [10.0, 90.0],
            (space, "DiskWriteBytes", "i-1"): [0.0, 7.0],
            (space, "NetworkReceiveBytes", "i-1"): [0.0, 8.0],
        }
    )
    usage = watched.usage()
    assert (usage.cpu_seconds, usage.peak_memory_bytes) == (5.0, 90.0)
    assert (usage.disk_write_bytes, usage.network_receive_bytes) == (7.0, 8.0)
    assert {(series.name, series.unit) for series in usage.series} >= {("CPUSeconds i-1", "seconds")}
    assert {query["MetricStat"]["Period"] for query in watched.asked[0]["MetricDataQueries"]} == {1}


def test_aws_tells_curves_a_minute_apart_and_no_counters() -> None:
    watched = CloudWatch({("/aws/sagemaker/InferenceComponents", "GPUUtilization", ""): [35.0]})
    usage = watched.usage()
    assert usage.cpu_seconds is None
    assert usage.peak_memory_bytes is None
    (series,) = usage.series
    assert (series.name, series.unit, series.source) == (
        "GPUUtilization",
        "percent",
        "/aws/sagemaker/InferenceComponents",
    )
    assert series.points == [(int(START_S), 35.0)]
    (query,) = watched.asked[0]["MetricDataQueries"]
    assert query["MetricStat"]["Period"] == 60
    # Periods begin on the minute: one that began before the request covers its beginning.
    assert watched.asked[0]["StartTime"].timestamp() == START_S // 60 * 60


def test_without_metrics_nothing_is_claimed() -> None:
    assert CloudWatch({}).usage() == Usage()


def test_a_counter_that_has_no_sample_yet_is_not_zero() -> None:
    assert CloudWatch({("LocalAWS/Instances", "CPUSeconds", "i-1"): []}).usage().cpu_seconds is None
