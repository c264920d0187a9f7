"""The observer sees what happens, when it happens, and cannot fail the run it watches."""

from __future__ import annotations

import datetime
import itertools
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from loadbench.results.run_record import Invocation, ModelInfo, ResourceNames, RunRecord
from loadbench.run.observe import Observer
from loadbench.run.observe.lines import parse_lines
from loadbench.run.observe.logs import LogFollower, container_group, platform_group
from loadbench.run.observe.status import StatusPoller

_numbers = itertools.count()


def names(component: bool = False) -> ResourceNames:
    name = f"observed-{next(_numbers)}"
    return ResourceNames(
        endpoint=name,
        endpoint_configuration=name,
        model=name,
        inference_component=name if component else None,
    )


class Service:
    """DescribeEndpoint and DescribeInferenceComponent by a script: one answer a call, the last one stays."""

    def __init__(self, endpoint: list[Any], component: list[Any] | None = None) -> None:
        self._scripts = {"endpoint": endpoint, "component": component or []}

    def describe_endpoint(self, **_: str) -> dict[str, Any]:
        return self._next("endpoint")

    def describe_inference_component(self, **_: str) -> dict[str, Any]:
        return self._next("component")

    def _next(self, which: str) -> dict[str, Any]:
        script = self._scripts[which]
        answer = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(answer, Exception):
            raise answer
        return dict(answer)


def answer(kind: str, status: str, created_s: float, modified_s: float, **more: Any) -> dict[str, Any]:
    times = {
        "CreationTime": datetime.datetime.fromtimestamp(created_s, datetime.UTC),
        "LastModifiedTime": datetime.datetime.fromtimestamp(modified_s, datetime.UTC),
    }
    return {f"{kind}Status": status, **times, **more}


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "not now"}}, "DescribeEndpoint")


def poller(service: Service, names: ResourceNames, clock: Callable[[], float]) -> StatusPoller:
    return StatusPoller(service, names, clock, lambda resource, status: None)


def test_the_clocks_of_a_model_based_endpoint() -> None:
    service = Service(
        [
            refused("ValidationException"),  # not created yet
            answer("Endpoint", "Creating", 100.25, 100.25),
            answer("Endpoint", "InService", 100.25, 130.5),
            answer("Endpoint", "InService", 100.25, 999.0),  # modified later by something else
        ]
    )
    ticks = itertools.count(200.0)
    watching = poller(service, names(), lambda: next(ticks))
    for _ in range(4):
        watching.poll()
    seen = watching.deployment()
    assert (seen.request_s, seen.ready_s) == (100.25, 130.5)
    assert [(resource, status) for _, resource, status in seen.status_history] == [
        ("endpoint", "Creating"),
        ("endpoint", "InService"),
    ]
    assert seen.poller_ready_s is not None
    assert seen.poller_ready_s > seen.status_history[-1][0]


def test_a_component_endpoint_is_ready_when_its_component_is() -> None:
    service = Service(
        [answer("Endpoint", "InService", 100.0, 110.0)],
        [
            refused("ValidationException"),
            answer("InferenceComponent", "Creating", 111.0, 111.0),
            answer("InferenceComponent", "InService", 111.0, 125.0),
        ],
    )
    watching = poller(service, names(component=True), lambda: 1.0)
    watching.poll()
    assert not watching.ready
    watching.poll()
    watching.poll()
    assert watching.ready
    assert (watching.deployment().request_s, watching.deployment().ready_s) == (100.0, 125.0)


def test_the_services_reason_for_a_failure_is_kept() -> None:
    failed = answer(
        "Endpoint", "Failed", 1.0, 2.0, FailureReason="Unable to provision requested ML compute capacity"
    )
    watching = poller(Service([failed]), names(), lambda: 1.0)
    watching.poll()
    assert watching.failure_reason == "Unable to provision requested ML compute capacity"
    assert watching.deployment().ready_s is None


def test_cache_settings_that_describe_reports_are_kept_by_their_path() -> None:
    on = {"Specification": {"ModelName": "m", "DataCacheConfig": {"EnableCaching": True}}}
    service = Service(
        [answer("Endpoint", "InService", 1.0, 2.0)],
        [
            answer("InferenceComponent", "Creating", 1.0, 1.0),
            answer("InferenceComponent", "InService", 1.0, 2.0, **on),
        ],
    )
    watching = poller(service, names(component=True), lambda: 1.0)
    watching.poll()
    assert watching.deployment().caching is None
    watching.poll()
    assert watching.deployment().caches == {"Specification.DataCacheConfig.EnableCaching": True}
    assert watching.deployment().caching is True


def test_a_call_that_is_refused_is_reported_and_retried() -> None:
    service = Service([refused("ThrottlingException"), answer("Endpoint", "InService", 1.0, 2.0)])
    watching = poller(service, names(), lambda: 1.0)
    watching.poll()
    watching.poll()
    assert watching.ready
    assert len(watching.problems) == 1
    assert "ThrottlingException" in watching.problems[0]


def test_variants_are_followed_too() -> None:
    variant = {"ProductionVariants": [{"VariantStatus": [{"Status": "ActivatingTraffic"}]}]}
    watching = poller(Service([answer("Endpoint", "Creating", 1.0, 1.0, **variant)]), names(), lambda: 5.0)
    watching.poll()
    assert (5.0, "variant", "ActivatingTraffic") in watching.history


