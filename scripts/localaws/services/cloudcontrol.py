"""Cloud Control API and CloudFormation's DescribeType, a thin layer over `sagemaker/`.

Calls and their order as Terraform's `aws_cloudcontrolapi_resource` makes them:
docs/facts/terraform.md#cloud-control-calls.
"""

from __future__ import annotations

import json
import uuid
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from aiohttp import web

from ..errors import AwsError
from ..protocol import json_patch
from ..protocol.call import Call
from ..protocol.responses import json_response
from ..protocol.service_models import service_model
from ..state.store import Document
from . import cloudcontrol_types as types
from .cloudcontrol_types import ResourceType
from .sagemaker.api import platform_of
from .sagemaker.context import Context
from .sagemaker.listing import page
from .sagemaker.long_poll import hold, remember_status
from .sagemaker.records import NAME_MEMBER, now
from .sagemaker.validation import checked_input

# Where progress requests are kept; `name` is the request token.
_KIND = "cloudcontrol-request"
# The request made with a client token; `name` is that token.
_BY_CLIENT = "cloudcontrol-by-client"
_STATUS_MEMBER = "InferenceComponentStatus"
_MOVING = ("Creating", "Updating", "Deleting")

# Cloud Control's handler error codes for errors of the service.
_HANDLER_CODES = {"ResourceLimitExceeded": "ServiceLimitExceeded", "NotUpdatable": "NotUpdatable"}


async def handle(call: Call) -> web.StreamResponse:
    """One Cloud Control call, JSON 1.0."""
    operations = {
        "CreateResource": _create,
        "UpdateResource": _update,
        "DeleteResource": _delete,
        "GetResource": _get,
        "ListResources": _list,
        "GetResourceRequestStatus": _status,
        "ListResourceRequests": _requests,
        "CancelResourceRequest": _cancel,
    }
    function = operations.get(call.operation)
    if function is None:
        raise AwsError(
            "UnknownOperationException", f"The operation {call.operation or '(none)'} is not known."
        )
    request = checked_input(service_model("cloudcontrol").operation_model(call.operation), call.json())
    platform = platform_of(call.emulator)
    context = Context(platform, platform.records(call.region))
    if function is _status:
        await _hold(call, context, request)
    return json_response(function(context, request))


async def handle_describe_type(call: Call) -> web.StreamResponse:
    """CloudFormation's DescribeType, query protocol."""
    form = parse_qs((call.body or b"").decode(errors="replace"))
    name = form.get("TypeName", [""])[0] or form.get("Arn", [""])[0].rpartition("/")[2].replace("-", "::")
    resource_type = types.TYPES.get(name)
    if resource_type is None:
        raise AwsError("TypeNotFoundException", f"The embedded AWS does not support the type {name!r}.", 404)
    members = {
        "Arn": f"arn:aws:cloudformation:{call.region}::type/resource/{name.replace('::', '-')}",
        "Type": "RESOURCE",
        "TypeName": name,
        "IsDefaultVersion": "true",
        "Description": f"Resource Type definition for {name}",
        "Schema": types.schema(resource_type),
        "ProvisioningType": "FULLY_MUTABLE",
        "DeprecatedStatus": "LIVE",
        "Visibility": "PUBLIC",
    }
    body = "".join(f"<{member}>{escape(value)}</{member}>" for member, value in members.items())
    text = (
        '<DescribeTypeResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/">'
        f"<DescribeTypeResult>{body}</DescribeTypeResult>"
        f"<ResponseMetadata><RequestId>{uuid.uuid4()}</RequestId></ResponseMetadata></DescribeTypeResponse>"
    )
    return web.Response(text=text, content_type="text/xml")


