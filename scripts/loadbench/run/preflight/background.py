"""Work in threads that do not keep the process from ending: a question that hangs holds up nobody."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Result = TypeVar("Result")


def started(work: Callable[[], Result], name: str) -> Future[Result]:
    """The future of `work`, which runs from now on; what it raises is raised where the result is taken."""
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 (raised again where the result is taken)
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future
