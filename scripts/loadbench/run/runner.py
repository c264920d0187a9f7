"""The order of one run. Read from top to bottom, this file is the manual."""

from __future__ import annotations

import datetime
import logging
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from loadbench.errors import (
    InterruptedRunError,
    LeftoverError,
    LoadbenchError,
    PreflightError,
    RunError,
    UsageError,
)
from loadbench.load_paths import OPTIMIZED, PATHS, PathName
from loadbench.redaction import redacted_environment
from loadbench.results.reports import write_run_files
from loadbench.results.run_index import latest, list_points
from loadbench.results.run_record import (
    ModelInfo,
    Optimization,
    Pair,
    RunRecord,
    load_record,
    new_run_id,
    record_file,
)
from loadbench.run import deployment
from loadbench.run.explain_failure import explained
from loadbench.run.instance_types import instance_specification
from loadbench.run.models import staging
from loadbench.run.naming import expiry, resource_names, resource_tags
from loadbench.run.observe import Observer
from loadbench.run.optimization.job import optimize, tensor_parallel_degree
from loadbench.run.preflight import run_checks
from loadbench.run.price_lookup import look_up_price
from loadbench.run.record_writer import Journal, close_record, system_description
from loadbench.run.requests.images import image_payload
from loadbench.run.requests.invoke import run_invocations, stream_text
from loadbench.run.run_context import Bench, hugging_face_token
from loadbench.run.terraform.render import Plan, render
from loadbench.sample_request import with_prompt

_LOG = logging.getLogger(__name__)
_MODEL_VARIABLE = "HF_MODEL_ID"
_DOWNLOAD_TIMEOUT_S = 3600


@dataclass(frozen=True)
class Source:
    """Where a path's weights come from, and what they are."""

    model: staging.LocalModel | None
    uri: str | None
    bucket: str | None


def run_path(
    bench: Bench, path: PathName, *, pair: Pair | None = None, keep_on_failure: bool = False
) -> RunRecord:
    """Deploy one path from nothing, time it, invoke it, and leave its endpoint up.

    Whatever goes wrong after the first paid call, what was created is removed before the error is raised.
    """
    with bench.path_lock(path):
        with bench.ui.step(f"{path}: checks before anything is created"):
            preflight(bench, path)
        remove_earlier(bench, path)
        journal = begin(bench, path, pair)
        try:
            _run(bench, path, journal)
        except LoadbenchError as error:
            failure = explained(error, _log_lines(journal))
            journal.fail(failure, _log_lines(journal)[-15:])
            _clean_up(bench, journal, failure.message, keep=keep_on_failure)
            raise failure from error.__cause__
        except KeyboardInterrupt as error:
            journal.finish("interrupted")
            _clean_up(bench, journal, f"the {path} run was interrupted", keep=False)
            raise InterruptedRunError(
                f"the {path} run was interrupted; what it had created was removed",
                remedy=f"What was seen until then is in {journal.folder}.",
            ) from error
        except Exception as error:
            # A defect of ours must not leave an endpoint running; the command line logs the traceback.
            defect = RunError(f"unexpected {type(error).__name__}: {error}")
            journal.fail(defect, _log_lines(journal)[-15:])
            _clean_up(bench, journal, defect.message, keep=keep_on_failure)
            raise
        return journal.record


def _run(bench: Bench, path: PathName, journal: Journal) -> None:
    record, ui = journal.record, bench.ui

    with journal.step("initialization"), ui.step(f"{path}: model in place"):
        source = find_weights(bench, path)
        record.model = _model_info(bench, path, source)
        if record.target == "aws":  # nothing is billed on the embedded target
            record.price = look_up_price(bench.account.session, record.instance_type, record.region)

    if PATHS[path].optimized:
        with journal.step("optimization"), ui.step(f"{path}: optimization job"):
            record.optimization = run_optimization(bench, record, source)
            record.names.optimization_job = record.optimization.job_name

    with journal.step("build"), ui.step(f"{path}: Terraform variables and plugins"):
        plan = make_plan(bench, path, record, source)
        for name, value in redacted_environment(plan.environment).items():
            _LOG.info("container environment: %s=%s", name, value)
        terraform, variables = deployment.prepare(bench, plan)
        record.system = system_description(terraform.version(), terraform.provider_version())

    observer = Observer(
        bench.account.session,
        record.names,
        record.endpoint_kind,
        folder=journal.folder,
        clock=bench.clock,
        secrets=[token] if (token := hugging_face_token()) else [],
        embedded=record.target == "local",
    )
    try:
        with journal.step("deployment"), ui.step(f"{path}: deployment"):
            terraform_clock = deployment.apply(bench, terraform, variables, observer)
            record.deployment = observer.deployment.model_copy(update=terraform_clock)
    finally:
        record.spans = observer.spans()
        for problem in observer.problems:
            ui.warn(f"not observed: {problem}")

    with journal.step("testing"), ui.step(f"{path}: invocations"):
        record.invocations = run_invocations(
            bench.account.session,
            record.names,
            bench.config.sample_input(path),
            bench.config.benchmark.warm_invocations,
            ui.progress,
        )

    observer.collect(record)
    journal.finish("succeeded")
    write_run_files(record, journal.folder)


