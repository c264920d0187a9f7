"""Prepares a deployment: its initial record, its weights, its shards, its Terraform variables."""

from __future__ import annotations

import datetime
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from loadbench.load_paths import LOAD_PATHS, OPTIMIZED_LOAD_PATH, LoadPath
from loadbench.redaction import redacted_document
from loadbench.results.run_record import ModelInfo, Optimization, Pair, RunRecord, new_run_id
from loadbench.run.data_cache import requested_caching
from loadbench.run.models import staging
from loadbench.run.models.checksum_wheel import checksum_wheel
from loadbench.run.models.plugin_data import stage_plugin_data
from loadbench.run.naming import expiry, resource_names, resource_tags
from loadbench.run.optimization.job import optimize, tensor_parallel_degree
from loadbench.run.removal.deployed_runs import deployed_by, forget_run, note_deployed
from loadbench.run.run_context import RunContext, hugging_face_token
from loadbench.run.start_probe.delivery import check_supported, upload_probe, with_probe
from loadbench.run.terraform.render import Plan, render

_MODEL_VARIABLE = "HF_MODEL_ID"
_DOWNLOAD_TIMEOUT_S = 3600


@dataclass(frozen=True)
class Source:
    """The weights of a load path, and where they are."""

    model: staging.LocalModel | None
    uri: str | None
    bucket: str | None
    plugin_uri: str | None = None
    """Model data without the weights, for an engine whose plug-in reads the weights."""


def begin_record(context: RunContext, load_path: LoadPath, pair: Pair | None) -> RunRecord:
    """The initial record of a run: its configuration, its resource names, its expiry."""
    config, now_s = context.config, context.clock()
    check_supported(config, load_path)
    run_id = new_run_id(load_path, datetime.datetime.fromtimestamp(now_s, datetime.UTC))
    info = config.deployment(load_path)
    shaping = config.local.network if config.target == "local" else None
    return RunRecord(
        run_id=run_id,
        path=load_path,
        started_s=now_s,
        expires_at=expiry(config, now_s),
        command=context.command,
        target=config.target,
        region=config.region,
        account_id=context.account.account_id,
        project=config.project,
        configuration=redacted_document(config.model_dump(mode="json")),
        configuration_digest=config.digest,
        system={"python:loadbench": metadata.version("loadbench")},
        image=config.image(load_path),
        instance_type=info.instance_type,
        instance_count=info.instance_count,
        endpoint_kind=config.endpoint_kind(load_path),
        network=shaping.model_dump() if shaping else None,
        model=ModelInfo(model_id=info.hf_model_id, weights_from=config.weights_from(load_path)),
        names=resource_names(config, load_path, run_id),
        pair=pair,
    )


def find_weights(context: RunContext, load_path: LoadPath) -> Source:
    """Resolve a model id to a folder and upload it to S3; does nothing if the container downloads
    from the hub.
    """
    config, ui = context.config, context.ui
    bucket = None
    if LOAD_PATHS[load_path].optimized or config.weights_from(load_path) == "s3":
        bucket = staging.ensure_bucket(context.account.session, config, context.account.account_id)
    if config.weights_from(load_path) == "hub":
        return Source(None, None, bucket)
    token = hugging_face_token() if config.deployment(load_path).use_hf_token else None
    model = staging.resolve_model(
        config.deployment(load_path).hf_model_id, staging.cache_dir(), token, ui.progress
    )
    assert bucket is not None
    uri = staging.stage_model(context.account.session, model, bucket, ui.progress)
    plugin_uri = None
    if LOAD_PATHS[load_path].weights_variable:
        wheel = checksum_wheel(staging.cache_dir(), ui.progress)
        plugin_uri = stage_plugin_data(context.account.session, model, bucket, wheel, ui.progress)
    if config.deployment(load_path).start_probe:
        upload_probe(context.account.session, plugin_uri or uri)
    return Source(model, uri, bucket, plugin_uri)


def model_info(context: RunContext, load_path: LoadPath, source: Source) -> ModelInfo:
    info = context.config.deployment(load_path)
    model = source.model
    return ModelInfo(
        model_id=info.hf_model_id,
        digest=model.digest if model else None,
        size_bytes=model.size_bytes if model else None,
        dtype=info.dtype,
        weights_from=context.config.weights_from(load_path),
        source_uri=source.uri,
    )


