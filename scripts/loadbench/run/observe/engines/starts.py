"""Finds the starts of servers in a log; after a crash, another start follows.

A supervisor restarts a crashed server in the same container and the same log stream
(docs/facts/vllm.md#sagemaker-image), and the service restarts a container that fails its health check.
If starts were not separated, a crash would look like a slow start.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from loadbench.run.observe.lines import Entry, LogLine, unwrap

# Lines before a server's first line: from the front end, or a supervisor.
_LAUNCHED = re.compile(r"^Starting model server|^(?:\S+ \S+ )?INFO spawned: '[^']+' with pid")
# Lines that a server writes once: vLLM's in two layouts, SGLang's, TGI's.
_SERVER = re.compile(r"^vLLM API server version|█.*version \d|^server_args=ServerArgs\(|^Args \{")
# Lines of later steps: if a first line follows one of them, it is another start.
_PROGRESS = re.compile(
    r"Starting to load model|Load(?:ing)? .*weights? (?:took|begin)|Initializing an? .*LLM engine|"
    r"Traceback|[Ee]xited|Shard ready|Starting shard|Init torch distributed|"
    r"Resolved architecture|initialized\."
)
# djl-serving's line; every server's on uvicorn; SGLang's after its own first request; TGI's router's.
_READY = re.compile(
    r"^Model \[[^\]]*\] initialized\.|^(?:INFO: +)?Application startup complete\.|"
    r"^The server is fired up and ready to roll!|^Connected$"
)
_SGLANG_READY = re.compile(r"^The server is fired up and ready to roll!")
_SGLANG = re.compile(r"^server_args=ServerArgs\(")
# For servers that do not log their readiness: the first successful request.
_ANSWERED = re.compile(r'"(?:GET|POST) /\S* HTTP/[\d.]+" 200')
_REASON = re.compile(
    r"(?:^|: |\s)(?P<reason>(?:[\w.]*(?:Error|Exception): .+|.*\bexited: .+|.*gave up: .+))$"
)
_REASON_LENGTH = 200


@dataclass(frozen=True)
class Start:
    """The lines of one server, up to the next server's first line."""

    entries: Sequence[Entry]
    ready_s: float | None

    @property
    def began_s(self) -> float:
        """Time of its first line."""
        return self.entries[0].timestamp_s

    @property
    def reason(self) -> str | None:
        """The last error in its lines, None if there is none."""
        for entry in reversed(self.entries):
            if found := _REASON.search(entry.text):
                return found["reason"][:_REASON_LENGTH]
        return None


def starts(entries: Sequence[Entry]) -> Iterator[Start]:
    """Each start in a stream's lines, in order."""
    first, began, served, progressed = 0, False, False, False
    for place, entry in enumerate(entries):
        launched, server = _LAUNCHED.search(entry.text), _SERVER.search(entry.text)
        if progressed and ((launched and began) or (server and served)):
            yield _start(entries[first:place])
            first, served, progressed = place, False, False
        elif _PROGRESS.search(entry.text):
            progressed = True
        began, served = began or bool(launched or server), served or bool(server)
    if entries[first:]:
        yield _start(entries[first:])


def _start(entries: Sequence[Entry]) -> Start:
    # SGLang sends itself a first request after uvicorn's line, and logs readiness after that.
    own = _SGLANG_READY if any(_SGLANG.match(entry.text) for entry in entries) else _READY
    ready_s = first_time(entries, own)
    return Start(entries, first_time(entries, _ANSWERED) if ready_s is None else ready_s)


def ready_time(entries: Sequence[Entry]) -> float | None:
    """The time at which the last started server logged that it is ready, None if it did not."""
    return next(
        (start.ready_s for start in reversed(list(starts(entries))) if start.ready_s is not None), None
    )


def logged_ready(lines: Sequence[LogLine]) -> bool:
    """Whether a container's log has a readiness line."""
    return any(_READY.search(unwrap(line).text) for line in lines)


def first_time(entries: Sequence[Entry], pattern: re.Pattern[str]) -> float | None:
    """Time of the first line that matches."""
    return next((entry.timestamp_s for entry in entries if pattern.search(entry.text)), None)
