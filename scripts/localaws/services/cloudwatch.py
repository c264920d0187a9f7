"""CloudWatch metrics and alarms, in the three protocols that clients use.

botocore uses CBOR since 1.42, the AWS CLI JSON; older clients and Terraform's provider send query forms.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from ..errors import AwsError
from ..protocol import cbor, query_form
from ..protocol.call import Call
from ..state.metrics import Datapoint
from . import cloudwatch_alarms
from .cloudwatch_alarms import STATISTICS


async def handle(call: Call) -> web.StreamResponse:
    """Run an operation on metrics or alarms, requested in CBOR or JSON."""
    is_cbor = call.request.headers.get("smithy-protocol") == "rpc-v2-cbor"
    name = call.request.path.rpartition("/")[2] if is_cbor else call.operation
    operation = _OPERATIONS.get(name)
    if operation is None:
        raise AwsError("UnknownOperationException", f"{name} is not served by the embedded AWS.", 404)
    request = (cbor.loads(call.body) if call.body else {}) if is_cbor else call.json()
    if not isinstance(request, dict):
        raise AwsError("SerializationException", "The request body is not a map.")
    answer = operation(call, request)
    if is_cbor:
        return web.Response(
            body=cbor.dumps(answer),
            headers={"smithy-protocol": "rpc-v2-cbor"},
            content_type="application/cbor",
        )
    text = json.dumps(answer, default=lambda value: value.timestamp())
    return web.Response(body=text.encode(), content_type="application/x-amz-json-1.0")


def handle_form(call: Call) -> web.Response:
    """Like `handle`, for a query form. Blocks and imports moto, so it must not run in the event loop."""
    form = query_form.parse(call.body or b"")
    name = form.get("Action", "")
    if name not in _OPERATIONS:
        raise AwsError("InvalidAction", f"{name} is not served by the embedded AWS.", 404)
    answer = _OPERATIONS[name](call, query_form.request_of("cloudwatch", name, form))
    return query_form.response_of("cloudwatch", name, answer)


def _list_metrics(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    metrics = call.emulator.metrics.list(
        call.region, _member(request, "Namespace", str), _member(request, "MetricName", str)
    )
    filters = _member(request, "Dimensions", list) or []
    wanted = [(_need(item, "Name", str), _member(item, "Value", str)) for item in filters]
    return {
        "Metrics": [
            {
                "Namespace": metric.namespace,
                "MetricName": metric.name,
                "Dimensions": [{"Name": name, "Value": value} for name, value in metric.dimensions.items()],
            }
            for metric in metrics
            if all(
                name in metric.dimensions and value in (None, metric.dimensions[name])
                for name, value in wanted
            )
        ]
    }


def _get_metric_statistics(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    name = _need(request, "MetricName", str)
    wanted = _need(request, "Statistics", list)
    if not wanted or any(str(statistic) not in STATISTICS for statistic in wanted):
        raise AwsError("InvalidParameterValue", f"Statistics must be of {', '.join(STATISTICS)}.")
    points = call.emulator.metrics.datapoints(
        call.region,
        _need(request, "Namespace", str),
        name,
        _dimensions(request),
        _time_s(request, "StartTime"),
        _time_s(request, "EndTime"),
    )
    return {
        "Label": name,
        "Datapoints": [
            {
                "Timestamp": datetime.fromtimestamp(start_s, UTC),
                "Unit": unit,
                **{statistic: STATISTICS[statistic](values) for statistic in map(str, wanted)},
            }
            for start_s, unit, values in _by_period(points, _period_s(request))
        ],
    }


def _get_metric_data(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    start_s, end_s = _time_s(request, "StartTime"), _time_s(request, "EndTime")
    newest_first = request.get("ScanBy") != "TimestampAscending"
    results = []
    for query in _need(request, "MetricDataQueries", list):
        stat = _need(query, "MetricStat", dict)
        metric = _need(stat, "Metric", dict)
        name = _need(metric, "MetricName", str)
        statistic = STATISTICS.get(_need(stat, "Stat", str))
        if statistic is None:
            raise AwsError("ValidationError", f"Stat must be one of {', '.join(STATISTICS)}.")
        points = call.emulator.metrics.datapoints(
            call.region, _need(metric, "Namespace", str), name, _dimensions(metric), start_s, end_s
        )
        periods = list(_by_period(points, _period_s(stat)))
        if newest_first:
            periods.reverse()
        results.append(
            {
                "Id": _need(query, "Id", str),
                "Label": _member(query, "Label", str) or name,
                "Timestamps": [datetime.fromtimestamp(start_s, UTC) for start_s, _, _ in periods],
                "Values": [statistic(values) for _, _, values in periods],
                "StatusCode": "Complete",
            }
        )
    return {"MetricDataResults": results, "Messages": []}


def _by_period(points: Iterable[Datapoint], period_s: int) -> Iterable[tuple[float, str, list[float]]]:
    """(start of the period, unit, values) for each period with samples, oldest first."""
    periods: dict[tuple[int, str], list[float]] = {}
    for point in points:
        period = (math.floor(point.timestamp_s / period_s) * period_s, point.unit)
        periods.setdefault(period, []).append(point.value)
    return [(float(start_s), unit, values) for (start_s, unit), values in periods.items()]


def _dimensions(request: dict[str, Any]) -> dict[str, str]:
    items = _member(request, "Dimensions", list) or []
    return {_need(item, "Name", str): _need(item, "Value", str) for item in items}


def _period_s(request: dict[str, Any]) -> int:
    period_s: int = _need(request, "Period", int)
    if not 1 <= period_s <= 86_400:
        raise AwsError("InvalidParameterValue", "Period must lie between 1 and 86400 seconds.")
    return period_s


def _time_s(request: dict[str, Any], member: str) -> float:
    value = request.get(member)
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, int | float) and math.isfinite(value):
        return float(value)
    raise AwsError("InvalidParameterValue", f"{member} must be a time.")


def _member(request: Any, member: str, kind: type[Any]) -> Any:
    if not isinstance(request, dict):
        raise AwsError("InvalidParameterValue", f"A structure with the member {member} was expected.")
    value = request.get(member)
    if value is not None and not isinstance(value, kind):
        raise AwsError("InvalidParameterValue", f"{member} has the wrong type.")
    return value


def _need(request: Any, member: str, kind: type[Any]) -> Any:
    value = _member(request, member, kind)
    if value is None:
        raise AwsError("MissingParameter", f"The parameter {member} is required.")
    return value


_OPERATIONS = {
    "DeleteAlarms": cloudwatch_alarms.delete_alarms,
    "DescribeAlarms": cloudwatch_alarms.describe_alarms,
    "GetMetricData": _get_metric_data,
    "GetMetricStatistics": _get_metric_statistics,
    "ListMetrics": _list_metrics,
    "ListTagsForResource": cloudwatch_alarms.list_tags,
    "PutMetricAlarm": cloudwatch_alarms.put_metric_alarm,
    "SetAlarmState": cloudwatch_alarms.set_alarm_state,
    "TagResource": cloudwatch_alarms.tag_resource,
    "UntagResource": cloudwatch_alarms.untag_resource,
}
