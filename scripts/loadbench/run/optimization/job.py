"""The sharding job: starts it, follows it, and reuses the shards of an earlier job with the same content.

Layout under the bucket: `optimized/<key>/complete.json` (the marker) names the output of the job that made
the shards, `optimized/<key>/<job>/`. Every job has its own folder, so that the output of a failed
or concurrent job does not mix with it.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import ValidationError

from loadbench.config import Config, DeploymentInfo
from loadbench.errors import ConfigError, RunError
from loadbench.instance_types import instance_specification
from loadbench.load_paths import OPTIMIZED_LOAD_PATH
from loadbench.progress import OnProgress, Progress, ignore_progress
from loadbench.results.run_record import Optimization
from loadbench.run.explain_failure import explained
from loadbench.run.models.resolve import LocalModel
from loadbench.run.models.upload import list_sizes
from loadbench.run.new_role import repeat_for_new_role
from loadbench.run.optimization import hub_source, job_role
from loadbench.run.optimization.job_log import read_job_log

SHARDS_FOLDER = "sagemaker-fast-model-loader-"
DEGREE_VARIABLE = "OPTION_TENSOR_PARALLEL_DEGREE"

_MAX_RUNTIME_S = 6 * 3600
_MAX_ENVIRONMENT = 25  # OptimizationJobEnvironmentVariables in the service model
# Variables that the job ignores, or must not get twice.
_NOT_FOR_THE_JOB = {"HF_MODEL_ID", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN"}


@dataclass(frozen=True)
class _Source:
    """The model to shard: its URI, a digest of its weights, variables that only the job needs, its size."""

    uri: str
    digest: str
    environment: Mapping[str, str]
    size_bytes: int | None


def optimize(
    session: Any,
    config: Config,
    *,
    model: LocalModel | None,
    source_uri: str | None,
    bucket: str,
    job_name: str,
    tags: Mapping[str, str],
    account_id: str,
    token: str | None = None,
    on_progress: OnProgress = ignore_progress,
    clock: Callable[[], float] = time.time,
) -> Optimization:
    """Shards of the optimized path's model in S3, from a new job or an earlier one with the same key.

    `model` and `source_uri` are given if the weights are staged in S3, and None if the job's container
    downloads them from the hub. The role is the configured one, or one created for this job and removed after
    it. Raises ConfigError for an invalid degree, RunError with the service's reason if the job fails.
    """
    info = config.fast_model_loading_info
    instance = info.optimization_instance_type or info.instance_type
    degree = tensor_parallel_degree(info)
    s3 = session.client("s3")
    source = _find_source(session, info, model, source_uri, bucket, token)
    dtype = info.container_env_vars.get("OPTION_DTYPE", model.dtype if model else "auto")
    key = content_key(source.digest, degree, dtype, config.image(OPTIMIZED_LOAD_PATH))
    marker_key = f"optimized/{key}/complete.json"
    if (earlier := _completed(s3, bucket, marker_key)) is not None:
        return earlier.model_copy(update={"reused": True})

    request = {
        "optimization_job_name": job_name,
        "model_source": {"s3": {"s3_uri": source.uri}},
        "deployment_instance_type": instance,
        "optimization_configs": [
            {
                "model_sharding_config": {
                    "image": config.image(OPTIMIZED_LOAD_PATH),
                    "override_environment": _environment(info, degree, source),
                }
            }
        ],
        # Without a slash at the end, as in AWS's samples.
        "output_config": {"s3_output_location": f"s3://{bucket}/optimized/{key}/{job_name}"},
        "stopping_condition": {"max_runtime_in_seconds": _MAX_RUNTIME_S},
        "tags": [{"key": name, "value": value} for name, value in tags.items()],
    }
    prefix = f"optimized/{key}/{job_name}/"

    def written_bytes() -> int:
        return sum(list_sizes(s3, bucket, prefix).values())

    role = job_role.provide(session, info.sagemaker_exec_role, bucket, account_id, job_name, tags)
    with role as role_arn:
        is_new_role = info.sagemaker_exec_role is None
        follow = _Follower(job_name, source.size_bytes, written_bytes, on_progress, clock, is_new_role)
        try:
            job = _run_job(session, config.region, {**request, "role_arn": role_arn}, follow)
        except RunError as error:
            raise _without(token, error) from error.__cause__
    written = _written(session, bucket, prefix, job_name)
    done = Optimization(
        job_name=job_name,
        key=key,
        reused=False,
        seconds=job.ended_s - job.created_s,
        instance_type=instance,
        output_uri=f"s3://{bucket}/{written.prefix}",
        shards_bytes=written.shards_bytes,
        started_s=job.created_s,
        ended_s=job.ended_s,
        recommended_image=job.recommended_image,
    )
    s3.put_object(Bucket=bucket, Key=marker_key, Body=done.model_dump_json(indent=2).encode())
    return done


def tensor_parallel_degree(deployment: DeploymentInfo) -> int:
    """The number of ranks that `OPTION_TENSOR_PARALLEL_DEGREE` means on the section's instance type.

    `max`, and no value, mean every accelerator, as in djl-serving; the optimization job accepts only numbers.
    vLLM's own server has another name for it, and 1 as its default. Raises ConfigError for other values.
    """
    variables = deployment.container_env_vars
    unless_said = "1" if any(name.startswith("SM_VLLM_") for name in variables) else "max"
    written = variables.get(
        DEGREE_VARIABLE, variables.get("SM_VLLM_TENSOR_PARALLEL_SIZE", unless_said)
    ).strip()
    if written.isascii() and written.isdigit() and int(written) > 0:
        return int(written)
    if written.lower() != "max":
        raise ConfigError(f"{DEGREE_VARIABLE} is {written!r}", remedy="Write max or a whole number from 1.")
    return instance_specification(deployment.instance_type).accelerators


def content_key(digest: str, degree: int, dtype: str, image: str) -> str:
    """The key of shards: weights, tensor-parallel degree, pipeline degree (1 here), dtype, image.

    The image determines the versions of vLLM and Python, on which the shards depend as well.
    """
    parts = json.dumps([digest, degree, 1, dtype, image])
    return hashlib.sha256(parts.encode()).hexdigest()[:32]


def _find_source(
    session: Any,
    info: DeploymentInfo,
    model: LocalModel | None,
    source_uri: str | None,
    bucket: str,
    token: str | None,
) -> _Source:
    if model is not None and source_uri is not None:
        return _Source(source_uri, model.digest, {}, model.size_bytes)
    uri, digest = hub_source.stage_metadata(session, info.hf_model_id, bucket, token)
    environment = {"HF_MODEL_ID": info.hf_model_id}
    if token and info.use_hf_token:
        environment["HUGGING_FACE_HUB_TOKEN"] = token  # the job's container downloads the weights itself
    return _Source(uri, digest, environment, None)


def _without(secret: str | None, error: RunError) -> RunError:
    """Mask secrets: the service's refusal quotes the request, including its environment."""
    if secret is None:
        return error
    words = (text.replace(secret, "[redacted]") for text in (error.message, error.remedy, error.details))
    message, remedy, details = words
    return RunError(message, remedy=remedy, details=details)