def preflight(bench: Bench, path: PathName) -> None:
    """Everything that can be known to fail before anything costs money; warnings are shown."""
    checks = run_checks(bench.config, [path], bench.account.session, bench.ui.progress)
    for check in checks:
        if check.status == "warning":
            bench.ui.warn(f"{check.message.rstrip('.')}. {check.remedy}".rstrip())
    failures = [check for check in checks if check.status == "failure"]
    if failures:
        raise PreflightError(
            "; ".join(check.message for check in failures),
            remedy=" ".join(dict.fromkeys(check.remedy for check in failures if check.remedy)),
        )


def remove_earlier(bench: Bench, path: PathName) -> None:
    """One endpoint a path at a time: two cost twice, and the second one would not start cold."""
    for run_id in standing_runs(bench, path):
        with bench.ui.step(f"{path}: removing the endpoint of run {run_id}"):
            deployment.destroy_run(bench, path, run_id)
        close_record(bench.workspace.results_dir, run_id, bench.clock())


def standing_runs(bench: Bench, path: PathName) -> list[str]:
    """Run ids of one path that may still hold resources on this target, oldest first."""
    runs = bench.workspace.private_dir / "runs"
    found = []
    for folder in sorted(runs.glob(f"*-{path}-*")) if runs.is_dir() else []:
        file = record_file(bench.workspace.results_dir, folder.name)
        if not file.exists() or load_record(file).target == bench.config.target:
            found.append(folder.name)
    return found


def begin(bench: Bench, path: PathName, pair: Pair | None) -> Journal:
    """The record, written before anything is created."""
    record = begin_record(bench, path, pair)
    journal = Journal(record, bench.workspace.results_dir, bench.clock)
    bench.workspace.run_dir(record.run_id).mkdir(parents=True, mode=0o700)
    journal.save()
    return journal


def begin_record(bench: Bench, path: PathName, pair: Pair | None) -> RunRecord:
    """What is known of a run before it starts: its configuration, its resource names, its expiry."""
    config, now_s = bench.config, bench.clock()
    run_id = new_run_id(path, datetime.datetime.fromtimestamp(now_s, datetime.UTC))
    info = config.deployment(path)
    shaping = config.local.network if config.target == "local" else None
    return RunRecord(
        run_id=run_id,
        path=path,
        started_s=now_s,
        expires_at=expiry(config, now_s),
        command=bench.command,
        target=config.target,
        region=config.region,
        account_id=bench.account.account_id,
        project=config.project,
        configuration=config.model_dump(mode="json"),
        configuration_digest=config.digest,
        system={"python:loadbench": metadata.version("loadbench")},
        image=config.image(path),
        instance_type=info.instance_type,
        instance_count=info.instance_count,
        endpoint_kind=config.endpoint_kind(path),
        network=shaping.model_dump() if shaping else None,
        model=ModelInfo(model_id=info.hf_model_id, weights_from=config.weights_from(path)),
        names=resource_names(config, path, run_id),
        pair=pair,
    )


def find_weights(bench: Bench, path: PathName) -> Source:
    """A model id to a folder, a folder to S3; nothing to do where the container pulls from the hub."""
    config, ui = bench.config, bench.ui
    bucket = None
    if PATHS[path].optimized or config.weights_from(path) == "s3":
        bucket = staging.ensure_bucket(bench.account.session, config, bench.account.account_id)
    if config.weights_from(path) == "hub":
        return Source(None, None, bucket)
    token = hugging_face_token() if config.deployment(path).use_hf_token else None
    model = staging.resolve_model(
        config.deployment(path).hf_model_id, staging.cache_dir(), token, ui.progress
    )
    assert bucket is not None
    uri = staging.stage_model(bench.account.session, model, bucket, ui.progress)
    return Source(model, uri, bucket)


def run_optimization(bench: Bench, record: RunRecord, source: Source) -> Optimization:
    """The sharding job, or the shards of an earlier one with the same content key."""
    return optimize(
        bench.account.session,
        bench.config,
        model=source.model,
        source_uri=source.uri,
        bucket=source.bucket or "",
        job_name=record.names.endpoint,
        tags=resource_tags(bench.config, record.path, record.run_id, record.expires_at),
        account_id=bench.account.account_id,
        token=hugging_face_token(),
        on_progress=bench.ui.progress,
    )


