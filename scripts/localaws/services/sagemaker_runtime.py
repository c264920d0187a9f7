"""SageMaker Runtime: InvokeEndpoint, plain and as an event stream, to the copies of a model."""

from __future__ import annotations

import asyncio
import random
import urllib.parse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from ..errors import AwsError
from ..machines.model_copy import ModelCopy
from ..protocol import eventstream
from ..protocol.call import Call
from .sagemaker.api import platform_of
from .sagemaker.fleet import Fleet, least_busy
from .sagemaker.platform import Platform

# Limits of InvokeEndpoint: body, and how long a model may take (docs/facts/sagemaker.md#request-limits).
_MAX_BODY_BYTES = 6 << 20
_TIMEOUT_S = 60.0

_COMPONENT = "X-Amzn-SageMaker-Inference-Component"
_TARGET_VARIANT = "X-Amzn-SageMaker-Target-Variant"
_CUSTOM_ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"


async def handle(call: Call) -> web.StreamResponse:
    """`POST /endpoints/{name}/invocations` and `…/invocations-response-stream`."""
    parts = call.request.path.split("/")
    if call.request.method != "POST" or len(parts) != 4 or parts[1] != "endpoints":
        raise AwsError("UnknownOperationException", f"No operation at {call.request.path}.", 404)
    name, action = urllib.parse.unquote(parts[2]), parts[3]
    if len(call.body or b"") > _MAX_BODY_BYTES:
        message = f"The body has {len(call.body or b'')} bytes; InvokeEndpoint takes {_MAX_BODY_BYTES}."
        raise AwsError("ValidationError", message, 413)
    copy, variant = _choose(call, platform_of(call.emulator), name)
    if action == "invocations":
        return await _invoke(call, copy, variant)
    if action == "invocations-response-stream":
        return await _invoke_stream(call, copy, variant)
    raise AwsError("UnknownOperationException", f"No operation at {call.request.path}.", 404)


def _choose(call: Call, platform: Platform, name: str) -> tuple[ModelCopy, str]:
    """The copy that answers, and its variant. Raises ValidationError as AWS words it."""
    headers = call.request.headers
    endpoint = platform.records(call.region).find("endpoint", name)
    if endpoint is None:
        account = call.emulator.account_id
        raise AwsError("ValidationError", f"Endpoint {name} of account {account} not found.", 400)
    fleets = platform.fleets.get((call.region, name), {})
    if endpoint["EndpointStatus"] not in ("InService", "Updating", "RollingBack") or not fleets:
        raise AwsError(
            "ValidationError", f"Endpoint {name} is not in service ({endpoint['EndpointStatus']}).", 400
        )
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
    copy = least_busy(fleet.copies())
    if copy is None:
        raise AwsError("ServiceUnavailable", f"No copy of variant {fleet.place.variant} is in service.", 503)
    return copy, fleet.place.variant


def _component_copy(call: Call, platform: Platform, endpoint: str, component: str) -> tuple[ModelCopy, str]:
    record = platform.records(call.region).find("inference-component", component)
    if record is None or record["EndpointName"] != endpoint:
        raise AwsError(
            "ValidationError", f"Inference Component {component} of endpoint {endpoint} not found."
        )
    copy = least_busy(platform.components.get((call.region, component), []))
    if copy is None:
        raise AwsError(
            "ValidationError",
            f"Inference Component has no capacity to process this request ({component} is "
            f"{record['InferenceComponentStatus']}). ApplicationAutoScaling may be in-progress (if "
            "configured) or "
            "try to increase the capacity by invoking UpdateInferenceComponentRuntimeConfig API.",
        )
    return copy, record["VariantName"]


def _weighted(fleets: dict[str, Fleet], wanted: str | None) -> Fleet:
    """The variant asked for, or one by its weight."""
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
    """The container's answer, its head at least. Raises ModelError where there is none in time."""
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


async def _invoke(call: Call, copy: ModelCopy, variant: str) -> web.Response:
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
    return web.Response(body=body, headers=headers)


async def _invoke_stream(call: Call, copy: ModelCopy, variant: str) -> web.StreamResponse:
    """Each piece the container writes becomes one `PayloadPart` event."""
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
            # The status is sent already: the stream itself carries the failure.
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
    """The container's own error, wrapped as InvokeEndpoint does."""
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