def _environment(info: DeploymentInfo, degree: int, source: _Source) -> dict[str, str]:
    given = {name: value for name, value in info.container_env_vars.items() if name not in _NOT_FOR_THE_JOB}
    environment = {**given, DEGREE_VARIABLE: str(degree), **source.environment}
    if len(environment) > _MAX_ENVIRONMENT:
        raise ConfigError(
            f"an optimization job accepts at most {_MAX_ENVIRONMENT} variables, not {len(environment)}",
            remedy="Remove variables that sharding does not need from container_env_vars.",
        )
    return environment


def _completed(s3: Any, bucket: str, marker_key: str) -> Optimization | None:
    """The earlier job's result if its output still exists, None otherwise."""
    try:
        document = s3.get_object(Bucket=bucket, Key=marker_key)["Body"].read()
    except ClientError as error:
        if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
            return None
        raise RunError(
            f"could not read s3://{bucket}/{marker_key}: {error}", remedy="Check access to the bucket."
        ) from error
    try:
        earlier = Optimization.model_validate_json(document)
    except ValidationError:  # written by another version of this tool: the shards are made again
        return None
    place = earlier.output_uri.removeprefix(f"s3://{bucket}/")
    present_bytes = _sum_of_shards(list_sizes(s3, bucket, place))
    return earlier if present_bytes and present_bytes == earlier.shards_bytes else None


