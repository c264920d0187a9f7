"""Optimization jobs: operations, and the lifecycle of the sharding process."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from ...errors import AwsError
from ...machines.instance import DeploymentError, process_environment
from ...machines.processes import Child
from ...state.store import Document
from .containers import primary_container
from .context import Context
from .listing import listed
from .platform import Platform
from .records import Records, now
from .roles import check_role

Request = dict[str, Any]

_LOG_GROUP = "/aws/sagemaker/OptimizationJobs"
_RUNNING = ("STARTING", "INPROGRESS", "STOPPING")


def create_job(context: Context, request: Request) -> Document:
    """CreateOptimizationJob."""
    configs = request["OptimizationConfigs"]
    if len(configs) != 1 or "ModelShardingConfig" not in configs[0]:
        raise AwsError(
            "ValidationException",
            "This AWS shards models: OptimizationConfigs needs exactly one ModelShardingConfig "
            "(sharding excludes quantization, compilation and speculative decoding).",
        )
    if "Image" not in configs[0]["ModelShardingConfig"]:
        raise AwsError("ValidationException", "ModelShardingConfig needs an Image.")
    if len(request["ModelSource"]) != 1:
        raise AwsError("ValidationException", "ModelSource needs exactly one of S3 and SageMakerModel.")
    check_role(request["RoleArn"], context.platform.emulator.account_id)
    source = _source(context, request["ModelSource"])
    job = {name: value for name, value in request.items() if name != "Tags"}
    record = context.records.create(
        "optimization-job",
        request,
        {**job, "OptimizationJobStatus": "STARTING", "OptimizationTypes": ["Sharding"], "_source": source},
    )
    name = record["OptimizationJobName"]
    work = _run(context.platform, context.region, name)
    context.platform.begin(context.region, "optimization-job", name, work)
    return record


def describe_job(context: Context, request: Request) -> Document:
    """DescribeOptimizationJob."""
    return context.records.get("optimization-job", request["OptimizationJobName"])


def list_jobs(context: Context, request: Request) -> Document:
    """ListOptimizationJobs."""
    found, token = listed("optimization-job", request, context.records.all("optimization-job"))
    return {"OptimizationJobSummaries": found, "NextToken": token}


def stop_job(context: Context, request: Request) -> Document:
    """StopOptimizationJob; does nothing if the job has ended."""
    record = context.records.get("optimization-job", request["OptimizationJobName"])
    if record["OptimizationJobStatus"] in ("STARTING", "INPROGRESS"):
        record["OptimizationJobStatus"] = "STOPPING"
        context.records.save("optimization-job", record)
        name = record["OptimizationJobName"]
        context.platform.begin(
            context.region, "optimization-job-stop", name, _stop(context.platform, context.region, name)
        )
    return {}


def delete_job(context: Context, request: Request) -> Document:
    """DeleteOptimizationJob; rejected while the job runs."""
    record = context.records.get("optimization-job", request["OptimizationJobName"])
    if record["OptimizationJobStatus"] in _RUNNING:
        raise AwsError(
            "ValidationException",
            f'Cannot delete optimization job "{record["OptimizationJobArn"]}" in status '
            f"{record['OptimizationJobStatus']}; stop it first.",
        )
    context.records.remove("optimization-job", record["OptimizationJobName"])
    return {}


def end_interrupted(records: Records) -> None:
    """After a restart: fail jobs that were running, because their processes ended."""
    for record in records.all("optimization-job"):
        if record["OptimizationJobStatus"] in _RUNNING:
            _end(
                records,
                record,
                "FAILED",
                "The job was interrupted by a restart of the service; start it again.",
            )


def _source(context: Context, source: Document) -> str:
    """The model's URI, `s3://bucket/prefix/`."""
    if "SageMakerModel" in source:
        model = context.records.get("model", source["SageMakerModel"]["ModelName"])
        try:
            container = primary_container(model)
        except DeploymentError as error:
            raise AwsError("ValidationException", str(error)) from error
        uri = container.get("ModelDataSource", {}).get("S3DataSource", {}).get("S3Uri")
    else:
        uri = source["S3"].get("S3Uri")
    if not uri:
        raise AwsError("ValidationException", "The model source names no uncompressed model data in S3.")
    return uri if uri.endswith("/") else f"{uri}/"


