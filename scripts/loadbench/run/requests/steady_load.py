"""Sends requests one after another while the endpoint is changed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from loadbench.results.run_record import Invocation, ResourceNames
from loadbench.run.requests.invoke import open_requests

_EVERY_S = 1.0
_TOKENS = 8  # short answers, so that the requests do not slow down the new copy


class SteadyRequests:
    """A context manager that sends a request per second, and one more at its end. `answered` is
    always readable.
    """

    def __init__(
        self,
        session: Any,
        names: ResourceNames,
        payload: Mapping[str, Any],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.answered: list[Invocation] = []
        self._send = open_requests(session, names, short(payload), clock)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def words(self) -> str:
        """Numbers of sent and failed requests, for the progress line."""
        failed = sum(not item.ok for item in self.answered)
        return f"requests: {len(self.answered)}, failed: {failed}"

    def _work(self) -> None:
        while not self._stop.is_set():
            self.answered.append(self._send())
            self._stop.wait(_EVERY_S)
        self.answered.append(self._send())


def short(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The request with few tokens to generate, in LMI's or OpenAI's format."""
    if "messages" in payload or "prompt" in payload:
        return {**payload, "max_tokens": _TOKENS}
    return {**payload, "parameters": {**payload.get("parameters", {}), "max_new_tokens": _TOKENS}}
