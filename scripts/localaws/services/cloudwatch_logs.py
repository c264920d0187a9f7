"""CloudWatch Logs as clients read it: groups, streams, events, and the filter that log followers use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from aiohttp import web

from ..errors import AwsError
from ..protocol.call import Call
from ..protocol.responses import json_response
from ..state.logs import LogEvent, LogStream
from .log_patterns import parse_pattern
from .page_tokens import Place, page_of

_Item = TypeVar("_Item")
_MAX_EVENTS = 10_000
_ALL_EVENTS = 2**31
_MAX_LISTED = 50


async def handle(call: Call) -> web.StreamResponse:
    """Run the operation that X-Amz-Target names."""
    operation = _OPERATIONS.get(call.operation)
    if operation is None:
        raise AwsError("UnknownOperationException", f"{call.operation} is not served by the embedded AWS.")
    return json_response(operation(call, call.json()))


def _create_log_group(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    if not call.emulator.logs.create(call.region, _name(request, "logGroupName")):
        raise AwsError("ResourceAlreadyExistsException", "The specified log group already exists")
    return {}


def _create_log_stream(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    group, stream = _name(request, "logGroupName"), _name(request, "logStreamName")
    call.emulator.logs.streams(call.region, group)  # raises if the group does not exist
    if not call.emulator.logs.create(call.region, group, stream):
        raise AwsError("ResourceAlreadyExistsException", "The specified log stream already exists")
    return {}


def _delete_log_group(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    if not call.emulator.logs.delete_group(call.region, _name(request, "logGroupName")):
        raise AwsError("ResourceNotFoundException", "The specified log group does not exist.")
    return {}


def _delete_log_stream(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    group, stream = _name(request, "logGroupName"), _name(request, "logStreamName")
    if not call.emulator.logs.delete_stream(call.region, group, stream):
        raise AwsError("ResourceNotFoundException", "The specified log stream does not exist.")
    return {}


def _describe_log_groups(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    groups = call.emulator.logs.groups(call.region, _optional(request, "logGroupNamePrefix", str) or "")
    pattern = _optional(request, "logGroupNamePattern", str)
    if pattern is not None:
        groups = [group for group in groups if pattern in group.name]
    page, answer = _page(groups, request, lambda group: (group.name,))
    answer["logGroups"] = [
        {
            "logGroupName": group.name,
            "creationTime": group.created_ms,
            "metricFilterCount": 0,
            "arn": f"{_arn(call, group.name)}:*",
            "logGroupArn": _arn(call, group.name),
            "storedBytes": group.stored_bytes,
            "logGroupClass": "STANDARD",
        }
        for group in page
    ]
    return answer


def _describe_log_streams(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    group = _group(request)
    streams = call.emulator.logs.streams(
        call.region, group, _optional(request, "logStreamNamePrefix", str) or ""
    )
    by_time = request.get("orderBy") == "LastEventTime"

    def place(stream: LogStream) -> Place:
        return (stream.last_event_ms or 0, stream.name) if by_time else (stream.name,)

    page, answer = _page(streams, request, place, descending=request.get("descending") is True)
    answer["logStreams"] = [
        {
            "logStreamName": stream.name,
            "creationTime": stream.created_ms,
            "arn": f"{_arn(call, group)}:log-stream:{stream.name}",
            "storedBytes": 0,  # AWS stopped reporting a stream's size in 2019
            **(
                {}
                if stream.last_event_ms is None
                else {
                    "firstEventTimestamp": stream.first_event_ms,
                    "lastEventTimestamp": stream.last_event_ms,
                    "lastIngestionTime": stream.last_ingestion_ms,
                }
            ),
        }
        for stream in page
    ]
    return answer


def _put_log_events(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    group, stream = _name(request, "logGroupName"), _name(request, "logStreamName")
    if stream not in (known.name for known in call.emulator.logs.streams(call.region, group)):
        raise AwsError("ResourceNotFoundException", "The specified log stream does not exist.")
    events = _optional(request, "logEvents", list) or []
    try:
        pairs = [(int(event["timestamp"]), str(event["message"])) for event in events]
    except (TypeError, KeyError, ValueError, OverflowError) as error:
        raise AwsError("InvalidParameterException", "logEvents contains an invalid event.") from error
    if not pairs or any(not 0 <= timestamp_ms < 2**62 for timestamp_ms, _ in pairs):
        raise AwsError("InvalidParameterException", "logEvents is empty, or a timestamp is out of range.")
    call.emulator.logs.append(call.region, group, stream, pairs)
    return {"nextSequenceToken": "0"}


def _get_log_events(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    """One page of one stream. Tokens `f/…` and `b/…` contain the last position, like those of AWS."""
    stream = _name(request, "logStreamName")
    limit = _limit(request, _MAX_EVENTS)
    token = _optional(request, "nextToken", str)
    found = call.emulator.logs.events(
        call.region, _group(request), [stream], *_window(request, "endTime"), limit=_ALL_EVENTS
    )
    is_forward = bool(request.get("startFromHead")) if token is None else token.startswith("f/")
    if token is not None:
        place = _place(token[2:])
        seen = sum((event.timestamp_ms, event.event_id) <= place for event in found)
    else:
        seen = 0 if is_forward else len(found)
    start, end = (seen, seen + limit) if is_forward else (max(0, seen - limit), seen)
    page = found[start:end]
    before = found[start - 1] if start else None
    last = page[-1] if page else before
    return {
        "events": [
            {"timestamp": event.timestamp_ms, "message": event.message, "ingestionTime": event.ingestion_ms}
            for event in page
        ],
        "nextForwardToken": "f/" + _token(last),
        "nextBackwardToken": "b/" + _token(before),
    }


def _filter_log_events(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    group = _group(request)
    limit = _limit(request, _MAX_EVENTS)
    names = _optional(request, "logStreamNames", list)
    prefix = _optional(request, "logStreamNamePrefix", str)
    if names is None and prefix is not None:
        names = [stream.name for stream in call.emulator.logs.streams(call.region, group, prefix)]
    if names is not None and not all(isinstance(name, str) for name in names):
        raise AwsError("InvalidParameterException", "logStreamNames must be a list of names.")
    token = _optional(request, "nextToken", str)
    after = _place(token) if token is not None else (-1, 0)
    window = _window(request, "endTime")
    found = call.emulator.logs.events(call.region, group, names, *window, after, limit + 1)
    fits = parse_pattern(_optional(request, "filterPattern", str) or "")
    answer: dict[str, Any] = {
        "events": [
            {
                "logStreamName": event.stream,
                "timestamp": event.timestamp_ms,
                "message": event.message,
                "ingestionTime": event.ingestion_ms,
                "eventId": f"{event.event_id:056d}",
            }
            for event in found[:limit]
            if fits(event.message)
        ],
        "searchedLogStreams": [],
    }
    if len(found) > limit:
        answer["nextToken"] = _token(found[limit - 1])
    return answer


def _name(request: dict[str, Any], member: str) -> str:
    value = request.get(member)
    if not isinstance(value, str) or not 1 <= len(value) <= 512:
        raise AwsError("InvalidParameterException", f"{member} must be a string of 1 to 512 characters.")
    return value


def _group(request: dict[str, Any]) -> str:
    identifier = request.get("logGroupIdentifier")
    if isinstance(identifier, str) and identifier.startswith("arn:"):
        return identifier.split(":log-group:", 1)[-1].removesuffix(":*")
    return _name(request, "logGroupName" if identifier is None else "logGroupIdentifier")


def _optional(request: dict[str, Any], member: str, kind: type[_Item]) -> _Item | None:
    value = request.get(member)
    if value is not None and not isinstance(value, kind):
        raise AwsError("InvalidParameterException", f"{member} has the wrong type.")
    return value


def _limit(request: dict[str, Any], most: int) -> int:
    limit = _optional(request, "limit", int)
    if limit is not None and not 1 <= limit <= most:
        raise AwsError("InvalidParameterException", f"limit must lie between 1 and {most}.")
    return limit or most


def _window(request: dict[str, Any], end: str) -> tuple[int, int]:
    times = [_optional(request, "startTime", int) or 0, _optional(request, end, int)]
    if any(time_ms is not None and not 0 <= time_ms < 2**62 for time_ms in times):
        raise AwsError("InvalidParameterException", "startTime or endTime is out of range.")
    return times[0] or 0, 2**62 if times[1] is None else times[1]


def _page(
    items: Sequence[_Item],
    request: dict[str, Any],
    place: Callable[[_Item], Place],
    *,
    descending: bool = False,
) -> tuple[Sequence[_Item], dict[str, Any]]:
    token, limit = _optional(request, "nextToken", str), _limit(request, _MAX_LISTED)
    try:
        shown, more = page_of(items, place, token, limit, descending=descending)
    except ValueError as error:
        raise AwsError("InvalidParameterException", "The specified nextToken is invalid.") from error
    return shown, {} if more is None else {"nextToken": more}


def _token(event: LogEvent | None) -> str:
    return "-1.0" if event is None else f"{event.timestamp_ms}.{event.event_id}"


def _place(token: str) -> tuple[int, int]:
    try:
        timestamp_ms, event_id = (int(part) for part in token.split("."))
    except ValueError as error:
        raise AwsError("InvalidParameterException", "The specified nextToken is invalid.") from error
    if not (-1 <= timestamp_ms < 2**62 and 0 <= event_id < 2**62):
        raise AwsError("InvalidParameterException", "The specified nextToken is invalid.")
    return timestamp_ms, event_id


def _arn(call: Call, group: str) -> str:
    return f"arn:aws:logs:{call.region}:{call.emulator.account_id}:log-group:{group}"


_OPERATIONS = {
    "CreateLogGroup": _create_log_group,
    "CreateLogStream": _create_log_stream,
    "DeleteLogGroup": _delete_log_group,
    "DeleteLogStream": _delete_log_stream,
    "DescribeLogGroups": _describe_log_groups,
    "DescribeLogStreams": _describe_log_streams,
    "FilterLogEvents": _filter_log_events,
    "GetLogEvents": _get_log_events,
    "PutLogEvents": _put_log_events,
}