def make_plan(bench: Bench, path: PathName, record: RunRecord, source: Source) -> Plan:
    """Everything that the Terraform root of a path needs to know."""
    config = bench.config
    info = config.deployment(path)
    specification = instance_specification(info.instance_type)
    degree = tensor_parallel_degree(info)
    environment = dict(info.container_env_vars)
    weights_uri = record.optimization.output_uri if record.optimization else source.uri
    if weights_uri is not None and PATHS[path].container_reads_s3:
        environment[_MODEL_VARIABLE] = weights_uri
    elif weights_uri is not None:
        # The weights are where the platform puts them (/opt/ml/model), not on the hub.
        environment.pop(_MODEL_VARIABLE, None)
    if record.optimization:
        environment["OPTION_TENSOR_PARALLEL_DEGREE"] = str(degree)  # shards are tied to it
    return Plan(
        path=path,
        run_id=record.run_id,
        region=record.region,
        project=record.project,
        names=record.names,
        image=(record.optimization and record.optimization.recommended_image) or record.image,
        environment=environment,
        model_data_uri=None if PATHS[path].container_reads_s3 else weights_uri,
        instance_type=info.instance_type,
        instance_count=info.instance_count,
        endpoint_kind=record.endpoint_kind,
        inference_ami_version=info.inference_ami_version,
        health_check_timeout_s=info.container_startup_health_check_timeout,
        download_timeout_s=_DOWNLOAD_TIMEOUT_S,
        role_arn=info.sagemaker_exec_role,
        readable_s3_uris=[uri for uri in (weights_uri,) if uri],
        use_hf_token=info.use_hf_token and weights_uri is None,
        accelerators=degree,
        min_memory_mib=specification.memory_mib // 2,
        tags=resource_tags(config, path, record.run_id, record.expires_at),
    )


def rendered_variables(bench: Bench, path: PathName) -> str:
    """The variable file that a run of `path` would use; creates nothing.

    What only a run can know, the digest of a model and the job of its shards, is put in as a word.
    """
    record, info = begin_record(bench, path, None), bench.config.deployment(path)
    bucket = staging.configured_bucket(bench.config) or "bucket"
    uri = f"s3://{bucket}/models/digest/" if record.model.weights_from == "s3" else None
    if PATHS[path].optimized:
        record.names.optimization_job = record.names.endpoint
        record.optimization = Optimization(
            job_name=record.names.endpoint,
            key="key",
            reused=False,
            instance_type=info.instance_type,
            output_uri=f"s3://{bucket}/optimized/key/{record.names.endpoint}/",
        )
    with tempfile.TemporaryDirectory() as folder:
        plan = make_plan(bench, path, record, Source(None, uri, None))
        return render(plan, Path(folder)).read_text(encoding="utf-8")


def optimize_only(bench: Bench) -> Optimization:
    """The sharding job without a deployment."""
    record = begin_record(bench, OPTIMIZED, None)
    with bench.ui.step("model in place"):
        source = find_weights(bench, OPTIMIZED)
    with bench.ui.step("optimization job"):
        return run_optimization(bench, record, source)


def standing_record(bench: Bench, path: PathName | None) -> RunRecord:
    """The record of the endpoint that is up now; UsageError when there is none."""
    for name in [path] if path else list(bench.config.paths):
        for run_id in reversed(standing_runs(bench, name)):
            record = load_record(record_file(bench.workspace.results_dir, run_id))
            if record.status == "succeeded":
                return record
    wanted = f"{path} " if path else ""
    raise UsageError(f"no {wanted}endpoint is up", remedy=f"Start one with `make {path or 'standard'}`.")


def invoke_standing(
    bench: Bench, path: PathName | None, prompt: str | None, image: str | None = None
) -> Iterator[str]:
    """The answer of the endpoint that is up, piece by piece as it is generated.

    Raises UsageError for an image that cannot be sent, and where no endpoint is up.
    """
    record = standing_record(bench, path)
    payload = bench.config.sample_input(record.path)
    if image is not None:
        payload = image_payload(image, prompt, payload)
    elif prompt is not None:
        payload = with_prompt(payload, prompt)
    yield from stream_text(bench.account.session, record.names, payload)


def latest_record(bench: Bench, path: PathName) -> RunRecord | None:
    """The newest successful run of a path under this very configuration and target, None without one."""
    results_dir = bench.workspace.results_dir
    point = latest(list_points(results_dir).points, path, bench.config.digest)
    return load_record(record_file(results_dir, point.run_id)) if point else None


def _model_info(bench: Bench, path: PathName, source: Source) -> ModelInfo:
    info = bench.config.deployment(path)
    model = source.model
    return ModelInfo(
        model_id=info.hf_model_id,
        digest=model.digest if model else None,
        size_bytes=model.size_bytes if model else None,
        dtype=info.dtype,
        weights_from=bench.config.weights_from(path),
        source_uri=source.uri,
    )


def _log_lines(journal: Journal) -> list[str]:
    try:
        text = (journal.folder / "container.log").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []  # no container has said anything yet
    return text.splitlines()


def _clean_up(bench: Bench, journal: Journal, ending: str, *, keep: bool) -> None:
    """Remove what an unfinished run has created. LeftoverError with its `ending` if that fails."""
    record = journal.record
    if keep:
        bench.ui.warn(f"kept as asked: {record.names.endpoint}; remove it with `make destroy`")
        return
    try:
        with bench.ui.step(f"{record.path}: removing what the run had created"):
            deployment.destroy_run(bench, record.path, record.run_id)
    except LoadbenchError as error:
        raise LeftoverError(
            f"{ending}\nWhat the run had created may still be there: {error.message}",
            details=error.details,
            remedy=error.remedy,
        ) from error
    record.destroyed_s = bench.clock()
    journal.save()
