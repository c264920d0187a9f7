"""CloudWatch alarms on one metric: stored, evaluated when they are read, and set manually."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from ..emulator import Emulator
from ..errors import AwsError
from ..protocol.call import Call
from ..state.store import Document

Request = dict[str, Any]
_KIND = "alarm"
# Stored and described; the only executed actions are those of scaling policies, by their own loop.
_ACTIONS = ("AlarmActions", "OKActions", "InsufficientDataActions")
# Members of an alarm other than names and flags, stored unchanged.
_KEPT = (
    *(
        "AlarmName",
        "AlarmDescription",
        "ActionsEnabled",
        "MetricName",
        "Namespace",
        "Statistic",
        "Dimensions",
    ),
    *("Period", "EvaluationPeriods", "DatapointsToAlarm", "Threshold", "ComparisonOperator"),
    "TreatMissingData",
    *_ACTIONS,
)
_REQUIRED = (
    *("MetricName", "Namespace", "Statistic", "Period", "EvaluationPeriods", "Threshold"),
    "ComparisonOperator",
)
STATISTICS: dict[str, Callable[[list[float]], float]] = {
    "SampleCount": lambda values: float(len(values)),
    "Average": lambda values: sum(values) / len(values),
    "Sum": sum,
    "Minimum": min,
    "Maximum": max,
}
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": lambda value, threshold: value >= threshold,
    "GreaterThanThreshold": lambda value, threshold: value > threshold,
    "LessThanThreshold": lambda value, threshold: value < threshold,
    "LessThanOrEqualToThreshold": lambda value, threshold: value <= threshold,
}
_STATES = ("OK", "ALARM", "INSUFFICIENT_DATA")


def put_metric_alarm(call: Call, request: Request) -> Request:
    """PutMetricAlarm."""
    if refused := sorted(set(request) - set(_KEPT) - {"Tags"}):
        text = f"The embedded AWS does not support {', '.join(refused)} of PutMetricAlarm."
        raise AwsError("InvalidParameterValue", text)
    for name in ("AlarmName", *_REQUIRED):
        if request.get(name) is None:
            raise AwsError("MissingParameter", f"The parameter {name} is required.")
    if request["Statistic"] not in STATISTICS or request["ComparisonOperator"] not in _COMPARISONS:
        text = f"Statistic and ComparisonOperator are of {', '.join((*STATISTICS, *_COMPARISONS))}."
        raise AwsError("InvalidParameterValue", text)
    kept = {name: request[name] for name in _KEPT if request.get(name) is not None}
    known = find_alarm(call.emulator, call.region, request["AlarmName"])
    # Tags of an alarm that exists are changed by TagResource only.
    tags = known["_tags"] if known else _given_tags(request)
    call.emulator.store.put(call.region, _KIND, request["AlarmName"], {**kept, "_tags": tags, "_set_s": 0.0})
    return {}


def describe_alarms(call: Call, request: Request) -> Request:
    """DescribeAlarms."""
    names, prefix = request.get("AlarmNames"), request.get("AlarmNamePrefix") or ""
    limit, after = request.get("MaxRecords") or 50, request.get("NextToken") or ""
    found = sorted(call.emulator.store.list(call.region, _KIND), key=lambda alarm: str(alarm["AlarmName"]))
    wanted = [
        alarm
        for alarm in found
        if alarm["AlarmName"] > after
        and alarm["AlarmName"].startswith(prefix)
        and (not names or alarm["AlarmName"] in names)
    ]
    if request.get("StateValue"):
        state = request["StateValue"]
        wanted = [alarm for alarm in wanted if _state(call.emulator, call.region, alarm) == state]
    shown = wanted[:limit]
    more = {"NextToken": shown[-1]["AlarmName"]} if len(shown) < len(wanted) else {}
    return {"MetricAlarms": [_described(call, alarm) for alarm in shown], "CompositeAlarms": [], **more}


def list_tags(call: Call, request: Request) -> Request:
    """ListTagsForResource of an alarm."""
    return {"Tags": _of_arn(call, request)["_tags"]}


def tag_resource(call: Call, request: Request) -> Request:
    """TagResource of an alarm."""
    alarm = _of_arn(call, request)
    tags = {tag["Key"]: tag for tag in [*alarm["_tags"], *_given_tags(request)]}
    return _retagged(call, alarm, list(tags.values()))


def untag_resource(call: Call, request: Request) -> Request:
    """UntagResource of an alarm; missing keys are ignored."""
    alarm = _of_arn(call, request)
    gone = [str(key) for key in _list(request, "TagKeys")]
    return _retagged(call, alarm, [tag for tag in alarm["_tags"] if tag["Key"] not in gone])


def _given_tags(request: Request) -> list[dict[str, str]]:
    tags = _list(request, "Tags")
    if not all(isinstance(tag, dict) and {"Key", "Value"} <= tag.keys() for tag in tags):
        raise AwsError("InvalidParameterValue", "A tag has a Key and a Value.")
    return tags


def _list(request: Request, member: str) -> list[Any]:
    value = request.get(member) or []
    if not isinstance(value, list):
        raise AwsError("InvalidParameterValue", f"{member} has the wrong type.")
    return value


def _of_arn(call: Call, request: Request) -> Document:
    arn = str(request.get("ResourceARN"))
    alarm = find_alarm(call.emulator, call.region, arn.rpartition(":alarm:")[2])
    if alarm is None:
        raise AwsError("ResourceNotFoundException", f"There is no alarm {arn}.", 404)
    return alarm


def _retagged(call: Call, alarm: Document, tags: list[dict[str, str]]) -> Request:
    call.emulator.store.put(call.region, _KIND, alarm["AlarmName"], {**alarm, "_tags": tags})
    return {}


def delete_alarms(call: Call, request: Request) -> Request:
    """DeleteAlarms."""
    for name in request.get("AlarmNames") or []:
        if not call.emulator.store.delete(call.region, _KIND, name):
            raise AwsError("ResourceNotFound", f"There is no alarm {name}.", 404)
    return {}


def set_alarm_state(call: Call, request: Request) -> Request:
    """SetAlarmState; unlike on AWS, the state remains until the next PutMetricAlarm."""
    alarm = find_alarm(call.emulator, call.region, str(request.get("AlarmName")))
    if alarm is None:
        raise AwsError("ResourceNotFound", f"There is no alarm {request.get('AlarmName')}.", 404)
    if request.get("StateValue") not in _STATES:
        raise AwsError("InvalidParameterValue", f"StateValue is one of {', '.join(_STATES)}.")
    alarm |= {"_state": request["StateValue"], "_reason": request.get("StateReason")}
    alarm["_set_s"] = time.time()
    call.emulator.store.put(call.region, _KIND, alarm["AlarmName"], alarm)
    return {}


def find_alarm(emulator: Emulator, region: str, name: str) -> Document | None:
    """The alarm of that name."""
    return emulator.store.get(region, _KIND, name)


def state_of(emulator: Emulator, region: str, name: str) -> str:
    """`OK`, `ALARM` or `INSUFFICIENT_DATA`; an alarm that was deleted has no data."""
    alarm = find_alarm(emulator, region, name)
    return "INSUFFICIENT_DATA" if alarm is None else _state(emulator, region, alarm)


def alarms_that_ask(emulator: Emulator, region: str, action: str) -> list[tuple[str, float]]:
    """Alarms in state ALARM with this action: name, and the newest figure minus the threshold."""
    found = []
    for alarm in emulator.store.list(region, _KIND):
        if action in alarm.get("AlarmActions", ()) and _state(emulator, region, alarm) == "ALARM":
            found.append((str(alarm["AlarmName"]), _newest(emulator, region, alarm) - alarm["Threshold"]))
    return found


def _newest(emulator: Emulator, region: str, alarm: Document) -> float:
    """The statistic of the newest period with samples, the threshold if there is none."""
    dimensions = {item["Name"]: item["Value"] for item in alarm.get("Dimensions", [])}
    period_s, now_s = alarm["Period"], time.time()
    for number in range(alarm["EvaluationPeriods"]):
        end_s = now_s - number * period_s
        points = emulator.metrics.datapoints(
            region, alarm["Namespace"], alarm["MetricName"], dimensions, end_s - period_s, end_s
        )
        if points:
            return STATISTICS[alarm["Statistic"]]([point.value for point in points])
    return float(alarm["Threshold"])


def _state(emulator: Emulator, region: str, alarm: Document) -> str:
    if "_state" in alarm:
        return str(alarm["_state"])
    period_s, periods = alarm["Period"], alarm["EvaluationPeriods"]
    end_s = time.time()
    dimensions = {item["Name"]: item["Value"] for item in alarm.get("Dimensions", [])}
    points = emulator.metrics.datapoints(
        region,
        alarm["Namespace"],
        alarm["MetricName"],
        dimensions,
        end_s - period_s * periods,
        end_s,
    )
    by_period: dict[int, list[float]] = {}
    for point in points:
        by_period.setdefault(int((end_s - point.timestamp_s) // period_s), []).append(point.value)
    compare, statistic = _COMPARISONS[alarm["ComparisonOperator"]], STATISTICS[alarm["Statistic"]]
    missing = alarm.get("TreatMissingData", "missing")
    breaching = sum(compare(statistic(values), alarm["Threshold"]) for values in by_period.values())
    if missing == "breaching":
        breaching += periods - len(by_period)
    if breaching >= int(alarm.get("DatapointsToAlarm") or periods):
        return "ALARM"
    return "OK" if by_period or missing == "notBreaching" else "INSUFFICIENT_DATA"


def _described(call: Call, alarm: Document) -> Request:
    name = alarm["AlarmName"]
    state = _state(call.emulator, call.region, alarm)
    return {
        "ActionsEnabled": True,
        "OKActions": [],
        "AlarmActions": [],
        "InsufficientDataActions": [],
        "Dimensions": [],
        **{member: value for member, value in alarm.items() if not member.startswith("_")},
        "AlarmArn": f"arn:aws:cloudwatch:{call.region}:{call.emulator.account_id}:alarm:{name}",
        "StateValue": state,
        "StateReason": alarm.get("_reason") or f"The metric's last values make it {state}.",
        "StateUpdatedTimestamp": datetime.fromtimestamp(alarm.get("_set_s") or time.time(), UTC),
    }
