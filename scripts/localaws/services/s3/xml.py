"""XML bodies of S3, without namespaces."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from datetime import UTC, datetime

from aiohttp import web

from ...errors import AwsError
from ...protocol.responses import xml_text

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"

# A tree of (name, text) and (name, children) pairs; None omits the element. A name may contain attributes.
Element = tuple[str, "str | int | list[Element] | None"]


def document(root: str, content: str | Iterable[Element]) -> web.Response:
    """An XML response: a root with text or elements."""
    body = element_text(root, content)
    return web.Response(
        body=b'<?xml version="1.0" encoding="UTF-8"?>\n' + body.encode(), content_type="application/xml"
    )


def element_text(root: str, content: str | Iterable[Element]) -> str:
    """The text of a document, without the XML declaration."""
    inner = xml_text(content) if isinstance(content, str) else "".join(map(_element, content))
    return f'<{root} xmlns="{NAMESPACE}">{inner}</{root}>'


def malformed(reason: str = "") -> AwsError:
    """MalformedXML in S3's words, with what is wrong in this document."""
    text = "The XML you provided was not well-formed or did not validate against our published schema"
    return AwsError("MalformedXML", f"{text}: {reason}" if reason else text)


def parse(body: bytes) -> ElementTree.Element:
    """The root of a client's document, names without their namespace. Raises MalformedXML."""
    # Clients never declare a document type; rejecting it prevents entity expansion.
    if b"<!" in body:
        raise malformed()
    try:
        root = ElementTree.fromstring(body)  # noqa: S314 (declarations are rejected above)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise malformed() from error
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def iso_time(epoch_s: float) -> str:
    """A time in the format of S3's documents, to the millisecond."""
    moment = datetime.fromtimestamp(epoch_s, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def _element(element: Element) -> str:
    name, content = element
    if content is None:
        return ""
    inner = "".join(map(_element, content)) if isinstance(content, list) else xml_text(content)
    return f"<{name}>{inner}</{name.partition(' ')[0]}>"
