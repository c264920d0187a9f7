"""Moments on the way to readiness: port open, `/ping` answered, model listed, first token.

They are taken from a server's log lines and from loadbench's own requests. A moment that neither shows has no
entry; it is not derived from the others.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from loadbench.results.run_record import Invocation, ReadinessEdge
from loadbench.run.observe.engines.starts import first_time
from loadbench.run.observe.lines import LogLine
from loadbench.run.observe.spans import by_stream, cold_starts

# Uvicorn logs it after it listens; "Application startup complete." comes before that. djl-serving's own
# port opens before its engine starts (docs/log-coverage.md#readiness).
_PORT_OPEN = re.compile(r"^(?:INFO: +)?Uvicorn running on |^(?:INFO +ModelServer )?BOTH API bind to: ")
# Lines of access logs; uvicorn's have a reason phrase, djl-serving's the duration.
_PING = re.compile(r'"GET /(?:ping|health) HTTP/[\d.]+" 200\b')
_LISTED = re.compile(r'"GET /(?:v1/)?models HTTP/[\d.]+" 200\b')
_FROM_LOG = (("port_open", _PORT_OPEN), ("ping_ok", _PING), ("model_listed", _LISTED))


def find_readiness(lines: Sequence[LogLine], invocations: Sequence[Invocation] = ()) -> list[ReadinessEdge]:
    """The moments in order, for several copies those of the last one; failed starts before it are ignored."""
    edges = []
    lasts = [cold_starts(own)[0][-1].entries for own in by_stream(lines)]
    for name, pattern in _FROM_LOG:
        moments = [at_s for entries in lasts if (at_s := first_time(entries, pattern)) is not None]
        # A copy whose log does not show it may have been later.
        if moments and len(moments) == len(lasts):
            edges.append(_edge(name, max(moments), "the server's log line"))
    tokens = [
        request.start_s + request.time_to_first_token_s
        for request in invocations
        if request.ok and request.time_to_first_token_s is not None
    ]
    if tokens:
        edges.append(_edge("first_token", min(tokens), "the first streamed request of loadbench"))
    return sorted(edges, key=lambda edge: edge.at_s)


def _edge(name: str, at_s: float, source: str) -> ReadinessEdge:
    return ReadinessEdge.model_validate({"name": name, "at_s": at_s, "source": source})
