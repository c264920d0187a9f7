"""`loadbench observe`: watches an endpoint that is created, updated or scaled, until it is in service.

Read-only. If the user stops it, everything observed so far is kept.
"""

from __future__ import annotations

import datetime
import math
import time
from typing import Any

from botocore.config import Config

from loadbench.errors import InterruptedRunError, NotFoundError, RunError, UsageError
from loadbench.results.reports import write_run_files
from loadbench.results.run_record import Failure, RunRecord, new_run_id, record_file, save_record
from loadbench.results.scale_out_record import CountChange, ScaleOutRecord
from loadbench.run.capacity import Copies, Instances, Reading
from loadbench.run.existing.description import Description, Place, describe, new_record
from loadbench.run.observe import Observer
from loadbench.run.observe.added_copy import AddedCopy
from loadbench.run.observe.engines import starts
from loadbench.run.observe.probe_lines import find_probe
from loadbench.run.observe.readiness import find_readiness
from loadbench.run.observe.spans import find_restarts
from loadbench.run.observe.warm_layers import find_layers
from loadbench.run.polling import STATE_CHANGE_TIMEOUT_S, STATUS_INTERVAL_S
from loadbench.run.run_context import RunContext

_CLIENT_CONFIG = Config(retries={"mode": "standard", "max_attempts": 8})


def observe_endpoint(
    context: RunContext, endpoint: str, component: str | None, wait_s: float = STATE_CHANGE_TIMEOUT_S
) -> RunRecord:
    """Watch one start until it ends and write its record.

    An endpoint that is starting is watched until it is in service; one in service until it is scaled or
    updated. Raises UsageError if nothing happens within `wait_s`, RunError with the service's reason if the
    start fails, InterruptedRunError if the user stops it; the record is written in all cases but the first.
    """
    client = context.account.session.client("sagemaker", config=_CLIENT_CONFIG)
    description = _found(context, client, endpoint, component, wait_s)
    account = context.account
    place = Place(account.target, account.region, account.account_id, context.command)
    now_s = context.clock()
    path = description.names.inference_component or description.names.endpoint
    run_id = new_run_id(path, datetime.datetime.fromtimestamp(now_s, datetime.UTC))
    record = new_record(description, place, "observed", run_id, now_s)
    if description.status in ("Creating", "Failed"):
        return _creation(context, client, description, record, wait_s)
    return _change(context, client, description, record, wait_s)


def _found(
    context: RunContext, client: Any, endpoint: str, component: str | None, wait_s: float
) -> Description:
    """The endpoint's description; waits until the endpoint exists."""
    deadline_s = time.monotonic() + wait_s
    with context.ui.step(f"{endpoint}: waiting until it exists"):
        while True:
            try:
                return describe(client, endpoint, component)
            except NotFoundError:
                if time.monotonic() >= deadline_s:
                    raise
            time.sleep(STATUS_INTERVAL_S)


def _creation(
    context: RunContext, client: Any, description: Description, record: RunRecord, wait_s: float
) -> RunRecord:
    """The first start: from the resource's creation until it is in service."""
    folder = record_file(context.workspace.results_dir, record.run_id).parent
    endpoint_was_up = _endpoint_serves(client, description)
    observer = Observer(
        context.account.session,
        description.names,
        description.kind,
        folder=folder,
        clock=context.clock,
        embedded=record.target == "local",
    )
    try:
        with context.ui.step(f"{record.path}: {description.status}, observing"), observer:
            _until_ready(observer, wait_s)
    except KeyboardInterrupt as error:
        raise _kept(context, record, observer, description, endpoint_was_up) from error
    _collect(observer, record, description, endpoint_was_up)
    if reason := observer.failure_reason:
        record.status = "failed"
        record.failure = Failure(step="deployment", message=reason, log_lines=observer.log_lines()[-15:])
        _save(context, record)
        raise RunError(f"{record.path} failed: {reason}", remedy=f"Everything observed is in {folder}.")
    record.status = "succeeded"
    record.cause = "created"
    for problem in observer.problems:
        context.ui.warn(f"not observed: {problem}")
    return _save(context, record)


def _endpoint_serves(client: Any, description: Description) -> bool:
    answer = client.describe_endpoint(EndpointName=description.names.endpoint)
    return description.names.inference_component is not None and answer["EndpointStatus"] == "InService"


def _until_ready(observer: Observer, wait_s: float) -> None:
    deadline_s = time.monotonic() + wait_s
    while observer.deployment.ready_s is None and observer.failure_reason is None:
        if time.monotonic() >= deadline_s:
            raise RunError("not in service after the longest possible health check timeout")
        time.sleep(STATUS_INTERVAL_S)


