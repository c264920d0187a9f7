"""Parses clients' documents by the shapes of S3's model; unknown elements are errors."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from typing import Any

from botocore.model import ListShape, Shape, StructureShape

from ...protocol.service_models import service_model
from .xml import NAMESPACE, malformed, parse

_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_TIME = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?)?")
# Prefixes are part of the names, as clients' SDKs expect.
ElementTree.register_namespace("xsi", _XSI)


def read_payload(operation: str, payload: str, body: bytes) -> tuple[Any, str]:
    """The value of an operation's payload, and the document to be stored. Raises MalformedXML."""
    shape = service_model("s3").operation_model(operation).input_shape.members[payload]
    root = parse(body)
    if root.tag != _root_name(shape):
        raise malformed(f"The document's root is {root.tag[:50]}, not {_root_name(shape)}.")
    value = _value(shape, [root])
    root.set("xmlns", NAMESPACE)
    return value, ElementTree.tostring(root, encoding="unicode")


def read_kept(operation: str, payload: str, document: str) -> Any:
    """The value of a stored document."""
    shape = service_model("s3").operation_model(operation).input_shape.members[payload]
    return _value(shape, [parse(document.encode())])


def _root_name(shape: Shape) -> str:
    name: str = shape.serialization.get("name") or shape.name
    return name


def _value(shape: Shape, elements: list[ElementTree.Element]) -> Any:
    if isinstance(shape, StructureShape):
        return _structure(shape, elements[0])
    if isinstance(shape, ListShape):
        if shape.serialization.get("flattened"):
            return [_value(shape.member, [element]) for element in elements]
        name = shape.member.serialization.get("name", "member")
        if any(child.tag != name for child in elements[0]):
            raise malformed(f"{elements[0].tag} contains elements other than {name}.")
        return [_value(shape.member, [child]) for child in elements[0]]
    if len(elements[0]):
        raise malformed(f"{elements[0].tag} must not contain elements.")
    return _scalar(
        shape, (elements[0].text or "").strip() if shape.type_name != "string" else elements[0].text or ""
    )


def _structure(shape: StructureShape, element: ElementTree.Element) -> dict[str, Any]:
    known: dict[str, str] = {}
    value: dict[str, Any] = {}
    for name, member in shape.members.items():
        flattened = isinstance(member, ListShape) and member.serialization.get("flattened")
        place = member.serialization.get("name") or (
            member.member.serialization.get("name") if flattened else None
        )
        if member.serialization.get("xmlAttribute"):
            attribute = element.get(f"{{{_XSI}}}{str(place).partition(':')[2]}")
            if attribute is not None:
                value[name] = attribute
            continue
        known[place or name] = name
    for tag in dict.fromkeys(child.tag for child in element):
        if tag not in known:
            raise malformed(f"{element.tag} has no element {tag[:50]}.")
        found = [child for child in element if child.tag == tag]
        member = shape.members[known[tag]]
        is_many = isinstance(member, ListShape) and member.serialization.get("flattened")
        if len(found) > 1 and not is_many:
            raise malformed(f"{element.tag} has {tag} more than once.")
        value[known[tag]] = _value(member, found)
    missing = [name for name in shape.required_members if name not in value]
    if missing:
        raise malformed(f"{element.tag} lacks {missing[0]}.")
    return value


def _scalar(shape: Shape, text: str) -> Any:
    kind = shape.type_name
    if kind == "boolean":
        if text.lower() not in ("true", "false"):
            raise malformed(f"{text[:50]!r} is not true or false.")
        return text.lower() == "true"
    if kind in ("integer", "long"):
        if not re.fullmatch(r"-?\d{1,18}", text, re.ASCII):
            raise malformed(f"{text[:50]!r} is not a whole number.")
        return int(text)
    if kind == "timestamp" and not _TIME.fullmatch(text):
        raise malformed(f"{text[:50]!r} is not a time.")
    allowed = shape.metadata.get("enum")
    # The model does not list us-east-1 as a region; S3 and CreateBucket treat it specially.
    if allowed and text not in allowed and shape.name != "BucketLocationConstraint":
        raise malformed(f"{text[:50]!r} is none of {', '.join(allowed)}.")
    return text
