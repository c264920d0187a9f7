"""Where a server's start begins and ends in a log; a server that died is followed by another start.

A supervisor restarts a crashed server in the same container and the same log stream
(docs/facts/vllm.md#sagemaker-image), and the service starts a container anew that fails its health check.
Read as one, the crash would look like a slow start.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from loadbench.run.observe.lines import Entry, LogLine, unwrap

# What comes before a server's own first words: the front end's, or a supervisor's.
_LAUNCHED = re.compile(r"^Starting model server|^(?:\S+ \S+ )?INFO spawned: '[^']+' with pid")
# What a server writes once: vLLM's in two layouts, SGLang's, TGI's.
_SERVER = re.compile(r"^vLLM API server version|█.*version \d|^server_args=ServerArgs\(|^Args \{")
# Signs that it came further, so that the same words again are another start.
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
# Where the server's own logger is silent: the first request that it answered.
_ANSWERED = re.compile(r'"(?:GET|POST) /\S* HTTP/[\d.]+" 200')
_REASON = re.compile(
    r"(?:^|: |\s)(?P<reason>(?:[\w.]*(?:Error|Exception): .+|.*\bexited: .+|.*gave up: .+))$"
)
_REASON_LENGTH = 200


@dataclass(frozen=True)
class Start:
    """One server's lines, from its first to the next server's first."""

    entries: Sequence[Entry]
    ready_s: float | None

    @property
    def began_s(self) -> float:
        """Time of its first line."""
        return self.entries[0].timestamp_s

    @property
    def reason(self) -> str | None:
        """The last error in its lines, None where it names none."""
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
    # SGLang serves its own first request after uvicorn's line, and says ready after that.
    own = _SGLANG_READY if any(_SGLANG.match(entry.text) for entry in entries) else _READY
    ready_s = first_time(entries, own)
    return Start(entries, first_time(entries, _ANSWERED) if ready_s is None else ready_s)


def ready_time(entries: Sequence[Entry]) -> float | None:
    """When the last server that began said that its model can be used, None if it never did."""
    return next(
        (start.ready_s for start in reversed(list(starts(entries))) if start.ready_s is not None), None
    )


def told_ready(lines: Sequence[LogLine]) -> bool:
    """Whether some container's log has the line of its readiness."""
    return any(_READY.search(unwrap(line).text) for line in lines)


def first_time(entries: Sequence[Entry], pattern: re.Pattern[str]) -> float | None:
    """Time of the first line with these words."""
    return next((entry.timestamp_s for entry in entries if pattern.search(entry.text)), None)
