"""SageMaker Runtime: sends InvokeEndpoint requests, plain or as an event stream, to the copies of a model."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
import urllib.parse
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from ..errors import AwsError
from ..machines.model_copy import ModelCopy
from ..protocol import eventstream
from ..protocol.call import Call
from ..protocol.responses import json_response
from ..protocol.service_models import service_model
from ..state.store import Document
from .sagemaker import async_inference
from .sagemaker.api import platform_of
from .sagemaker.data_capture import Exchange, capture
from .sagemaker.fleet import Fleet, least_busy, random_copy
from .sagemaker.platform import Platform
from .sagemaker.supported_members import check_headers

# Limits of InvokeEndpoint: body size, response time of a model (docs/facts/sagemaker.md#request-limits).
_MAX_BODY_BYTES = 6 << 20
_TIMEOUT_S = 60.0

_COMPONENT = "X-Amzn-SageMaker-Inference-Component"
_TARGET_VARIANT = "X-Amzn-SageMaker-Target-Variant"
_CUSTOM_ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
_INFERENCE_ID = "X-Amzn-SageMaker-Inference-Id"
_OPERATIONS = {
    "invocations": "InvokeEndpoint",
    "invocations-response-stream": "InvokeEndpointWithResponseStream",
    "async-invocations": "InvokeEndpointAsync",
}


async def handle(call: Call) -> web.StreamResponse:
    """`POST /endpoints/{name}/invocations`, `…/invocations-response-stream` and `…/async-invocations`."""
    parts = call.request.path.split("/")
    action = parts[3] if len(parts) == 4 else ""
    if call.request.method != "POST" or parts[1] != "endpoints" or action not in _OPERATIONS:
        raise AwsError("UnknownOperationException", f"No operation at {call.request.path}.", 404)
    operation = service_model("sagemaker-runtime").operation_model(_OPERATIONS[action])
    check_headers(operation, call.request.headers)
    name = urllib.parse.unquote(parts[2])
    if len(call.body or b"") > _MAX_BODY_BYTES:
        message = f"The body has {len(call.body or b'')} bytes; InvokeEndpoint allows {_MAX_BODY_BYTES}."
        raise AwsError("ValidationError", message, 413)
    platform = platform_of(call.emulator)
    endpoint = _endpoint(call, platform, name)
    is_async = bool(endpoint.get("AsyncInferenceConfig"))
    if is_async != (action == "async-invocations"):
        kind = "asynchronous: use InvokeEndpointAsync" if is_async else "not asynchronous: use InvokeEndpoint"
        raise AwsError("ValidationError", f"Endpoint {name} is {kind}.")
    if is_async:
        return _invoke_async(call, platform, endpoint)
    copy, variant = _choose(call, platform, name)
    if action == "invocations":
        return await _invoke(call, copy, variant, endpoint)
    return await _invoke_stream(call, copy, variant)


def _endpoint(call: Call, platform: Platform, name: str) -> Document:
    """The endpoint's record. Raises ValidationError unless it is in service."""
    endpoint = platform.records(call.region).find("endpoint", name)
    if endpoint is None:
        account = call.emulator.account_id
        raise AwsError("ValidationError", f"Endpoint {name} of account {account} not found.", 400)
    serves = endpoint["EndpointStatus"] in ("InService", "Updating", "RollingBack")
    if not serves or not platform.fleets.get((call.region, name)):
        raise AwsError(
            "ValidationError", f"Endpoint {name} is not in service ({endpoint['EndpointStatus']}).", 400
        )
    return endpoint


def _invoke_async(call: Call, platform: Platform, endpoint: Document) -> web.Response:
    headers = call.request.headers
    location = headers.get("X-Amzn-SageMaker-InputLocation")
    if location is None or call.body:
        text = "InvokeEndpointAsync requires an InputLocation in S3, and no body."
        raise AwsError("ValidationError", text)
    record = async_inference.accept(
        platform,
        call.region,
        endpoint,
        {
            "input_location": location,
            "inference_id": headers.get(_INFERENCE_ID),
            "content_type": headers.get("X-Amzn-SageMaker-Content-Type"),
            "accept": headers.get("X-Amzn-SageMaker-Accept"),
            "custom_attributes": headers.get(_CUSTOM_ATTRIBUTES),
            "ttl_s": _seconds(headers, "X-Amzn-SageMaker-RequestTTLSeconds", 60, 21_600),
            "timeout_s": _seconds(headers, "X-Amzn-SageMaker-InvocationTimeoutSeconds", 1, 3600),
        },
    )
    answer = json_response({"InferenceId": record["inference_id"]}, 202)
    answer.headers["X-Amzn-SageMaker-OutputLocation"] = record["output"]
    if record["failure"]:
        answer.headers["X-Amzn-SageMaker-FailureLocation"] = record["failure"]
    return answer