def _create(context: Context, request: Document) -> Document:
    resource_type = _type(request)
    repeated = _repeated(context, request)
    if repeated is not None:
        return _progress(context, repeated)
    if resource_type is types.ENDPOINT_CONFIG and _is_unsupported(context):
        raise AwsError(
            "UnsupportedActionException",
            f"Resource type {resource_type.name} does not support CREATE action",
        )
    properties = _object(request["DesiredState"], "DesiredState")
    try:
        record = types.create(context, resource_type, properties)
    except AwsError as error:
        return _started(context, request, "CREATE", None, error)
    return _started(context, request, "CREATE", record[resource_type.identifier])


def _is_unsupported(context: Context) -> bool:
    """Whether an injected fault simulates a region in which Cloud Control cannot create the type yet."""
    return context.platform.emulator.faults.take("unsupported_action") is not None


def _update(context: Context, request: Document) -> Document:
    resource_type, identifier = _type(request), request["Identifier"]
    repeated = _repeated(context, request)
    if repeated is not None:
        return _progress(context, repeated)
    record = _record(context, resource_type, identifier)
    try:
        patch = json.loads(request["PatchDocument"])
        wanted = json_patch.apply(patch, types.writable(context, resource_type, record))
    except (ValueError, json_patch.PatchError) as error:
        raise AwsError("ValidationException", f"Invalid patch update: {error}") from error
    try:
        types.update(context, resource_type, record, wanted)
    except AwsError as error:
        return _started(context, request, "UPDATE", identifier, error)
    return _started(context, request, "UPDATE", identifier)


def _delete(context: Context, request: Document) -> Document:
    resource_type, identifier = _type(request), request["Identifier"]
    repeated = _repeated(context, request)
    if repeated is not None:
        return _progress(context, repeated)
    record = _record(context, resource_type, identifier)
    name = NAME_MEMBER[resource_type.kind]
    try:
        resource_type.delete_with(context, {name: record[name]})
    except AwsError as error:
        return _started(context, request, "DELETE", identifier, error)
    return _started(context, request, "DELETE", identifier)


def _get(context: Context, request: Document) -> Document:
    resource_type = _type(request)
    record = _record(context, resource_type, request["Identifier"])
    return {
        "TypeName": resource_type.name,
        "ResourceDescription": _description(context, resource_type, record),
    }


def _list(context: Context, request: Document) -> Document:
    resource_type = _type(request)
    records = context.records.all(resource_type.kind)
    name = resource_type.identifier
    found, token = page(request, records, lambda item: (item["CreationTime"], item[name]), size=20)
    described = [_description(context, resource_type, record) for record in found]
    return _present({"TypeName": resource_type.name, "ResourceDescriptions": described, "NextToken": token})


def _status(context: Context, request: Document) -> Document:
    return _progress(context, _kept(context, request["RequestToken"]))


def _requests(context: Context, request: Document) -> Document:
    kept = context.platform.emulator.store.list(context.region, _KIND)
    events = [_progress(context, item)["ProgressEvent"] for item in kept]
    found, token = page(
        request, events, lambda item: (item["EventTime"], item["RequestToken"]), size=20, descending=True
    )
    return _present({"ResourceRequestStatusSummaries": found, "NextToken": token})


def _cancel(context: Context, request: Document) -> Document:
    event = _progress(context, _kept(context, request["RequestToken"]))
    if event["ProgressEvent"]["OperationStatus"] in ("SUCCESS", "FAILED"):
        raise AwsError("ConcurrentModificationException", "The request has ended and cannot be cancelled.")
    return event


async def _hold(call: Call, context: Context, request: Document) -> None:
    kept = _kept(context, request["RequestToken"])
    resource_type = types.TYPES[kept["TypeName"]]
    record = types.find(context, resource_type, kept.get("Identifier") or "")
    if record is None:
        return
    name, status = record[NAME_MEMBER[resource_type.kind]], record.get(_STATUS_MEMBER, "")
    if await hold(call, context.platform.changes, resource_type.kind, name, status):
        after = types.find(context, resource_type, kept["Identifier"])
        remember_status(
            call, resource_type.kind, name, after.get(_STATUS_MEMBER, "") if after is not None else ""
        )


