"""What was asked of AWS, read back from the record of the embedded AWS: operation and parameters.

The wire form is undone by botocore's own service models, so a parameter that they do not know is found here.
"""

from __future__ import annotations

import base64
import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

from botocore.loaders import Loader
from botocore.model import ListShape, OperationModel, ServiceModel, Shape, StructureShape
from botocore.validate import ParamValidator

from localaws.errors import AwsError
from localaws.protocol import cbor
from localaws.services.sagemaker.validation import checked_input

# botocore's name of a service by the name in its signatures, where they differ.
_NAMES = {"monitoring": "cloudwatch", "cloudcontrolapi": "cloudcontrol", "servicequotas": "service-quotas"}


@dataclass(frozen=True)
class Asked:
    """One request. `client` is terraform or loadbench (which includes the SDK that it calls)."""

    client: str
    service: str
    operation: str
    parameters: Mapping[str, Any]


def read_record(file: Path, start: int = 0) -> list[Asked]:
    """The requests of a record from its line `start` on."""
    return [parse(json.loads(line)) for line in file.read_text(encoding="utf-8").splitlines()[start:]]


def parse(line: Mapping[str, Any]) -> Asked:
    """One line of the record. ValueError for an operation or parameter that botocore does not know."""
    headers, body = line["headers"], base64.b64decode(line["body"])
    agent = headers.get("user-agent", "")
    client = "terraform" if "terraform" in agent.lower() else "loadbench"
    name = _NAMES.get(line["service"], line["service"])
    path, _, query = line["target"].partition("?")
    if name == "sagemaker" and path.startswith("/endpoints/"):
        name = "sagemaker-runtime"
    model = service_model(name)
    if target := headers.get("x-amz-target"):
        operation = model.operation_model(target.rpartition(".")[2])
        parameters = json.loads(body or b"{}")
    elif "smithy-protocol" in headers:
        operation = model.operation_model(path.rpartition("/")[2])
        parameters = cbor.loads(body)
    elif b"Action=" in body:
        form = dict(parse_qsl(body.decode(), keep_blank_values=True))
        operation = model.operation_model(form.pop("Action"))
        form.pop("Version")
        parameters = _from_form(operation, form, capitals=model.metadata["protocol"] == "ec2")
    else:
        operation, parameters = _from_rest(model, line["method"], path, query, headers)
    return Asked(client, name, operation.name, parameters)


@functools.cache
def service_model(name: str) -> ServiceModel:
    """botocore's model of a service."""
    return ServiceModel(Loader().load_service_model(name, "service-2"), name)


def complaints(asked: Asked) -> str:
    """What botocore's model has against the request; '' for nothing."""
    operation = service_model(asked.service).operation_model(asked.operation)
    if asked.service in ("s3", "sagemaker-runtime"):
        return ""  # matching the request to its operation has checked what is outside the body
    if operation.input_shape is None:
        return f"takes no parameters, got {sorted(asked.parameters)}" if asked.parameters else ""
    report = ParamValidator().validate(asked.parameters, operation.input_shape)
    if report.has_errors():
        return str(report.generate_report())
    try:  # patterns, lengths and enums, which botocore leaves to the service
        checked_input(operation, dict(asked.parameters))
    except AwsError as error:
        return str(error)
    return ""


def _from_form(operation: OperationModel, form: dict[str, str], *, capitals: bool) -> dict[str, Any]:
    used: set[str] = set()
    shape = operation.input_shape
    parameters = _member(shape, form, "", used, capitals) if shape else {}
    if unknown := form.keys() - used:
        raise ValueError(f"{operation.name} has no parameters {sorted(unknown)}")
    return parameters or {}


def _member(shape: Shape, form: dict[str, str], at: str, used: set[str], capitals: bool) -> Any:
    """The value of one member of a query form, None where the form does not have it."""
    if isinstance(shape, StructureShape):
        found = {}
        for name, member in shape.members.items():
            wire = member.serialization.get("name", name)
            if capitals:
                wire = member.serialization.get("queryName", wire[:1].upper() + wire[1:])
            value = _member(member, form, f"{at}.{wire}" if at else wire, used, capitals)
            if value is not None:
                found[name] = value
        return found or None
    if isinstance(shape, ListShape):
        inner = "" if capitals or shape.serialization.get("flattened") else ".member"
        items: list[Any] = []
        while (
            item := _member(shape.member, form, f"{at}{inner}.{len(items) + 1}", used, capitals)
        ) is not None:
            items.append(item)
        return items or None
    if at not in form:
        return None
    used.add(at)
    if shape.type_name == "boolean":
        return form[at] == "true"
    return int(form[at]) if shape.type_name in ("integer", "long") else form[at]


def _from_rest(
    model: ServiceModel, method: str, path: str, query: str, headers: Mapping[str, str]
) -> tuple[OperationModel, dict[str, Any]]:
    """The operation whose binding fits most closely, and its parameters outside the body."""
    given = dict(parse_qsl(query, keep_blank_values=True))
    best: tuple[int, OperationModel, dict[str, Any]] | None = None
    for name in model.operation_names:
        operation = model.operation_model(name)
        if operation.http["method"] != method:
            continue
        fit = _fit(operation, path, given, headers)
        if fit is not None and (best is None or fit[0] > best[0]):
            best = (fit[0], operation, fit[1])
    if best is None:
        raise ValueError(f"no operation of {model.service_name} is {method} {path}?{query}")
    return best[1], best[2]


def _fit(
    operation: OperationModel, path: str, given: Mapping[str, str], headers: Mapping[str, str]
) -> tuple[int, dict[str, Any]] | None:
    template, _, literal = operation.http["requestUri"].partition("?")
    literals = dict(parse_qsl(literal, keep_blank_values=True))
    if any(given.get(key) != value for key, value in literals.items()):
        return None
    pattern = re.sub(
        r"\\{(\w+)(\\\+)?\\}", lambda m: f"(?P<{m[1]}>{'.+' if m[2] else '[^/]+'})", re.escape(template)
    )
    found = re.fullmatch(pattern, path.rstrip("/") or "/")
    if found is None:
        return None
    parameters: dict[str, Any] = {key: unquote(value) for key, value in found.groupdict().items()}
    rest = {key for key in given if key not in literals}
    shape = operation.input_shape
    for name, member in (shape.members if isinstance(shape, StructureShape) else {}).items():
        wire = member.serialization.get("name", name)
        where = member.serialization.get("location")
        source = given if where == "querystring" else headers if where == "header" else {}
        key = wire if where == "querystring" else wire.lower()
        if key in source:
            rest.discard(key)
            parameters[name] = int(source[key]) if member.type_name in ("integer", "long") else source[key]
        elif shape is not None and name in shape.required_members and name not in parameters and where:
            return None  # what is in the body is not looked at
    if rest - {"x-id"}:
        return None
    return len(literals) * 10 + len(parameters), parameters