def _seconds(headers: Mapping[str, str], name: str, least: int, most: int) -> int | None:
    text = headers.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 8 and least <= int(text) <= most):
        raise AwsError("ValidationError", f"{name} must lie between {least} and {most}.")
    return int(text)


def _choose(call: Call, platform: Platform, name: str) -> tuple[ModelCopy, str]:
    """The selected copy and its variant. Raises ValidationError with AWS's wording."""
    headers = call.request.headers
    fleets = platform.fleets[call.region, name]
    shift = platform.shifts.get((call.region, name))
    # Spreading load needs no secrecy.
    if shift is not None and random.random() < shift.share:  # noqa: S311
        fleets = shift.fleets
    component = headers.get(_COMPONENT)
    with_models = any(fleet.spec is not None for fleet in fleets.values())
    if component is not None:
        return _component_copy(call, platform, name, component)
    if not with_models:
        raise AwsError(
            "ValidationError",
            "Inference Component Name header is required for endpoints to which you plan to deploy inference "
            "components. Please include Inference Component Name header or consider using SageMaker models.",
        )
    fleet = _weighted(fleets, headers.get(_TARGET_VARIANT))
    copy = (random_copy if fleet.routes_at_random else least_busy)(fleet.copies())
    if copy is None:
        raise AwsError("ServiceUnavailable", f"No copy of variant {fleet.place.variant} is in service.", 503)
    _mirror(call, platform, fleets, fleet)
    return copy, fleet.place.variant


def _mirror(call: Call, platform: Platform, fleets: dict[str, Fleet], chosen: Fleet) -> None:
    """Send a shadow variant its share of the requests, without waiting for responses."""
    for shadow in fleets.values():
        copy = least_busy(shadow.copies()) if shadow.is_shadow else None
        share = shadow.weight / chosen.weight if chosen.weight else 0.0
        if copy is not None and random.random() < share:  # noqa: S311
            platform.in_background(_ask_shadow(call, copy))


async def _ask_shadow(call: Call, copy: ModelCopy) -> None:
    # Failures of a shadow variant appear in its log and metrics, never at the caller.
    with contextlib.suppress(AwsError, TimeoutError):
        async with asyncio.timeout(_TIMEOUT_S), _asked(call, copy) as answer:
            await answer.read()


def _component_copy(call: Call, platform: Platform, endpoint: str, component: str) -> tuple[ModelCopy, str]:
    record = platform.records(call.region).find("inference-component", component)
    if record is None or record["EndpointName"] != endpoint:
        raise AwsError(
            "ValidationError", f"Inference Component {component} of endpoint {endpoint} not found."
        )
    copy = least_busy(platform.components.get((call.region, component), []))
    if copy is None:
        _note_no_capacity(call, component)
        raise AwsError(
            "ValidationError",
            f"Inference Component has no capacity to process this request ({component} is "
            f"{record['InferenceComponentStatus']}). ApplicationAutoScaling may be in-progress (if "
            "configured) or "
            "try to increase the capacity by invoking UpdateInferenceComponentRuntimeConfig API.",
        )
    return copy, record["VariantName"]


def _note_no_capacity(call: Call, component: str) -> None:
    """The metric for scaling from zero (docs/facts/sagemaker.md#application-auto-scaling)."""
    dimensions = {"InferenceComponentName": component}
    call.emulator.metrics.put(
        call.region, "AWS/SageMaker", "NoCapacityInvocationFailures", dimensions, 1.0, "Count", time.time()
    )


def _weighted(fleets: dict[str, Fleet], wanted: str | None) -> Fleet:
    """The requested variant, or a random one by weight."""
    fleets = {name: fleet for name, fleet in fleets.items() if not fleet.is_shadow}
    if wanted is not None:
        if wanted not in fleets:
            raise AwsError("ValidationError", f"Variant {wanted} not found for Request.")
        return fleets[wanted]
    choices = list(fleets.values())
    weights = [fleet.weight for fleet in choices]
    # Spreading load needs no secrecy.
    return random.choices(choices, weights if sum(weights) > 0 else None)[0]  # noqa: S311