def run_optimization(context: RunContext, record: RunRecord, source: Source) -> Optimization:
    """The sharding job, or the shards of an earlier one with the same content key."""
    return optimize(
        context.account.session,
        context.config,
        model=source.model,
        source_uri=source.uri,
        bucket=source.bucket or "",
        job_name=record.names.endpoint,
        tags=resource_tags(context.config, record.path, record.run_id, record.expires_at),
        account_id=context.account.account_id,
        token=hugging_face_token(),
        on_progress=context.ui.progress,
    )


def make_plan(
    context: RunContext, load_path: LoadPath, record: RunRecord, source: Source, *, calls_aws: bool = True
) -> Plan:
    """The Terraform variables of a load path; without `calls_aws` as far as they are known without a call."""
    config = context.config
    info = config.deployment(load_path)
    degree = tensor_parallel_degree(info)
    environment = dict(info.container_env_vars)
    weights_uri = record.optimization.output_uri if record.optimization else source.uri
    if weights_uri is not None and LOAD_PATHS[load_path].container_reads_s3:
        environment[_MODEL_VARIABLE] = weights_uri
    elif weights_uri is not None and (variable := LOAD_PATHS[load_path].weights_variable):
        environment.pop(_MODEL_VARIABLE, None)
        environment[variable] = weights_uri
    elif weights_uri is not None:
        # SageMaker puts the weights into /opt/ml/model; they are not read from the hub.
        environment.pop(_MODEL_VARIABLE, None)
    if info.start_probe:
        environment = with_probe(environment)
    if record.optimization:
        environment["OPTION_TENSOR_PARALLEL_DEGREE"] = str(degree)  # the shards are made for this degree
    return Plan(
        path=load_path,
        run_id=record.run_id,
        region=record.region,
        project=record.project,
        names=record.names,
        image=(record.optimization and record.optimization.recommended_image) or record.image,
        environment=environment,
        model_data_uri=None if LOAD_PATHS[load_path].container_reads_s3 else source.plugin_uri or weights_uri,
        endpoint_settings=info.endpoint_settings,
        endpoint_kind=record.endpoint_kind,
        health_check_timeout_s=info.container_startup_health_check_timeout,
        download_timeout_s=_DOWNLOAD_TIMEOUT_S,
        role_arn=info.sagemaker_exec_role,
        readable_s3_uris=[uri for uri in (weights_uri, source.plugin_uri) if uri],
        use_hf_token=info.use_hf_token and weights_uri is None,
        accelerators=degree,
        enable_caching=requested_caching(
            context.account.session, record.endpoint_kind, asks_schema=calls_aws
        ),
        tags=resource_tags(config, load_path, record.run_id, record.expires_at),
    )


def rendered_variables(context: RunContext, load_path: LoadPath) -> str:
    """The variable file that a run of `path` would use; creates nothing.

    Values that only a run can know (the model's digest, the name of the sharding job) are placeholders.
    """
    record, info = begin_record(context, load_path, None), context.config.deployment(load_path)
    bucket = staging.configured_bucket(context.config) or "bucket"
    uri = f"s3://{bucket}/models/digest/" if record.model.weights_from == "s3" else None
    if LOAD_PATHS[load_path].optimized:
        record.names.optimization_job = record.names.endpoint
        record.optimization = Optimization(
            job_name=record.names.endpoint,
            key="key",
            reused=False,
            instance_type=info.instance_type,
            output_uri=f"s3://{bucket}/optimized/key/{record.names.endpoint}/",
        )
    with tempfile.TemporaryDirectory() as folder:
        reads_by_plugin = uri is not None and LOAD_PATHS[load_path].weights_variable
        plugin_uri = f"s3://{bucket}/models/digest-plugin/" if reads_by_plugin else None
        source = Source(None, uri, None, plugin_uri)
        plan = make_plan(context, load_path, record, source, calls_aws=False)
        return render(plan, Path(folder)).read_text(encoding="utf-8")


def optimize_only(context: RunContext) -> Optimization:
    """The sharding job without a deployment."""
    record = begin_record(context, OPTIMIZED_LOAD_PATH, None)
    with context.ui.step("preparing the model"):
        source = find_weights(context, OPTIMIZED_LOAD_PATH)
    # Recorded like a run, so that `make destroy` stops the job if this process is killed.
    note_deployed(context.workspace, deployed_by(record))
    with context.ui.step("optimization job"):
        done = run_optimization(context, record, source)
    forget_run(context.workspace, record.run_id, context.clock())
    return done
