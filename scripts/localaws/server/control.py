"""Control calls of the embedded AWS: status, settings, faults. Signed like others, for service `localaws`."""

from __future__ import annotations

import os
from typing import Any

from aiohttp import web

from ..errors import AwsError
from ..protocol.call import Call
from ..protocol.responses import json_response
from ..services.sagemaker import api as sagemaker_api
from ..settings import SettingsError, parse_settings

PREFIX = "/_localaws/"


async def handle(call: Call) -> web.StreamResponse:
    """GET status; POST settings (the whole document) or faults (a list that replaces the armed ones)."""
    action = (call.request.method, call.request.path.removeprefix(PREFIX))
    if action == ("GET", "status"):
        return json_response(status(call))
    if action == ("POST", "settings"):
        return _apply(call, call.json())
    if action == ("POST", "faults"):
        settings = call.emulator.settings.model_dump(mode="json")
        return _apply(call, {**settings, "faults": call.json().get("faults")})
    raise AwsError("UnknownOperationException", "There is no such control call.", 404)


def status(call: Call) -> dict[str, Any]:
    """What `localaws status --json` prints."""
    emulator = call.emulator
    return {
        "running": True,
        "pid": os.getpid(),
        "port": int(emulator.endpoint_url.rpartition(":")[2]),
        "endpoint_url": emulator.endpoint_url,
        "state_dir": str(emulator.state_dir),
        "account_id": emulator.account_id,
        "settings": emulator.settings.model_dump(mode="json"),
        "endpoints": sagemaker_api.endpoint_report(emulator),
        "host": emulator.host.report(),
        "instances": sagemaker_api.instance_report(emulator),
    }


def _apply(call: Call, document: Any) -> web.Response:
    try:
        call.emulator.apply(parse_settings(document))
    except SettingsError as error:
        raise AwsError("ValidationException", str(error)) from error
    return json_response(call.emulator.settings.model_dump(mode="json"))
