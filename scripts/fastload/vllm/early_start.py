"""Starts loading before the engine: from the plug-in, or when the server's Python starts.

The wheel installs a `.pth` file whose line Python executes at startup (`fastload_ahead.pth`), because the
plug-in is called only after the API server has imported most of its modules. The line does nothing unless
FASTLOAD_LOCATION is set and the process is a vLLM server.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

_SWITCH = "FASTLOAD_AHEAD"


def begin_in_server(command: Sequence[str] | None = None) -> None:
    """Called at Python's startup: start loading if the process will be a vLLM server. Never raises."""
    words = list(sys.orig_argv if command is None else command)
    is_server = any(word.startswith("vllm.entrypoints") for word in words) or (
        "serve" in words and any(os.path.basename(word) == "vllm" for word in words)  # noqa: PTH119
    )
    if is_server:
        begin()


def begin() -> None:
    """Start the prefetching process, once for this process and all that it starts.

    Does nothing without FASTLOAD_LOCATION or with FASTLOAD_AHEAD=0; then the first worker starts the process
    and the others share it. Errors are ignored here: the loader raises them again, and its messages reach the
    endpoint's failure reason.
    """
    from fastload.errors import FastloadError
    from fastload.prefetch import client, protocol
    from fastload.vllm.settings import read_settings

    if protocol.SESSION_VARIABLE in os.environ:
        return
    protocol.begin_session()
    if os.environ.get("FASTLOAD_COMPILE_CACHE"):
        from fastload.vllm import compile_cache

        compile_cache.begin(sys.orig_argv)
    if not os.environ.get("FASTLOAD_LOCATION") or os.environ.get(_SWITCH, "1") == "0":
        return
    try:
        settings = read_settings(None, os.environ)
        if settings.location is not None:
            client.begin(settings.request(settings.location))
    except (FastloadError, OSError):
        pass