@dataclass(frozen=True)
class _Written:
    """What a job wrote: the prefix that holds the folder of shards, and their size."""

    prefix: str
    shards_bytes: int


def _written(session: Any, bucket: str, prefix: str, job_name: str) -> _Written:
    """The job's output, wherever it is below `prefix`: the exact layout is not documented."""
    sizes = list_sizes(session.client("s3"), bucket, prefix)
    size_bytes = _sum_of_shards(sizes)
    if not size_bytes:
        log = read_job_log(session, job_name)
        raise explained(
            RunError(
                f"the optimization job {job_name} completed but left no {SHARDS_FOLDER}* folder in"
                f" s3://{bucket}/{prefix}",
                remedy=f"Read the job's log ({log.where()}); check that the image supports sharding.",
            ),
            log.lines,
        )
    first = next(key for key in sizes if f"/{SHARDS_FOLDER}" in key)
    return _Written(f"{first.partition(f'/{SHARDS_FOLDER}')[0]}/", size_bytes)


def _sum_of_shards(sizes: Mapping[str, int]) -> int:
    return sum(size_bytes for key, size_bytes in sizes.items() if f"/{SHARDS_FOLDER}" in key)


@dataclass(frozen=True)
class _FinishedJob:
    created_s: float
    ended_s: float
    recommended_image: str | None


def _run_job(session: Any, region: str, request: dict[str, Any], follow: _Follower) -> _FinishedJob:
    # Imported late: the SDK takes seconds to import, and shards are mostly reused.
    from sagemaker.core.resources import OptimizationJob

    try:
        job = _create(OptimizationJob, request, session, region, follow)
        try:
            follow.until_done(job)
        except BaseException:  # whatever ends the waiting, the job must not continue to cost money
            _stop(job)
            raise
    except (ClientError, BotoCoreError) as error:
        raise explained(
            RunError(f"the optimization job {follow.job_name} could not be run: {error}")
        ) from error
    status = job.optimization_job_status
    if status != "COMPLETED":
        reason = str(job.failure_reason or "") or "the service gave no reason"
        log = read_job_log(session, follow.job_name)
        raise explained(
            RunError(
                f"the optimization job {follow.job_name} is {status}: {reason}",
                details=f"Its log: {log.where()}",
            ),
            log.lines,
        )
    image = job.optimization_output.recommended_inference_image if job.optimization_output else None
    return _FinishedJob(
        created_s=job.creation_time.timestamp(),
        ended_s=(job.optimization_end_time or job.last_modified_time).timestamp(),
        recommended_image=str(image) if image else None,
    )


def _create(job_class: Any, request: dict[str, Any], session: Any, region: str, follow: _Follower) -> Any:
    return repeat_for_new_role(
        lambda: job_class.create(**request, session=session, region=region),
        lambda words: follow.on_progress(Progress(words)),
        may_repeat=lambda: follow.is_new_role,
    )


def _stop(job: Any) -> None:
    try:
        job.refresh()
        if job.optimization_job_status in ("STARTING", "INPROGRESS"):
            job.stop()
    except ClientError:
        return  # it ended between the two calls, or cleanup finds it by its tags


@dataclass(frozen=True)
class _Follower:
    """Waits for a job and reports its progress."""

    job_name: str
    total_bytes: int | None
    written_bytes: Callable[[], int]
    on_progress: OnProgress
    clock: Callable[[], float]
    is_new_role: bool = False

    def until_done(self, job: Any) -> None:
        """Poll until the job has ended: first after 0.2 s, then at intervals of 2 % of the time
        waited, at most 10 s.
        """
        started_s = self.clock()
        while job.optimization_job_status not in ("COMPLETED", "FAILED", "STOPPED"):
            label = f"optimization job {job.optimization_job_status.lower()}"
            self.on_progress(Progress(label, self.written_bytes(), self.total_bytes, "bytes"))
            time.sleep(min(max(0.2, 0.02 * (self.clock() - started_s)), 10))
            job.refresh()
