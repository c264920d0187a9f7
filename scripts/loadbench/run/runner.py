"""One run, from the first check to the record. Read it from top to bottom."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from loadbench.clock import SteadyClock, service_clock_problem
from loadbench.errors import PreflightError, RunError
from loadbench.load_paths import LOAD_PATHS, LoadPath
from loadbench.redaction import redacted_environment
from loadbench.results.reports import write_run_files
from loadbench.results.run_record import Pair, RunRecord
from loadbench.run import deployment
from loadbench.run.active_runs import remove_earlier
from loadbench.run.deployment_plan import (
    begin_record,
    find_weights,
    make_plan,
    model_info,
    run_optimization,
)
from loadbench.run.observe import Observer
from loadbench.run.preflight import run_checks
from loadbench.run.price_lookup import look_up_price
from loadbench.run.record_writer import RecordWriter, system_description
from loadbench.run.rehearsal import rehearse
from loadbench.run.removal.deployed_runs import deployed_by, note_deployed
from loadbench.run.removal.remove_run import remove_run
from loadbench.run.removal.undo_on_failure import Attempt, undone_on_failure
from loadbench.run.requests.answer_check import check_answers, expected_words, report_wrong_answer
from loadbench.run.requests.invoke import run_invocations
from loadbench.run.run_context import RunContext, hugging_face_token

_LOG = logging.getLogger(__name__)


def run_path(
    context: RunContext,
    load_path: LoadPath,
    *,
    pair: Pair | None = None,
    keep_on_failure: bool = False,
    beside_others: bool = False,
) -> RunRecord:
    """Deploy one load path from scratch, time it, invoke it, and leave its endpoint running.

    If anything fails after the first call that costs money, all resources are removed before the error is
    raised. With `beside_others` the caller holds the path's lock, and other runs of the path may be running.
    """
    context = dataclasses.replace(context, clock=SteadyClock())  # starts at the current time of day
    with nullcontext() if beside_others else context.path_lock(load_path):
        with context.ui.step(f"{load_path}: checks before anything is created"):
            preflight(context, load_path)
        if not beside_others:
            remove_earlier(context, load_path)
        if context.config.target == "aws" and LOAD_PATHS[load_path].optimized:
            rehearse(context, load_path)  # before the sharding job is paid for
        writer = begin(context, load_path, pair)
        with (
            _circumstances(writer, kept=keep_on_failure),
            undone_on_failure(_attempt(context, writer, keep_on_failure)),
        ):
            _run(context, load_path, writer)
        if problem := writer.record.clock_problem:
            context.ui.warn(f"{load_path}: {problem}. Its times are unreliable, so it is not compared.")
        return writer.record


def _run(context: RunContext, load_path: LoadPath, writer: RecordWriter) -> None:
    record, ui = writer.record, context.ui

    with writer.step("initialization"), ui.step(f"{load_path}: preparing the model"):
        source = find_weights(context, load_path)
        record.model = model_info(context, load_path, source)
        if record.target == "aws":  # nothing is billed on the embedded target
            record.price = look_up_price(context.account.session, record.instance_type, record.region)

    if LOAD_PATHS[load_path].optimized:
        with writer.step("optimization"), ui.step(f"{load_path}: optimization job"):
            record.optimization = run_optimization(context, record, source)
            record.names.optimization_job = record.optimization.job_name

    with writer.step("build"), ui.step(f"{load_path}: Terraform variables and plugins"):
        plan = make_plan(context, load_path, record, source)
        for name, value in redacted_environment(plan.environment).items():
            _LOG.info("container environment: %s=%s", name, value)
        terraform, variables = deployment.prepare(context, plan)
        record.system = system_description(terraform.version(), terraform.provider_version())
        if record.endpoint_kind == "inference_component":
            record.deployment.configuration_by = terraform.configuration_by()
            ui.note(f"{load_path}: endpoint configuration by {record.deployment.configuration_by}")

    observer = Observer(
        context.account.session,
        record.names,
        record.endpoint_kind,
        folder=writer.folder,
        clock=context.clock,
        secrets=[token] if (token := hugging_face_token()) else [],
        embedded=record.target == "local",
        copies=record.instance_count,
    )
    try:
        with writer.step("deployment"), ui.step(f"{load_path}: deployment"):
            terraform_clock = deployment.apply(
                context, terraform, variables, observer, has_new_role=plan.role_arn is None
            )
            record.deployment = observer.deployment.model_copy(
                update={**terraform_clock, "configuration_by": record.deployment.configuration_by}
            )
    finally:
        record.spans = observer.spans()
        for problem in observer.problems:
            ui.warn(f"not observed: {problem}")

    waited_s = record.seconds_of("deployment")
    writer.note_clock_problem(service_clock_problem(record.time_to_ready_s, waited_s))

    with writer.step("testing"), ui.step(f"{load_path}: invocations"):
        record.invocations = run_invocations(
            context.account.session,
            record.names,
            context.config.sample_input(load_path),
            context.config.benchmark.warm_invocations,
            ui.progress,
            context.clock,
        )
        expected = expected_words(context.config, load_path)
        record.answer_check = check_answers(record.invocations, expected)
        report_wrong_answer(
            record.answer_check,
            record.invocations,
            is_configured=context.config.benchmark.expected_words is not None,
            on_warning=ui.warn,
        )

    observer.collect(record)
    writer.finish("succeeded")
    write_run_files(record, writer.folder)


def preflight(context: RunContext, load_path: LoadPath) -> None:
    """Pre-flight checks, before anything costs money; warnings are shown."""
    checks = run_checks(context.config, [load_path], context.account.session, context.ui.progress)
    for check in checks:
        if check.status == "warning":
            context.ui.warn(f"{check.message.rstrip('.')}. {check.remedy}".rstrip())
    failures = [check for check in checks if check.status == "failure"]
    if failures:
        raise PreflightError(
            "; ".join(check.message for check in failures),
            remedy=" ".join(dict.fromkeys(check.remedy for check in failures if check.remedy)),
        )


def begin(context: RunContext, load_path: LoadPath, pair: Pair | None) -> RecordWriter:
    """The record and the note for removal, written before anything is created."""
    record = begin_record(context, load_path, pair)
    writer = RecordWriter(record, context.workspace.results_dir, context.clock)
    note_deployed(context.workspace, deployed_by(record))
    writer.save()
    return writer


def _attempt(context: RunContext, writer: RecordWriter, keep_on_failure: bool) -> Attempt:
    """How to undo a run: remove its resources, unless the user wants to keep them."""
    record, what = writer.record, f"the {writer.record.path} run"

    def undo() -> None:
        if keep_on_failure and record.status == "failed":
            context.ui.warn(f"kept on request: {record.names.endpoint}; remove it with `make destroy`")
            return
        with context.ui.step(f"{record.path}: removing its resources"):
            record.destroyed_s = remove_run(context, deployed_by(record))

    return Attempt(
        what=what,
        note=writer.finish,
        undo=undo,
        log_lines=lambda: _log_lines(writer),
        step=lambda: writer.current_step,
        undone="its resources were removed",
        seen_in=str(writer.folder),
        warn=context.ui.warn,
    )


def _log_lines(writer: RecordWriter) -> list[str]:
    try:
        text = (writer.folder / "container.log").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []  # no container has logged anything yet
    return text.splitlines()


@contextmanager
def _circumstances(writer: RecordWriter, *, kept: bool) -> Iterator[None]:
    """Adds to the failure of a run: after how long, in which step, whether all is removed, and the
    log's path.
    """
    try:
        yield
    except RunError as failure:
        record, log = writer.record, writer.folder / "container.log"
        seconds = (record.finished_s or record.started_s) - record.started_s
        when = f"after {seconds:.0f} s, in the step {writer.current_step}"
        failure.message = f"{record.path} failed {when}: {failure.message}"
        left = "left running on request" if kept else "all resources of the run are removed"
        lines = [*failure.details.splitlines(), f"Clean-up: {left}."]
        lines += [f"Container log: {log}"] if log.exists() else []
        failure.details = "\n".join(lines)
        failure.args = (failure.message,)
        raise
