"""A log of requests, one JSON object per line, to compare clients or to write a policy.

Off unless the environment variable LOCALAWS_RECORD names a file when the server starts. Bodies are kept as
they came, a token in a model's environment included: the file is private, and S3's bodies are left out.
"""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

from ..protocol.call import Call
from ..state.keys import KeyRing

VARIABLE = "LOCALAWS_RECORD"


class Recorder:
    """Appends requests that were signed with the user's key, not those of instances."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys
        file = os.environ.get(VARIABLE)
        self._descriptor = (
            os.open(Path(file), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if file else None
        )

    def note(self, call: Call) -> None:
        """Write one verified request down."""
        if self._descriptor is None or call.service == "localaws":
            return
        if call.access_key_id != self._keys.user.access_key_id:
            return
        line = {
            "service": call.service,
            "method": call.request.method,
            "target": call.request.raw_path,
            "headers": {
                name.lower(): value
                for name, value in call.request.headers.items()
                if name.lower() != "authorization"
            },
            "body": base64.b64encode(call.body or b"").decode(),
        }
        os.write(self._descriptor, json.dumps(line).encode() + b"\n")

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
