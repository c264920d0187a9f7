"""Objects in public buckets of AWS that clients read at startup.

Version 2 of the SageMaker Python SDK looks up a model's name in the JumpStart bucket of its region. A list
without models would raise an IndexError in the SDK (it searches for a similar name), so each list
has one entry with a name that no model has.
"""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime
from email.utils import format_datetime

from aiohttp import web

_JUMPSTART_BUCKET = re.compile(r"jumpstart-cache-prod-[a-z0-9-]+")
_MANIFESTS = ("models_manifest.json", "proprietary-sdk-manifest.json")
_ENTRY = {
    "model_id": "the-embedded-aws-has-no-jumpstart-models",
    "version": "1.0.0",
    "min_version": "2.0.0",
    "spec_key": "none",
}
_CONTENT = json.dumps([_ENTRY]).encode()
_MODIFIED = format_datetime(datetime(2025, 1, 1, tzinfo=UTC), usegmt=True)


def find_public(operation: str, bucket: str, key: str) -> web.Response | None:
    """The response to reading such an object; None for other requests."""
    if operation not in ("GetObject", "HeadObject") or key not in _MANIFESTS:
        return None
    if not _JUMPSTART_BUCKET.fullmatch(bucket):
        return None
    etag = hashlib.md5(_CONTENT, usedforsecurity=False).hexdigest()
    headers = {"ETag": f'"{etag}"', "Last-Modified": _MODIFIED, "Content-Type": "application/json"}
    return web.Response(body=_CONTENT, headers=headers)
