"""The query protocol: a form with dotted names in, XML out, by botocore's model of the operation.

moto's parser and serializer do the work: they are tested against AWS's own protocol tests.
"""

from __future__ import annotations

import functools
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web
from botocore.loaders import Loader
from botocore.utils import parse_timestamp

from ..errors import AwsError


def parse(body: bytes) -> dict[str, str]:
    """The form's fields. Raises AwsError for bytes that are no form."""
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=10_000))
    except ValueError as error:
        raise AwsError("MalformedQueryString", "The request body is not a form.") from error


def request_of(service: str, operation: str, form: dict[str, str]) -> dict[str, Any]:
    """The members of an operation's input. Raises AwsError for a value of the wrong type."""
    from moto.core.parse import QueryParser  # a second of imports

    try:
        parser = QueryParser(_model(service).operation_model(operation), timestamp_parser=parse_timestamp)
        request: Any = {"values": form}  # all that this protocol's parser reads of a request
        members = parser.parse(request)
    except ValueError as error:
        raise AwsError("MalformedInput", f"A value of {operation} has the wrong type: {error}") from error
    return dict(members)


def response_of(service: str, operation: str, answer: dict[str, Any]) -> web.Response:
    """The answer as XML."""
    from moto.core.serialize import QuerySerializer

    body = QuerySerializer(_model(service).operation_model(operation)).serialize(answer)["body"]
    return web.Response(body=body if isinstance(body, bytes) else body.encode(), content_type="text/xml")


@functools.cache
def _model(service: str) -> Any:
    """moto's view of botocore's model: it knows which lists are flattened."""
    from moto.core.model import ServiceModel

    return ServiceModel(Loader().load_service_model(service, "service-2"), service)
