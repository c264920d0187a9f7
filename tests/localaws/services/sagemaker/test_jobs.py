"""Optimization jobs: sharding in S3, statuses, refusals, stopping; the fast path that reads the shards."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .conftest import BUCKET, IMAGE, INSTANCE_TYPE, ROLE, Deployer


def job(
    deploy: Deployer, image: str = IMAGE, degree: str | None = "1", source: Any = None, **changes: Any
) -> str:
    name = deploy.name()
    override = {"OPTION_TENSOR_PARALLEL_DEGREE": degree} if degree else {}
    sharding = {"Image": image, "OverrideEnvironment": {**override, "OPTION_DTYPE": "fp16"}}
    request = {
        "OptimizationJobName": name,
        "RoleArn": ROLE,
        "ModelSource": source or {"S3": {"S3Uri": f"s3://{BUCKET}/standard/"}},
        "DeploymentInstanceType": INSTANCE_TYPE,
        "OptimizationConfigs": [{"ModelShardingConfig": sharding}],
        "OutputConfig": {"S3OutputLocation": f"s3://{BUCKET}/{name}/"},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
    }
    deploy.sagemaker.create_optimization_job(**{**request, **changes})
    return name


def settled(deploy: Deployer, name: str) -> dict[str, Any]:
    return deploy.settled(lambda: deploy.sagemaker.describe_optimization_job(OptimizationJobName=name))


def keys(deploy: Deployer, prefix: str) -> list[str]:
    listed = deploy.aws.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=f"{prefix}/")
    return [item["Key"].removeprefix(f"{prefix}/") for item in listed.get("Contents", [])]


def test_a_job_shards_the_model_and_a_component_streams_it_without_a_weight_on_disk(deploy: Deployer) -> None:
    name = job(deploy)
    started = deploy.sagemaker.describe_optimization_job(OptimizationJobName=name)
    assert started["OptimizationJobStatus"] in ("STARTING", "INPROGRESS")
    with pytest.raises(ClientError, match="stop it first"):
        deploy.sagemaker.delete_optimization_job(OptimizationJobName=name)

    done = settled(deploy, name)
    assert done["OptimizationJobStatus"] == "COMPLETED", done.get("FailureReason")
    assert done["OptimizationOutput"]["RecommendedInferenceImage"] == IMAGE
    assert done["CreationTime"] <= done["OptimizationStartTime"] < done["OptimizationEndTime"]
    found = keys(deploy, name)
    assert {"config.json", "tokenizer.json", "tokenizer_config.json", "serving.properties"} <= set(found)
    assert not any(key.endswith(".safetensors") for key in found)
    folders = {key.partition("/")[0] for key in found if "/" in key}
    assert len(folders) == 1
    assert folders.pop().startswith("sagemaker-fast-model-loader-")
    properties = deploy.aws.client("s3").get_object(Bucket=BUCKET, Key=f"{name}/serving.properties")
    assert set(properties["Body"].read().decode().splitlines()) == {
        "option.dtype=fp16",
        "option.load_format=sagemaker_fast_model_loader",
        "option.tensor_parallel_degree=1",
    }

    endpoint = deploy.endpoint(deploy.config(None))
    deploy.endpoint_settled(endpoint)
    component = deploy.component(endpoint, deploy.model(f"{name}/"))
    serving = deploy.component_settled(component)
    assert serving["InferenceComponentStatus"] == "InService", serving.get("FailureReason")
    standard = deploy.endpoint(deploy.config(deploy.model()))
    deploy.endpoint_settled(standard)
    assert deploy.invoke(endpoint, InferenceComponentName=component) == deploy.invoke(standard)
    instance = deploy.processes(endpoint)[0]["instance_id"]
    on_disk = [path for path in (deploy.aws.state_dir / "instances" / instance).rglob("*") if path.is_file()]
    assert {path.name for path in on_disk} >= {"config.json", "serving.properties"}
    assert not any(path.suffix in (".chunk", ".safetensors") for path in on_disk)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"image": "djl-inference:0.33.0-lmi15.0.0-cu128"}, "does not contain the fast model loader"),
        ({"degree": "max"}, "OPTION_TENSOR_PARALLEL_DEGREE is 'max'"),
        ({"degree": None}, "OPTION_TENSOR_PARALLEL_DEGREE is None"),
        ({"source": {"S3": {"S3Uri": f"s3://{BUCKET}/nothing/"}}}, "nothing"),
    ],
)
def test_a_job_that_cannot_be_done_fails_with_the_reason(
    deploy: Deployer, changes: dict[str, Any], says: str
) -> None:
    name = job(deploy, **changes)

    failed = settled(deploy, name)

    assert failed["OptimizationJobStatus"] == "FAILED"
    assert says in failed["FailureReason"]
    assert "OptimizationOutput" not in failed or failed["OptimizationOutput"] == {}


def test_a_models_own_data_is_a_source(deploy: Deployer) -> None:
    name = job(deploy, source={"SageMakerModel": {"ModelName": deploy.model()}})

    assert settled(deploy, name)["OptimizationJobStatus"] == "COMPLETED"


def test_a_job_is_stopped_and_deleted(deploy: Deployer) -> None:
    deploy.aws.apply(provision_s=30)
    name = job(deploy)

    deploy.sagemaker.stop_optimization_job(OptimizationJobName=name)

    stopped = settled(deploy, name)
    assert stopped["OptimizationJobStatus"] == "STOPPED"
    listed = deploy.sagemaker.list_optimization_jobs(StatusEquals="STOPPED", NameContains=name)
    summary = listed["OptimizationJobSummaries"][0]
    assert (summary["OptimizationJobName"], summary["OptimizationTypes"]) == (name, ["Sharding"])
    deploy.sagemaker.delete_optimization_job(OptimizationJobName=name)
    with pytest.raises(deploy.sagemaker.exceptions.ResourceNotFound):
        deploy.sagemaker.describe_optimization_job(OptimizationJobName=name)


def test_a_jobs_name_is_taken_once(deploy: Deployer) -> None:
    deploy.aws.apply(provision_s=30)
    name = job(deploy)

    with pytest.raises(deploy.sagemaker.exceptions.ResourceInUse):
        job(deploy, OptimizationJobName=name)

    deploy.sagemaker.stop_optimization_job(OptimizationJobName=name)
    settled(deploy, name)


def test_only_sharding_is_done_here(deploy: Deployer) -> None:
    quantization = {"ModelQuantizationConfig": {"Image": IMAGE}}

    with pytest.raises(ClientError, match=r"ModelQuantizationConfig of CreateOptimizationJob"):
        job(deploy, OptimizationConfigs=[quantization])


def test_the_jobs_output_is_in_its_log_group(deploy: Deployer) -> None:
    name = job(deploy)
    settled(deploy, name)

    events = deploy.aws.client("logs").filter_log_events(
        logGroupName="/aws/sagemaker/OptimizationJobs", logStreamNames=[name]
    )["events"]

    assert any(event["message"].startswith("Sharded ") for event in events)
    assert not any(event["message"].startswith("{") for event in events), json.dumps(events)