def _started(
    context: Context, request: Document, operation: str, identifier: str | None, error: AwsError | None = None
) -> Document:
    """Store a new request; a rejected one has already ended, as in Cloud Control."""
    kept: Document = {
        "TypeName": request["TypeName"],
        "Identifier": identifier,
        "RequestToken": str(uuid.uuid4()),
        "Operation": operation,
        "EventTime": now(),
    }
    if error is not None:
        code = _HANDLER_CODES.get(error.code, "InvalidRequest")
        if "already existing" in error.message:
            code = "AlreadyExists"
        kept |= {"OperationStatus": "FAILED", "ErrorCode": code, "StatusMessage": error.message}
    token = kept["RequestToken"]
    with context.platform.emulator.database.transaction():
        context.platform.emulator.store.put(context.region, _KIND, token, kept)
        if request.get("ClientToken"):
            made = {"RequestToken": token}
            context.platform.emulator.store.put(context.region, _BY_CLIENT, request["ClientToken"], made)
    return _progress(context, kept)


def _progress(context: Context, kept: Document) -> Document:
    """The progress of a request, from the status of its resource."""
    if "OperationStatus" not in kept:
        outcome = _outcome(context, kept)
        if outcome["OperationStatus"] != "IN_PROGRESS":
            kept |= {**outcome, "EventTime": now()}
            context.platform.emulator.store.put(context.region, _KIND, kept["RequestToken"], kept)
        else:
            kept = {**kept, **outcome}
    return {"ProgressEvent": _present(kept)}


def _outcome(context: Context, kept: Document) -> Document:
    resource_type = types.TYPES[kept["TypeName"]]
    record = types.find(context, resource_type, kept["Identifier"])
    if kept["Operation"] == "DELETE":
        return {"OperationStatus": "SUCCESS" if record is None else "IN_PROGRESS"}
    if record is None:
        return _failed("NotFound", "The resource was deleted meanwhile.")
    status = record.get(_STATUS_MEMBER, "InService")
    if status in _MOVING:
        return {"OperationStatus": "IN_PROGRESS"}
    reason = record.get("FailureReason")
    if status == "Failed" or (kept["Operation"] == "UPDATE" and reason):
        return _failed("NotStabilized", f"Resource handler returned message: {reason}")
    return {"OperationStatus": "SUCCESS"}


def _failed(code: str, message: str) -> Document:
    return {"OperationStatus": "FAILED", "ErrorCode": code, "StatusMessage": message}


def _repeated(context: Context, request: Document) -> Document | None:
    """The earlier request with the same client token, or None."""
    store = context.platform.emulator.store
    made = store.get(context.region, _BY_CLIENT, request.get("ClientToken") or "")
    return store.get(context.region, _KIND, made["RequestToken"]) if made is not None else None


def _kept(context: Context, token: str) -> Document:
    kept = context.platform.emulator.store.get(context.region, _KIND, token)
    if kept is None:
        raise AwsError("RequestTokenNotFoundException", f"Request with token {token} was not found.")
    return kept


def _type(request: Document) -> ResourceType:
    resource_type = types.TYPES.get(request["TypeName"])
    if resource_type is None:
        raise AwsError(
            "TypeNotFoundException", f"The embedded AWS does not support the type {request['TypeName']!r}."
        )
    return resource_type


def _record(context: Context, resource_type: ResourceType, identifier: str) -> Document:
    record = types.find(context, resource_type, identifier)
    if record is None:
        message = f"Resource of type '{resource_type.name}' with identifier '{identifier}' was not found."
        raise AwsError("ResourceNotFoundException", message)
    return record


def _description(context: Context, resource_type: ResourceType, record: Document) -> Document:
    properties = types.read(context, resource_type, record)
    return {"Identifier": record[resource_type.identifier], "Properties": json.dumps(properties)}


def _object(text: str, member: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise AwsError("ValidationException", f"{member} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise AwsError("ValidationException", f"{member} is not a JSON object.")
    return document


def _present(document: Document) -> Document:
    return {name: value for name, value in document.items() if value is not None}
