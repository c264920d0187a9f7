"""Background threads that do not keep the process alive: a hanging check delays nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Result = TypeVar("Result")


def started(work: Callable[[], Result], name: str) -> Future[Result]:
    """Start `work` and return its future; its exception is raised when the result is read."""
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 (raised again when the result is read)
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future
