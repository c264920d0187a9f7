"""Starts loading before the engine: from the plug-in, or when the server's Python starts.

The wheel installs a line that Python executes when it starts (`fastload_ahead.pth`), because the plug-in is
called when the API server has imported most of what it needs. The line does nothing unless FASTLOAD_LOCATION
is set and the process is a vLLM server.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

_SWITCH = "FASTLOAD_AHEAD"


def begin_in_server(command: Sequence[str] | None = None) -> None:
    """At a Python's start: begin if it is going to be a vLLM server. Never raises."""
    words = list(sys.orig_argv if command is None else command)
    is_server = any(word.startswith("vllm.entrypoints") for word in words) or (
        "serve" in words and any(os.path.basename(word) == "vllm" for word in words)  # noqa: PTH119
    )
    if is_server:
        begin()


def begin() -> None:
    """Start the prefetching process, once for all processes that are started from this one.

    Not begun without FASTLOAD_LOCATION or with FASTLOAD_AHEAD=0: then the first worker begins, and the others
    share with it. Errors are left to the loader, which meets them again and whose words reach the endpoint's
    reason.
    """
    from fastload.errors import FastloadError
    from fastload.prefetch import client, protocol
    from fastload.vllm.settings import read_settings

    if protocol.SESSION_VARIABLE in os.environ:
        return
    protocol.begin_session()
    if not os.environ.get("FASTLOAD_LOCATION") or os.environ.get(_SWITCH, "1") == "0":
        return
    try:
        settings = read_settings(None, os.environ)
        if settings.location is not None:
            client.begin(settings.request(settings.location))
    except (FastloadError, OSError):
        pass
