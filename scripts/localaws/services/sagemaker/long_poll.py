"""Long polling: Describe calls wait while a resource is in transition.

Terraform's provider backs off to 10 s between polls (docs/facts/terraform.md#polling); with long polling it
notices changes immediately. A client's first response is never held, and none for more than a few seconds.
"""

from __future__ import annotations

import weakref
from typing import Any

from ...protocol.call import Call
from .records import Changes

_IN_TRANSITION = {
    "Creating",
    "Updating",
    "SystemUpdating",
    "RollingBack",
    "Deleting",
    "STARTING",
    "INPROGRESS",
    "STOPPING",
}
_HOLD_S = 5.0

# The last status sent on each connection; clients that poll keep their connection open.
_last_sent: weakref.WeakKeyDictionary[Any, dict[tuple[str, str, str], str]] = weakref.WeakKeyDictionary()


async def hold(call: Call, changes: Changes, kind: str, name: str, status: str) -> bool:
    """Wait for a change if this status was the last one sent on this connection; otherwise returns False."""
    if status not in _IN_TRANSITION or _seen(call).get((call.region, kind, name)) != status:
        remember_status(call, kind, name, status)
        return False
    await changes.wait(call.region, kind, name, _HOLD_S)
    return True


def remember_status(call: Call, kind: str, name: str, status: str) -> None:
    """Remember the status that is about to be sent on this connection."""
    _seen(call)[call.region, kind, name] = status


def _seen(call: Call) -> dict[tuple[str, str, str], str]:
    return _last_sent.setdefault(call.request.transport, {})