def put_events(session: Any, group: str, stream: str, *messages: str) -> None:
    logs = session.client("logs")
    for call, arguments in (
        (logs.create_log_group, {"logGroupName": group}),
        (logs.create_log_stream, {"logGroupName": group, "logStreamName": stream}),
    ):
        try:
            call(**arguments)
        except logs.exceptions.ResourceAlreadyExistsException:
            continue
    now_ms = int(time.time() * 1000)
    logs.put_log_events(
        logGroupName=group,
        logStreamName=stream,
        logEvents=[{"timestamp": now_ms, "message": message} for message in messages],
    )


def test_a_group_that_is_not_there_is_empty_and_no_problem(aws_session: Any) -> None:
    follower = LogFollower(aws_session.client("logs"), "/no/such/group")
    assert follower.fetch() == 0
    assert follower.problems == []


def test_every_line_of_every_stream_is_read_once_and_in_order(aws_session: Any) -> None:
    group = container_group(names())
    follower = LogFollower(aws_session.client("logs"), group)
    put_events(aws_session, group, "AllTraffic/i-1", "a1", "a2")
    assert follower.fetch() == 2
    put_events(aws_session, group, "AllTraffic/i-2", "b1")
    put_events(aws_session, group, "AllTraffic/i-1", "a3")
    assert follower.fetch() == 2
    assert follower.fetch() == 0
    assert [line.message for line in follower.lines if line.stream == "AllTraffic/i-1"] == ["a1", "a2", "a3"]


def test_a_long_log_is_read_to_its_end(aws_session: Any) -> None:
    group = container_group(names())
    wanted = [f"line {number} {'x' * 1000}" for number in range(3000)]  # more than the megabyte of one answer
    for first in range(0, 3000, 600):
        put_events(aws_session, group, "s", *wanted[first : first + 600])
    follower = LogFollower(aws_session.client("logs"), group)
    follower.fetch()
    assert [line.message for line in follower.lines] == wanted


def test_a_deployment_is_watched_from_before_it_exists(aws_session: Any, tmp_path: Path) -> None:
    watched = names()
    seen: list[tuple[str, str]] = []
    phase = "[phase] name=weights_to_host start=10.000000 end=12.500000 bytes=7 worker=loader"
    event = {
        "phase": "provision",
        "start": 1.0,
        "end": 9.0,
        "simulated": True,
        "bytes": 0,
        "instance_id": "i-1",
    }
    with Observer(aws_session, watched, "model_based", folder=tmp_path, secrets=["hf_secret"]) as observer:
        observer.on_status = lambda resource, status: seen.append((resource, status))
        put_events(
            aws_session,
            container_group(watched),
            "AllTraffic/i-1",
            "token is hf_secret",
            f"INFO  PyProcess W-1-model-stdout: {phase}",
        )
        put_events(aws_session, platform_group(watched), "i-1", json.dumps(event))
    assert [(span.name, span.certainty) for span in observer.spans()] == [
        ("provision", "simulated"),
        ("weights_to_host", "measured"),
    ]
    stored = (tmp_path / "container.log").read_text(encoding="utf-8")
    assert "hf_secret" not in stored
    assert [line.message for line in parse_lines(stored.splitlines())] == [
        "token is [redacted]",
        f"INFO  PyProcess W-1-model-stdout: {phase}",
    ]
    assert observer.problems == []
    assert seen == []


def record_of(watched: ResourceNames) -> RunRecord:
    return RunRecord(
        run_id="20261123-061530-standard-4f2a",
        path="standard",
        started_s=1.0,
        expires_at="2026-11-23T10:15:30Z",
        command=["loadbench"],
        target="local",
        region="us-west-2",
        project="loadbench",
        configuration={},
        configuration_digest="0" * 12,
        image="image:tag",
        instance_type="ml.g5.2xlarge",
        endpoint_kind="model_based",
        model=ModelInfo(model_id="m"),
        names=watched,
        invocations=[Invocation(kind="first", start_s=20.0, latency_s=0.5, ok=True)],
    )


def test_lines_that_come_late_complete_the_record(aws_session: Any, tmp_path: Path) -> None:
    watched = names()
    group = container_group(watched)
    put_events(aws_session, group, "AllTraffic/i-1", "INFO  ModelServer Starting model server ...")
    with Observer(aws_session, watched, "model_based", folder=tmp_path) as observer:
        pass
    record = record_of(watched)
    late = (
        "[phase] name=engine_warmup start=10.000000 end=12.500000 bytes=0 worker=engine",
        "INFO  PyProcess Model [model] initialized.",
    )
    timer = threading.Timer(0.3, put_events, (aws_session, group, "AllTraffic/i-1", *late))
    timer.start()
    observer.collect(record)
    timer.join()
    assert [(span.name, span.start_s, span.end_s) for span in record.spans] == [
        ("engine_warmup", 10.0, 12.5),
        ("first_response", 20.0, 20.5),
    ]


def test_nothing_is_left_running_when_the_deployment_fails(aws_session: Any, tmp_path: Path) -> None:
    before = threading.active_count()
    with (
        pytest.raises(RuntimeError, match="apply failed"),
        Observer(aws_session, names(), "model_based", folder=tmp_path) as observer,
    ):
        raise RuntimeError("apply failed")
    assert threading.active_count() == before
    assert observer.deployment.ready_s is None
    assert (tmp_path / "container.log").read_text(encoding="utf-8") == ""


def test_an_account_that_cannot_be_reached_does_not_stop_the_run(
    aws_session: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with Observer(aws_session, names(), "model_based", folder=tmp_path) as observer:
        pass
    assert observer.problems
    assert observer.usage(0.0, 1.0).cpu_seconds is None