async def _run(platform: Platform, region: str, name: str) -> None:
    """STARTING -> INPROGRESS -> COMPLETED or FAILED."""
    records, emulator = platform.records(region), platform.emulator
    record = records.get("optimization-job", name)
    instance_type = record["DeploymentInstanceType"]
    if emulator.faults.take("insufficient_capacity", instance_type=instance_type, optimization_job=name):
        reason = (
            "Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity error."
        )
        _end(records, record, "FAILED", reason)
        return
    await asyncio.sleep(emulator.settings.simulated_provision_s(instance_type))
    record |= {"OptimizationJobStatus": "INPROGRESS", "OptimizationStartTime": now()}
    records.save("optimization-job", record)
    credentials = emulator.keys.issue(f"job {name}", instance_type)
    description = {
        "source": record["_source"],
        "output": record["OutputConfig"]["S3OutputLocation"],
        **record["OptimizationConfigs"][0]["ModelShardingConfig"],
        "environment": _environment(record),
    }
    environment = process_environment(emulator, region, credentials)
    environment["LOCALAWS_OPTIMIZATION_JOB"] = json.dumps(description)
    child = Child([sys.executable, "-m", "localaws.services.sagemaker.optimization_worker"], environment)
    try:
        async with asyncio.timeout(record["StoppingCondition"].get("MaxRuntimeInSeconds")):
            tails = await asyncio.gather(
                *(_follow(platform, region, name, child, error) for error in (False, True))
            )
            status = await child.wait()
    except TimeoutError:
        record = records.get("optimization-job", name)
        _end(
            records,
            record,
            "STOPPED",
            "MaxRuntimeExceeded: the job ran longer than its StoppingCondition allows.",
        )
        return
    finally:
        child.kill()
        await child.wait()
        emulator.keys.revoke(credentials.access_key_id)
    record = records.get("optimization-job", name)
    if status == 0:
        record["OptimizationOutput"] = {"RecommendedInferenceImage": description["Image"]}
        _end(records, record, "COMPLETED", None)
    else:
        _end(records, record, "FAILED", _reason(tails[0], tails[1], status))


async def _stop(platform: Platform, region: str, name: str) -> None:
    """STOPPING -> STOPPED."""
    await platform.interrupt(region, "optimization-job", name)
    records = platform.records(region)
    record = records.get("optimization-job", name)
    if record["OptimizationJobStatus"] == "STOPPING":
        _end(records, record, "STOPPED", None)


def _end(records: Records, record: Document, status: str, reason: str | None) -> None:
    record |= {"OptimizationJobStatus": status, "OptimizationEndTime": now()}
    if reason is not None:
        record["FailureReason"] = reason[:1024]
    records.save("optimization-job", record)


def _environment(record: Document) -> dict[str, str]:
    """The environment of the job's container: the job's, then the sharding's."""
    override = record["OptimizationConfigs"][0]["ModelShardingConfig"].get("OverrideEnvironment", {})
    merged: dict[str, str] = record.get("OptimizationEnvironment", {}) | override
    return merged


async def _follow(platform: Platform, region: str, name: str, child: Child, error: bool) -> list[str]:
    """Write the job's output to CloudWatch Logs; returns the last lines."""
    tail: list[str] = []
    async for lines in child.output(error=error):
        shown = [line for line in lines if line]
        if shown:
            now_ms = int(time.time() * 1000)
            platform.emulator.logs.append(region, _LOG_GROUP, name, [(now_ms, line) for line in shown])
            tail = [*tail, *shown][-20:]
    return tail


def _reason(output: list[str], errors: list[str], status: int) -> str:
    """The worker's `{"error": …}` line, or otherwise its last output.

    Source: docs/facts/sagemaker.md#what-the-sharding-job-writes.
    """
    for line in reversed(output):
        if line.startswith('{"error"'):
            return str(json.loads(line)["error"])
    last = errors[-1] if errors else ""
    return f"AlgorithmError: the job's container ended with status {status}. {last}".strip()
