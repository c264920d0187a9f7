"""Observes one deployment, from before the first call until after the first responses."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from loadbench.load_paths import EndpointKind
from loadbench.results.run_record import Deployment, ResourceNames, RunRecord, Usage
from loadbench.results.timeline import Span
from loadbench.run.observe import embedded
from loadbench.run.observe.crash_loop import CrashLoop, find_crash_loop
from loadbench.run.observe.engines import starts
from loadbench.run.observe.lines import LogLine
from loadbench.run.observe.logs import LogFile, LogFollower, container_group, platform_group
from loadbench.run.observe.probe_lines import find_probe
from loadbench.run.observe.readiness import find_readiness
from loadbench.run.observe.spans import Seen, assemble, find_restarts, read_container
from loadbench.run.observe.status import StatusPoller
from loadbench.run.observe.streaming_evidence import judge_streaming
from loadbench.run.observe.usage import read_usage
from loadbench.run.observe.warm_layers import find_layers
from loadbench.run.polling import LATE_LOG_LINES_TIMEOUT_S, LOG_INTERVAL_S, STATUS_INTERVAL_S

_LOG = logging.getLogger(__name__)
_LOG_FILE = "container.log"
# One client with enough connections for all threads is simpler than one per thread.
_CLIENT_CONFIG = Config(retries={"mode": "standard", "max_attempts": 4}, max_pool_connections=4)


class Observer:
    """A context manager around a deployment; its observations are read afterwards.

    It never fails a run: problems of the observation are listed in `problems`.
    """

    def __init__(
        self,
        session: Any,
        names: ResourceNames,
        endpoint_kind: EndpointKind,
        *,
        folder: Path,
        clock: Callable[[], float] = time.time,
        secrets: Sequence[str] = (),
        embedded: bool = True,
        copies: int = 1,
    ) -> None:
        """`embedded`: the target is the embedded AWS, which has an additional platform log. `copies`: the
        number of containers that start concurrently.
        """
        if endpoint_kind == "model_based" and names.inference_component:
            names = names.model_copy(update={"inference_component": None})
        self.on_status: Callable[[str, str], None] = lambda resource, status: None
        self.crash_loop: CrashLoop | None = None
        """Set as soon as the log shows that the container will not become ready."""
        self._names = names
        self._copies = copies
        self._log_file = LogFile(folder / _LOG_FILE, secrets)
        logs = session.client("logs", config=_CLIENT_CONFIG)
        self._status = StatusPoller(
            session.client("sagemaker", config=_CLIENT_CONFIG),
            names,
            clock,
            lambda resource, status: self.on_status(resource, status),
        )
        self._container = LogFollower(logs, container_group(names), self._keep_line)
        self._platform = LogFollower(logs, platform_group(names)) if embedded else None
        self._metrics = session.client("cloudwatch", config=_CLIENT_CONFIG)
        self._metric_problems: list[str] = []
        self._logged_phases: set[str] = set()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        for work, every_s in ((self._status.poll, STATUS_INTERVAL_S), (self._fetch_logs, LOG_INTERVAL_S)):
            thread = threading.Thread(target=self._repeat, args=(work, every_s), daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    @property
    def deployment(self) -> Deployment:
        """The service's clock and the poller's, with every observed status."""
        return self._status.deployment()

    @property
    def failure_reason(self) -> str | None:
        """The service's reason if the endpoint or the component failed."""
        return self._status.failure_reason

    @property
    def problems(self) -> list[str]:
        """Problems, each listed once."""
        found = [
            *self._status.problems,
            *self._container.problems,
            *(self._platform.problems if self._platform else ()),
            *self._metric_problems,
        ]
        return list(dict.fromkeys(found))

    def log_lines(self) -> list[str]:
        """The container's lines so far."""
        return [line.message for line in self._container.lines]

    def container_lines(self) -> list[LogLine]:
        """The container's lines so far, with their times."""
        return list(self._container.lines)

    def spans(self) -> list[Span]:
        """The timeline so far."""
        return assemble(
            Seen(
                endpoint=self._status.endpoint,
                component=self._status.component,
                inference_component=self._names.inference_component,
                ready_s=self.deployment.ready_s,
                history=self._status.history,
                container=self._container.lines,
                platform=self._platform.lines if self._platform else [],
            )
        )

    def usage(self, start_s: float, end_s: float) -> Usage:
        """Resource usage between two epoch seconds, from CloudWatch."""
        try:
            return read_usage(self._metrics, self._names, start_s, end_s)
        except (ClientError, BotoCoreError) as error:
            self._metric_problems.append(str(error))
            return Usage()

    def collect(self, record: RunRecord) -> None:
        """Complete a record after the requests: late log lines, the first response, usage."""
        self._fetch_late_lines()
        if engine := embedded.read_engine(self._container.lines):
            record.system["engine"] = engine
        clocks = record.deployment
        if clocks.request_s is not None and clocks.ready_s is not None:
            record.usage = self.usage(clocks.request_s, clocks.ready_s)
        spans, record.streaming = judge_streaming(
            self.spans(),
            record.usage,
            instance_type=record.instance_type,
            weights_bytes=record.model.size_bytes,
            instances=record.instance_count,
        )
        record.spans = [*spans, *_first_response(record)]
        record.restarts = find_restarts(self._container.lines)
        record.start_probe = find_probe(self._container.lines)
        record.readiness = find_readiness(self._container.lines, record.invocations)
        received, size_bytes = record.usage.network_receive_bytes, record.model.size_bytes
        record.layers = find_layers(
            self._container.lines,
            record.spans,
            new_endpoint=True,
            new_stream=True,
            received_share=received / size_bytes if received and size_bytes else None,
            caching=clocks.caching,
        )

    def _repeat(self, work: Callable[[], None], every_s: float) -> None:
        while not self._stop.wait(every_s):
            work()
        work()  # once more, for the changes since the last poll

    def _fetch_late_lines(self) -> None:
        """Read until the server's readiness line, the last line that a timeline needs."""
        deadline_s = time.monotonic() + LATE_LOG_LINES_TIMEOUT_S
        self._fetch_logs()
        while not starts.logged_ready(self._container.lines) and time.monotonic() < deadline_s:
            time.sleep(LOG_INTERVAL_S)
            self._fetch_logs()

    def _fetch_logs(self) -> None:
        if self._container.fetch():
            self._tell_phases()
            if not self._status.ready:
                self.crash_loop = find_crash_loop(self._container.lines, self._copies)
        if self._platform:
            self._platform.fetch()

    def _keep_line(self, line: LogLine) -> None:
        self._log_file.write(line)
        _LOG.debug("container: %s", line.message)

    def _tell_phases(self) -> None:
        """Log each phase once, as soon as the container's lines show its end."""
        for span in read_container(self._container.lines):
            if span.name not in self._logged_phases:
                self._logged_phases.add(span.name)
                _LOG.info("phase %s: %.2f s", span.name, span.duration_s)


def _first_response(record: RunRecord) -> list[Span]:
    return [
        Span(
            name="first_response",
            start_s=request.start_s,
            end_s=request.start_s + request.latency_s,
            clock="client",
        )
        for request in record.invocations
        if request.kind == "first" and request.ok
    ]