@asynccontextmanager
async def _asked(call: Call, copy: ModelCopy) -> AsyncIterator[aiohttp.ClientResponse]:
    """The container's response, at least its headers. Raises ModelError after a timeout."""
    http = platform_of(call.emulator).http
    request = call.request
    headers = {
        "Content-Type": request.headers.get("Content-Type", "application/octet-stream"),
        "Accept": request.headers.get("X-Amzn-SageMaker-Accept", request.headers.get("Accept", "*/*")),
    }
    if _CUSTOM_ATTRIBUTES in request.headers:
        headers[_CUSTOM_ATTRIBUTES] = request.headers[_CUSTOM_ATTRIBUTES]
    url = f"http://127.0.0.1:{copy.port}/invocations"
    timeout = aiohttp.ClientTimeout(total=None, sock_read=_TIMEOUT_S)
    copy.outstanding += 1
    copy.served += 1
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            response = await http.post(url, data=call.body, headers=headers, timeout=timeout)
        try:
            yield response
        finally:
            response.close()
    except TimeoutError as error:
        raise _timed_out(call, copy) from error
    except aiohttp.ClientError as error:
        text = f"the connection to the container broke: {error}"
        raise _model_error(call, copy, 500, text) from error
    finally:
        copy.outstanding -= 1


async def _invoke(call: Call, copy: ModelCopy, variant: str, endpoint: Document) -> web.Response:
    try:
        async with asyncio.timeout(_TIMEOUT_S), _asked(call, copy) as answer:
            body = await answer.read()
    except TimeoutError as error:
        raise _timed_out(call, copy) from error
    if answer.status >= 400:
        raise _model_error(call, copy, answer.status, body.decode(errors="replace"))
    headers = {
        "Content-Type": answer.headers.get("Content-Type", "application/octet-stream"),
        "x-Amzn-Invoked-Production-Variant": variant,
    }
    if _CUSTOM_ATTRIBUTES in answer.headers:
        headers[_CUSTOM_ATTRIBUTES] = answer.headers[_CUSTOM_ATTRIBUTES]
    exchange = Exchange(
        endpoint["EndpointName"],
        variant,
        call.body or b"",
        call.request.headers.get("Content-Type", "application/octet-stream"),
        body,
        headers["Content-Type"],
        call.request.headers.get(_INFERENCE_ID),
        answer.headers.get(_CUSTOM_ATTRIBUTES),
    )
    capture(platform_of(call.emulator), endpoint.get("_capture"), exchange)
    return web.Response(body=body, headers=headers)


async def _invoke_stream(call: Call, copy: ModelCopy, variant: str) -> web.StreamResponse:
    """Send each chunk that the container writes as one `PayloadPart` event."""
    async with _asked(call, copy) as answer:
        if answer.status >= 400:
            raise _model_error(call, copy, answer.status, await answer.text(errors="replace"))
        response = web.StreamResponse(
            headers={
                "Content-Type": "application/vnd.amazon.eventstream",
                "X-Amzn-SageMaker-Content-Type": answer.headers.get(
                    "Content-Type", "application/octet-stream"
                ),
                "x-Amzn-Invoked-Production-Variant": variant,
            }
        )
        await response.prepare(call.request)
        try:
            async for piece in answer.content.iter_any():
                await response.write(eventstream.payload_part(piece))
        except (aiohttp.ClientError, TimeoutError) as error:
            # The status has already been sent, so the error is an event of the stream.
            message = f"The container's stream broke: {error or 'nothing came for 60 seconds'}"
            await response.write(eventstream.exception("ModelStreamError", message, "StreamBroken"))
        await response.write_eof()
    return response


def _timed_out(call: Call, copy: ModelCopy) -> AwsError:
    text = (
        "Your invocation timed out while waiting for a response from container primary. Review the latency "
        "metrics "
        "for each container in Amazon CloudWatch, resolve the issue, and try again."
    )
    return _model_error(call, copy, 0, text)


def _model_error(call: Call, copy: ModelCopy, status: int, text: str) -> AwsError:
    """The container's error, wrapped like InvokeEndpoint's."""
    side = "client" if 400 <= status < 500 else "server"
    console = f"https://{call.region}.console.aws.amazon.com/cloudwatch/home?region={call.region}"
    message = (
        f'Received {side} error ({status}) from primary with message "{text[:1024]}". See '
        f"{console}#logEventViewer:group={copy.log_group} in account {call.emulator.account_id} for more "
        "information."
    )
    arn = f"arn:aws:logs:{call.region}:{call.emulator.account_id}:log-group:{copy.log_group}"
    members = {"OriginalStatusCode": status, "OriginalMessage": text, "LogStreamArn": arn}
    return AwsError("ModelError", message, 424, members)