def _collect(observer: Observer, record: RunRecord, description: Description, endpoint_was_up: bool) -> None:
    record.deployment = observer.deployment
    record.deployment.request_source = "the endpoint's CreationTime"
    if endpoint_was_up:
        # The endpoint was in service before: this start began with its component.
        record.deployment.request_s = description.created_s
        record.deployment.request_source = "the component's CreationTime"
    observer.collect(record)
    record.layers = find_layers(
        observer.container_lines(), record.spans, new_endpoint=not endpoint_was_up, new_stream=True
    )


def _kept(
    context: RunContext,
    record: RunRecord,
    observer: Observer,
    description: Description,
    endpoint_was_up: bool,
) -> InterruptedRunError:
    record.status = "interrupted"
    _collect(observer, record, description, endpoint_was_up)
    _save(context, record)
    return _stopped(context, record)


def _stopped(context: RunContext, record: RunRecord) -> InterruptedRunError:
    folder = record_file(context.workspace.results_dir, record.run_id).parent
    return InterruptedRunError(
        f"stopped observing {record.path}; the endpoint was not changed",
        remedy=f"Everything observed is in {folder}.",
    )


def _change(
    context: RunContext, client: Any, description: Description, record: RunRecord, wait_s: float
) -> RunRecord:
    """A change of an existing endpoint: from the request until the new copy is in service."""
    component = description.names.inference_component
    count = Copies(client, component) if component else Instances(client, description.names.endpoint)
    reading = count.read()
    before = reading.current
    copy = AddedCopy(
        context.account.session,
        description.names,
        embedded=record.target == "local",
        since_s=reading.modified_s if reading.in_progress else math.inf,
    )
    with context.ui.step(f"{record.path}: {reading.status} with {before}, waiting until it is scaled"):
        began = _next(count, lambda reading: reading.in_progress or reading.current > before, wait_s)
    change = CountChange(resource=count.resource, before=before, after=before + 1, request_s=began.modified_s)
    try:
        with context.ui.step(f"{record.path}: {began.status}, observing"):
            ended = _next(count, lambda reading: not reading.in_progress, STATE_CHANGE_TIMEOUT_S)
        change = change.model_copy(update={"after": ended.current, "ready_s": ended.modified_s})
        copy.collect(patiently=ended.current > before)
        # An update replaces copies, and their number stays the same.
        added = ended.current > before or starts.logged_ready(copy.lines())
        record.status = "succeeded" if added else "failed"
    except KeyboardInterrupt:
        copy.collect(patiently=False)
        record.status = "interrupted"
    _fill(record, copy, change, context)
    folder = record_file(context.workspace.results_dir, record.run_id).parent
    copy.write_log(folder / "container.log", [])
    _save(context, record)
    for problem in copy.problems:
        context.ui.warn(f"not observed: {problem}")
    if record.status == "interrupted":
        raise _stopped(context, record)
    if record.status == "failed":
        reason = f": {ended.failure_reason}" if ended.failure_reason else ""
        raise RunError(
            f"{record.path} changed, but no copy was added{reason}", remedy="Nothing was measured."
        )
    return record


def _fill(record: RunRecord, copy: AddedCopy, change: CountChange, context: RunContext) -> None:
    """Complete the record of a change."""
    scale_out = ScaleOutRecord(
        scale_out_id=record.run_id,
        run_id=record.run_id,
        path=record.path,
        started_s=record.started_s,
        command=record.command,
        copies_before=change.before,
        copies_after=change.after,
        changes=[change],
    )
    record.spans = copy.spans(scale_out)
    record.deployment.request_s, record.deployment.ready_s = scale_out.request_s, scale_out.ready_s
    record.deployment.request_source = "LastModifiedTime when the change was first observed"
    lines = copy.lines()
    record.restarts = find_restarts(lines)
    record.start_probe = find_probe(lines)
    record.readiness = find_readiness(lines)
    record.layers = find_layers(lines, record.spans, new_endpoint=False, new_stream=True)
    record.cause = "scaled or updated"


def _next(count: Copies | Instances, wanted: Any, wait_s: float) -> Reading:
    deadline_s = time.monotonic() + wait_s
    while not wanted(reading := count.read()):
        if time.monotonic() >= deadline_s:
            raise UsageError(
                "nothing was created, updated or scaled in that time",
                remedy="Start `loadbench observe` before the change, or read past starts with "
                "`loadbench import`.",
            )
        time.sleep(STATUS_INTERVAL_S)
    return reading


def _save(context: RunContext, record: RunRecord) -> RunRecord:
    record.finished_s = context.clock()
    save_record(context.workspace.results_dir, record)
    write_run_files(record, context.workspace.results_dir / record.run_id)
    return record
