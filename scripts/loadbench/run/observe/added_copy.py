"""Observes one added copy among others by the events of its log stream only.

Inferred for AWS: every copy of an inference component has its own log stream, like every instance
(docs/live-check.md#stream-of-a-copy).
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from botocore.config import Config

from loadbench.results.run_record import ResourceNames
from loadbench.results.scale_out_record import ScaleOutRecord
from loadbench.results.timeline import Span
from loadbench.run.observe.engines import starts
from loadbench.run.observe.lines import LogLine
from loadbench.run.observe.logs import LogFile, LogFollower, container_group, platform_group
from loadbench.run.observe.spans import Seen, assemble
from loadbench.run.observe.status import IN_SERVICE, ResourceTimes
from loadbench.run.polling import LATE_LOG_LINES_TIMEOUT_S, LOG_INTERVAL_S

_CLIENT_CONFIG = Config(retries={"mode": "standard", "max_attempts": 4})


class AddedCopy:
    """Observes one added copy; log streams that exist when this object is created belong to other copies."""

    def __init__(
        self, session: Any, names: ResourceNames, *, embedded: bool, since_s: float = math.inf
    ) -> None:
        """`embedded`: the target is the embedded AWS, which has an additional platform log.

        `since_s`: the time at which a change already in progress was requested; streams that started later
        belong to the added copy.
        """
        logs = session.client("logs", config=_CLIENT_CONFIG)
        self._component = names.inference_component
        self._container = LogFollower(logs, container_group(names))
        self._container.fetch()
        self._old_streams = {line.stream for line in self._container.lines if line.timestamp_s < since_s}
        self._platform = LogFollower(logs, platform_group(names)) if embedded else None
        if self._platform:
            self._platform.fetch()
            known = self._platform.lines
            known[:] = [line for line in known if line.timestamp_s >= since_s]

    @property
    def problems(self) -> list[str]:
        """Problems, each listed once."""
        found = [*self._container.problems, *(self._platform.problems if self._platform else [])]
        return list(dict.fromkeys(found))

    def collect(self, *, patiently: bool) -> None:
        """Read new lines; with `patiently`, wait until the copy has logged that it is ready."""
        deadline_s = time.monotonic() + LATE_LOG_LINES_TIMEOUT_S
        while True:
            self._container.fetch()
            if self._platform:
                self._platform.fetch()
            if not patiently or starts.logged_ready(self.lines()) or time.monotonic() > deadline_s:
                return
            time.sleep(LOG_INTERVAL_S)

    def log_lines(self) -> list[str]:
        """The copy's log lines."""
        return [line.message for line in self.lines()]

    def write_log(self, path: Path, secrets: Sequence[str]) -> None:
        """Save the copy's log lines, without secrets."""
        file = LogFile(path, secrets)
        for line in self.lines():
            file.write(line)

    def spans(self, record: ScaleOutRecord) -> list[Span]:
        """The timeline of the copy; the request for the copy takes the place of a deployment's creation.

        The status of other copies is ignored.
        """
        times = {
            change.resource: ResourceTimes(change.request_s, change.ready_s) for change in record.changes
        }
        spans = assemble(
            Seen(
                endpoint=times.get("endpoint", ResourceTimes()),
                component=times.get("inference component", ResourceTimes()),
                inference_component=self._component,
                ready_s=record.ready_s,
                history=record.status_history,
                container=self.lines(),
                platform=self._platform.lines if self._platform else [],
            )
        )
        return [span for span in spans if not span.name.endswith(f" {IN_SERVICE}")]

    def lines(self) -> list[LogLine]:
        """Lines of its log stream."""
        return [line for line in self._container.lines if line.stream not in self._old_streams]
