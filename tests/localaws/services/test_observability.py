"""Logs and metrics as boto3 reads them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from botocore.exceptions import ClientError
from botocore.model import ServiceModel
from hypothesis import given
from hypothesis import strategies as st

from localaws.errors import AwsError
from localaws.protocol import cbor
from localaws.state.database import Database
from localaws.state.logs import LogStore
from localaws.state.metrics import MetricStore

from ..conftest import EmbeddedAws

_GROUP = "/aws/sagemaker/Endpoints/observed"


@pytest.fixture
def logs(aws: EmbeddedAws) -> Iterator[Any]:
    """A boto3 client, and a group with two streams of three lines each."""
    client = aws.client("logs")
    client.create_log_group(logGroupName=_GROUP)
    for stream in ("AllTraffic/i-1", "AllTraffic/i-2"):
        client.create_log_stream(logGroupName=_GROUP, logStreamName=stream)
        events = [{"timestamp": 1000 + number, "message": f"{stream} line {number}"} for number in range(3)]
        client.put_log_events(logGroupName=_GROUP, logStreamName=stream, logEvents=events)
    yield client
    client.delete_log_group(logGroupName=_GROUP)


def test_groups_and_streams_are_described(logs: Any) -> None:
    (group,) = logs.describe_log_groups(logGroupNamePrefix="/aws/sagemaker/Endpoints/o")["logGroups"]
    assert group["logGroupName"] == _GROUP
    assert group["arn"] == f"arn:aws:logs:us-east-1:123456789012:log-group:{_GROUP}:*"
    assert group["storedBytes"] > 0
    streams = logs.describe_log_streams(logGroupName=_GROUP)["logStreams"]
    assert [stream["logStreamName"] for stream in streams] == ["AllTraffic/i-1", "AllTraffic/i-2"]
    assert (streams[0]["firstEventTimestamp"], streams[0]["lastEventTimestamp"]) == (1000, 1002)
    assert logs.describe_log_groups(logGroupNamePrefix="/none")["logGroups"] == []


def test_filtered_events_interleave_streams_by_time_and_page(logs: Any) -> None:
    pages = logs.get_paginator("filter_log_events").paginate(
        logGroupName=_GROUP, startTime=1001, PaginationConfig={"PageSize": 3}
    )
    events = [event for page in pages for event in page["events"]]
    assert [event["timestamp"] for event in events] == [1001, 1001, 1002, 1002]
    assert len({event["eventId"] for event in events}) == 4


def test_filter_patterns_and_stream_names_select(logs: Any) -> None:
    def messages(**arguments: Any) -> list[str]:
        found = logs.filter_log_events(logGroupName=_GROUP, **arguments)["events"]
        return [event["message"] for event in found]

    assert messages(filterPattern='"i-2 line 1"') == ["AllTraffic/i-2 line 1"]
    assert len(messages(logStreamNamePrefix="AllTraffic/i-1")) == 3
    assert len(messages(logStreamNames=["AllTraffic/i-2"], endTime=1002)) == 2


def test_a_stream_can_be_followed_by_its_tokens(logs: Any) -> None:
    names = {"logGroupName": _GROUP, "logStreamName": "AllTraffic/i-1"}
    first = logs.get_log_events(**names, startFromHead=True, limit=2)
    assert [event["timestamp"] for event in first["events"]] == [1000, 1001]
    second = logs.get_log_events(**names, startFromHead=True, nextToken=first["nextForwardToken"])
    assert [event["timestamp"] for event in second["events"]] == [1002]
    third = logs.get_log_events(**names, startFromHead=True, nextToken=second["nextForwardToken"])
    assert (third["events"], third["nextForwardToken"]) == ([], second["nextForwardToken"])
    back = logs.get_log_events(**names, nextToken=second["nextBackwardToken"])
    assert [event["timestamp"] for event in back["events"]] == [1000, 1001]
    newest = logs.get_log_events(**names, limit=1)
    assert [event["timestamp"] for event in newest["events"]] == [1002]


def test_what_is_missing_raises_the_typed_exception(logs: Any) -> None:
    with pytest.raises(logs.exceptions.ResourceNotFoundException):
        logs.filter_log_events(logGroupName="/none")
    with pytest.raises(logs.exceptions.ResourceNotFoundException):
        logs.get_log_events(logGroupName=_GROUP, logStreamName="none")
    with pytest.raises(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_group(logGroupName=_GROUP)


def test_deleting_a_group_forgets_its_events(tmp_path: Path) -> None:
    store = LogStore(Database(tmp_path / "db.sqlite3"))
    store.append("us-east-1", "group", "stream", [(1, "old")])
    assert store.delete_group("us-east-1", "group")
    assert not store.delete_group("us-east-1", "group")
    store.append("us-east-1", "group", "stream", [(2, "new")])
    assert [event.message for event in store.events("us-east-1", "group")] == ["new"]


def test_regions_keep_their_logs_and_metrics_apart(tmp_path: Path) -> None:
    database = Database(tmp_path / "db.sqlite3")
    logs, metrics = LogStore(database), MetricStore(database)
    logs.append("eu-west-1", "group", "stream", [(1, "line")])
    metrics.put("eu-west-1", "space", "name", {}, 1.0, "None", 5.0)
    assert logs.groups("us-east-1") == []
    assert metrics.list("us-east-1") == []
    with pytest.raises(AwsError, match="ResourceNotFoundException"):
        logs.events("us-east-1", "group")


@pytest.fixture
def metrics(own_aws: EmbeddedAws) -> Any:
    """A CloudWatch client of an AWS with four samples, 30 s apart, of one series, and one of another."""
    store = MetricStore(Database(own_aws.state_dir / "localaws.sqlite3"))
    for number in range(4):
        dimensions = {"EndpointName": "e", "VariantName": "v"}
        store.put(
            "us-east-1", "/aws/sagemaker/Endpoints", "CPU", dimensions, number, "Percent", 600 + 30 * number
        )
    store.put("us-east-1", "Other", "CPU", {}, 1.0, "None", 600.0)
    return own_aws.client("cloudwatch")


def test_metrics_are_listed_by_namespace_and_dimension(metrics: Any) -> None:
    (found,) = metrics.list_metrics(
        Namespace="/aws/sagemaker/Endpoints", Dimensions=[{"Name": "EndpointName", "Value": "e"}]
    )["Metrics"]
    assert found["MetricName"] == "CPU"
    assert {"Name": "VariantName", "Value": "v"} in found["Dimensions"]
    assert len(metrics.list_metrics()["Metrics"]) == 2
    assert metrics.list_metrics(Dimensions=[{"Name": "EndpointName", "Value": "x"}])["Metrics"] == []


def test_statistics_are_taken_over_each_period(metrics: Any) -> None:
    answer = metrics.get_metric_statistics(
        Namespace="/aws/sagemaker/Endpoints",
        MetricName="CPU",
        Dimensions=[{"Name": "EndpointName", "Value": "e"}, {"Name": "VariantName", "Value": "v"}],
        StartTime=datetime.fromtimestamp(600, UTC),
        EndTime=datetime.fromtimestamp(720, UTC),
        Period=60,
        Statistics=["Average", "Maximum", "SampleCount"],
    )
    points = [
        (p["Timestamp"].timestamp(), p["Average"], p["Maximum"], p["SampleCount"])
        for p in answer["Datapoints"]
    ]
    assert points == [(600, 0.5, 1, 2), (660, 2.5, 3, 2)]
    assert answer["Datapoints"][0]["Unit"] == "Percent"


def test_metric_data_comes_newest_first_unless_asked(metrics: Any) -> None:
    metric = {
        "Namespace": "/aws/sagemaker/Endpoints",
        "MetricName": "CPU",
        "Dimensions": [{"Name": "EndpointName", "Value": "e"}, {"Name": "VariantName", "Value": "v"}],
    }
    query: dict[str, Any] = {"Id": "q", "MetricStat": {"Metric": metric, "Period": 1, "Stat": "Sum"}}
    window = {"StartTime": datetime.fromtimestamp(0, UTC), "EndTime": datetime.fromtimestamp(9000, UTC)}
    (result,) = metrics.get_metric_data(MetricDataQueries=[query], **window)["MetricDataResults"]
    assert result["Values"] == [3, 2, 1, 0]
    (result,) = metrics.get_metric_data(MetricDataQueries=[query], ScanBy="TimestampAscending", **window)[
        "MetricDataResults"
    ]
    assert result["Values"] == [0, 1, 2, 3]
    with pytest.raises(ClientError, match="ValidationError"):
        metrics.get_metric_data(
            MetricDataQueries=[{**query, "MetricStat": {**query["MetricStat"], "Stat": "p99"}}], **window
        )


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)


@given(_VALUES)
def test_cbor_values_come_back(value: Any) -> None:
    assert cbor.loads(cbor.dumps(value)) == value


@given(st.binary(max_size=60))
def test_no_cbor_can_break_the_reader(data: bytes) -> None:
    try:
        cbor.loads(data)
    except AwsError as error:
        assert error.code == "SerializationException"


def test_cbor_reads_lengths_of_every_form() -> None:
    # RFC 8949, appendix A.
    assert cbor.loads(bytes.fromhex("9f018202039f0405ffff")) == [1, [2, 3], [4, 5]]
    assert cbor.loads(bytes.fromhex("bf61610161629f0203ffff")) == {"a": 1, "b": [2, 3]}
    assert cbor.loads(bytes.fromhex("7f657374726561646d696e67ff")) == "streaming"
    assert cbor.loads(bytes.fromhex("f93e00")) == 1.5
    assert cbor.loads(bytes.fromhex("c11a514b67b0")) == datetime(2013, 3, 21, 20, 4, tzinfo=UTC)


def test_older_clients_and_terraform_send_forms(metrics: Any, own_aws: EmbeddedAws) -> None:
    query = query_client(own_aws)
    dimensions = [{"Name": "EndpointName", "Value": "e"}, {"Name": "VariantName", "Value": "v"}]
    asked = {
        "Namespace": "/aws/sagemaker/Endpoints",
        "MetricName": "CPU",
        "Dimensions": dimensions,
        "StartTime": datetime.fromtimestamp(600, UTC),
        "EndTime": datetime.fromtimestamp(720, UTC),
        "Period": 60,
        "Statistics": ["Sum", "Maximum"],
    }
    assert (
        query.get_metric_statistics(**asked)["Datapoints"]
        == (metrics.get_metric_statistics(**asked)["Datapoints"])
    )
    alarm = {
        "AlarmName": "busy",
        "Namespace": asked["Namespace"],
        "MetricName": "CPU",
        "Dimensions": dimensions,
        "Statistic": "Average",
        "Period": 60,
        "EvaluationPeriods": 2,
        "Threshold": 0.5,
        "ComparisonOperator": "GreaterThanThreshold",
    }
    query.put_metric_alarm(**alarm, Tags=[{"Key": "team", "Value": "a & b"}])
    (described,) = query.describe_alarms(AlarmNames=["busy"])["MetricAlarms"]
    assert {name: described[name] for name in alarm} == alarm
    tags = query.list_tags_for_resource(ResourceARN=described["AlarmArn"])["Tags"]
    assert tags == [{"Key": "team", "Value": "a & b"}]
    named = {"ResourceARN": described["AlarmArn"]}
    query.tag_resource(**named, Tags=[{"Key": "team", "Value": "b"}, {"Key": "more", "Value": "c"}])
    query.put_metric_alarm(**alarm, Tags=[{"Key": "ignored", "Value": "x"}])
    metrics.untag_resource(**named, TagKeys=["more", "never"])
    assert query.list_tags_for_resource(**named)["Tags"] == [{"Key": "team", "Value": "b"}]
    query.delete_alarms(AlarmNames=["busy"])
    with pytest.raises(ClientError, match="ResourceNotFound"):
        query.delete_alarms(AlarmNames=["busy"])
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        query.tag_resource(**named, Tags=[])
    with pytest.raises(ClientError, match="DescribeAnomalyDetectors is not served"):
        query.describe_anomaly_detectors()


def query_client(aws: EmbeddedAws) -> Any:
    """A client of CloudWatch as botocore made them before 1.42."""
    with mock.patch.object(ServiceModel, "resolved_protocol", "query"):
        client = aws.client("cloudwatch")
    client.meta.service_model.resolved_protocol = "query"  # answers are read by it, too
    return client
