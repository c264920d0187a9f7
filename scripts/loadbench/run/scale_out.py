"""Scale-out: adds one copy to an endpoint in service, the main use of fast loading. Read from top to bottom.

A copy is added, timed by the service's clock until it is in service, and removed, because it costs money.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from loadbench.clock import SteadyClock
from loadbench.errors import LeftoverError, LoadbenchError, RunError, UsageError
from loadbench.load_paths import COMPARED_LOAD_PATHS, LoadPath
from loadbench.results.costs import find_price
from loadbench.results.run_record import Failure, Pair, RunRecord, RunStatus
from loadbench.results.scale_out_record import (
    CountChange,
    ScaleOutRecord,
    new_scale_out_id,
    save_scale_out,
    scale_out_file,
)
from loadbench.run.active_runs import active_record
from loadbench.run.capacity import Count, Watch, counts_of
from loadbench.run.observe.added_copy import AddedCopy
from loadbench.run.observe.warm_layers import find_layers
from loadbench.run.removal.deployed_runs import deployed_by
from loadbench.run.removal.remove_run import remove_runs
from loadbench.run.removal.undo_on_failure import Attempt, undone_on_failure
from loadbench.run.requests.steady_load import SteadyRequests
from loadbench.run.run_context import RunContext, hugging_face_token
from loadbench.run.runner import run_path
from loadbench.run.series import new_series_id
from loadbench.run.series_plan import plan_series

_CLIENT_CONFIG = Config(retries={"mode": "standard", "max_attempts": 4})


@dataclass(frozen=True)
class ScaledRun:
    """An endpoint that got copies: its run, and the records of its scale-outs."""

    run: RunRecord
    scale_outs: list[ScaleOutRecord]


def deployed_load_paths(context: RunContext, load_paths: Sequence[LoadPath]) -> list[LoadPath]:
    """The named load paths, or all whose endpoint is running. Raises UsageError if a named one is not
    running.
    """
    up = [load_path for load_path in load_paths or context.config.paths if _is_up(context, load_path)]
    missing = [load_path for load_path in load_paths if load_path not in up]
    if missing or not up:
        what = f"no {' and no '.join(missing)} endpoint is running" if missing else "no endpoint is running"
        verbs = " and ".join(f"`make {load_path}`" for load_path in missing or COMPARED_LOAD_PATHS)
        raise UsageError(
            what,
            remedy=f"Start one with {verbs}, or use --deploy, which deploys missing endpoints and"
            f" removes them afterwards.",
        )
    return up


def cost_of_copy(context: RunContext, load_path: LoadPath) -> str:
    """Instance type and price of one more copy of a load path."""
    run = active_record(context, load_path) if _is_up(context, load_path) else None
    instance_type = run.instance_type if run else context.config.deployment(load_path).instance_type
    price = find_price(instance_type, context.config.model_dump(), run.price if run else None)
    cost = f"{price.usd_per_hour:.2f} USD per hour" if price else "price not known"
    return f"one more {instance_type} each time, {cost}"


def scale_out(
    context: RunContext, load_paths: Sequence[LoadPath], *, repeat: int = 1, keep: bool = False
) -> list[ScaledRun]:
    """Add one copy to the endpoint of each load path, `repeat` times in turn; deploys missing endpoints.

    Each copy is removed again, and so are endpoints that were deployed here, unless `keep`. Raises RunError
    with the service's reason if a copy does not start, InterruptedRunError if the user stops it; then the
    endpoint has its previous count again, otherwise LeftoverError is raised.
    """
    with _endpoints(context, load_paths, keep=keep) as runs, ExitStack() as locks:
        for path in runs:
            locks.enter_context(context.path_lock(path))
        series_id, seed = new_series_id(context), context.config.benchmark.seed
        scaled = {path: ScaledRun(run, []) for path, run in runs.items()}
        for slot in plan_series(repeat, seed, list(runs)):
            pair = Pair(series_id=series_id, index=slot.index, position=slot.position, seed=seed)
            kept = keep and slot.index == repeat - 1
            scaled[slot.path].scale_outs.append(add_copy(context, runs[slot.path], pair, keep=kept))
        return list(scaled.values())


def add_copy(context: RunContext, run: RunRecord, pair: Pair | None, *, keep: bool) -> ScaleOutRecord:
    """One scale-out, from its first call to its record; the previous count is restored at the end
    unless `keep`.
    """
    context = dataclasses.replace(context, clock=SteadyClock())  # starts at the current time of day
    counts = counts_of(context.account.session.client("sagemaker", config=_CLIENT_CONFIG), run.names)
    _take_back(context, run, counts, f"{run.path}: removing copies of an earlier scale-out")
    record = _begin(context, run, pair)
    copy = AddedCopy(context.account.session, run.names, embedded=run.target == "local")
    with undone_on_failure(_attempt(context, run, record, counts, copy)):
        with context.ui.step(f"{run.path}: adding copy {record.copies_after}"), _service_errors(run):
            _measure(context, run, record, counts, copy)
        _finish(context, record, "succeeded")
    if not keep:
        _scale_back(context, run, counts, record)
        save_scale_out(context.workspace.results_dir, record)
    return record


def _attempt(
    context: RunContext, run: RunRecord, record: ScaleOutRecord, counts: Sequence[Count], copy: AddedCopy
) -> Attempt:
    """How to undo a scale-out: remove the copy."""
    return Attempt(
        what=f"the scale-out of the {run.path} endpoint",
        note=lambda status, failure: _finish(context, record, status, failure),
        undo=lambda: _scale_back(context, run, counts, record),
        log_lines=copy.log_lines,
        step=lambda: "scale-out",
        undone=f"it has {_copies(run)} again",
        seen_in=str(scale_out_file(context.workspace.results_dir, record)),
        warn=context.ui.warn,
    )


def _measure(
    context: RunContext, run: RunRecord, record: ScaleOutRecord, counts: Sequence[Count], copy: AddedCopy
) -> None:
    """Increase every count by one, in order, while requests are sent; then read the timeline of the
    new copy.
    """
    payload = context.config.sample_input(run.path)
    requests = SteadyRequests(context.account.session, run.names, payload, context.clock)
    watch = Watch(
        clock=context.clock,
        on_status=lambda resource, status: context.ui.detail(f"{resource} {status} · {requests.words()}"),
    )
    serves = False
    try:
        with requests:
            for count in counts:
                _grow(context, record, count, watch)
        serves = True
    finally:
        record.requests = requests.answered
        record.status_history = watch.history
        copy.collect(patiently=serves)
        token = hugging_face_token()
        copy.write_log(
            scale_out_file(context.workspace.results_dir, record, ".log"), [token] if token else []
        )
        record.spans = copy.spans(record)
        record.layers = find_layers(copy.lines(), record.spans, new_endpoint=False, new_stream=True)
    for problem in copy.problems:
        context.ui.warn(f"not observed: {problem}")
    failed = [item for item in record.requests if not item.ok]
    if failed:
        share = f"{len(failed)} of {len(record.requests)}"
        context.ui.warn(f"{run.path}: {share} requests failed during the scale-out: {failed[0].error}")


def _grow(context: RunContext, record: ScaleOutRecord, count: Count, watch: Watch) -> None:
    def asked(request_s: float) -> None:
        record.changes.append(
            CountChange(
                resource=count.resource,
                before=record.copies_before,
                after=record.copies_after,
                request_s=request_s,
            )
        )
        save_scale_out(context.workspace.results_dir, record)

    ready_s = watch.change(count, record.copies_after, asked)
    record.changes[-1].ready_s = ready_s
    record.changes[-1].managed = count.follows_copies
    if count.follows_copies:
        context.ui.note(
            f"{record.path}: the service adds the instance by managed instance scaling, because"
            " UpdateEndpointWeightsAndCapacities was refused"
        )
    save_scale_out(context.workspace.results_dir, record)


def _begin(context: RunContext, run: RunRecord, pair: Pair | None) -> ScaleOutRecord:
    """The record, written before the first request."""
    now_s = context.clock()
    record = ScaleOutRecord(
        scale_out_id=new_scale_out_id(datetime.datetime.fromtimestamp(now_s, datetime.UTC)),
        run_id=run.run_id,
        path=run.path,
        started_s=now_s,
        command=context.command,
        copies_before=run.instance_count,
        copies_after=run.instance_count + 1,
        pair=pair,
    )
    save_scale_out(context.workspace.results_dir, record)
    return record


def _finish(
    context: RunContext, record: ScaleOutRecord, status: RunStatus, failure: Failure | None = None
) -> None:
    record.status, record.failure = status, failure
    record.finished_s = record.finished_s or context.clock()
    record.clock_problem = record.clock_problem or context.clock.problem()
    save_scale_out(context.workspace.results_dir, record)


def _scale_back(context: RunContext, run: RunRecord, counts: Sequence[Count], record: ScaleOutRecord) -> None:
    _take_back(context, run, counts, f"{run.path}: removing the copy")
    record.scaled_back_s = context.clock()


def _take_back(context: RunContext, run: RunRecord, counts: Sequence[Count], title: str) -> None:
    """Decrease to the count that the run deployed, after the current change has ended.

    Raises LeftoverError if something that costs money remains.
    """
    watch = Watch(
        clock=context.clock, on_status=lambda resource, status: context.ui.detail(f"{resource} {status}")
    )
    try:
        with _service_errors(run):
            readings = [count.read() for count in counts]
            if all(item.current <= run.instance_count and not item.in_progress for item in readings):
                return
            with context.ui.step(title):
                for count in reversed(counts):
                    if watch.settled(count).current > run.instance_count:
                        watch.change(count, run.instance_count)
    except UsageError:
        raise
    except (LoadbenchError, KeyboardInterrupt) as error:
        reason = error.message if isinstance(error, LoadbenchError) else "it was interrupted"
        raise LeftoverError(
            f"the endpoint {run.names.endpoint} may still have more than {_copies(run)}: {reason}",
            remedy="`make destroy` removes it with all its copies.",
        ) from error


@contextmanager
def _endpoints(
    context: RunContext, load_paths: Sequence[LoadPath], *, keep: bool
) -> Iterator[dict[LoadPath, RunRecord]]:
    """The running endpoints of these load paths; those deployed for this are removed afterwards, or
    kept on success.
    """
    kept = False
    deployed: list[RunRecord] = []
    runs: dict[LoadPath, RunRecord] = {}
    try:
        for load_path in load_paths:
            if not _is_up(context, load_path):
                deployed.append(run_path(context, load_path))
            runs[load_path] = active_record(context, load_path)
        yield runs
        kept = keep
    finally:
        if deployed and not kept:
            removed_s = remove_runs(context, [deployed_by(record) for record in deployed])
            for record in deployed:
                record.destroyed_s = removed_s[record.run_id]


def _is_up(context: RunContext, load_path: LoadPath) -> bool:
    try:
        active_record(context, load_path)
    except UsageError:
        return False
    return True


@contextmanager
def _service_errors(run: RunRecord) -> Iterator[None]:
    """Converts the service's errors. A missing endpoint is a UsageError."""
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        if "could not find" in str(error).lower():
            raise UsageError(
                f"the {run.path} endpoint {run.names.endpoint} no longer exists",
                remedy=f"Deploy it again with `make {run.path}`.",
            ) from error
        raise RunError(f"the {run.path} endpoint could not be scaled: {error}") from error


def _copies(run: RunRecord) -> str:
    return f"{run.instance_count} cop{'y' if run.instance_count == 1 else 'ies'}"
