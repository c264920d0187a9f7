"""Updates with waits and alarms, shadow variants, data capture and asynchronous inference."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .conftest import BUCKET, INSTANCE_TYPE, Deployer

CANARY = {
    "BlueGreenUpdatePolicy": {
        "TrafficRoutingConfiguration": {
            "Type": "CANARY",
            "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 50},
            "WaitIntervalInSeconds": 3,
        }
    }
}
ROLLING = {
    "RollingUpdatePolicy": {
        "MaximumBatchSize": {"Type": "CAPACITY_PERCENT", "Value": 50},
        "WaitIntervalInSeconds": 0,
    }
}


def alarm(deploy: Deployer, name: str) -> Any:
    """An alarm that stays quiet until it is set."""
    client = deploy.aws.client("cloudwatch")
    client.put_metric_alarm(
        AlarmName=name,
        Namespace="nothing",
        MetricName="nothing",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1.0,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="notBreaching",
    )
    return client


def served_by(deploy: Deployer, endpoint: str) -> str:
    """The endpoint's configuration now."""
    name: str = deploy.sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointConfigName"]
    return name


def test_a_canary_takes_some_requests_first_and_an_alarm_takes_them_back(deploy: Deployer) -> None:
    model = deploy.model()
    before, after = deploy.config(model), deploy.config(model)
    endpoint = deploy.endpoint(before)
    assert deploy.endpoint_settled(endpoint)["EndpointStatus"] == "InService"
    update = {"EndpointName": endpoint, "EndpointConfigName": after}
    cloudwatch = alarm(deploy, "errors")
    watched = {**CANARY, "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "errors"}]}}
    deploy.sagemaker.update_endpoint(**update, DeploymentConfig=watched)

    def baking() -> bool:
        answer = deploy.sagemaker.describe_endpoint(EndpointName=endpoint)
        variants = answer.get("PendingDeploymentSummary", {}).get("ProductionVariants", [])
        return any(item["VariantStatus"][0]["Status"] == "Baking" for item in variants)

    deploy.until(baking)
    assert deploy.invoke(endpoint)
    assert len(deploy.processes(endpoint)) == 2
    cloudwatch.set_alarm_state(AlarmName="errors", StateValue="ALARM", StateReason="test")
    answer = deploy.endpoint_settled(endpoint)
    assert (answer["EndpointStatus"], answer["EndpointConfigName"]) == ("InService", before)
    assert "errors" in answer["FailureReason"]
    assert len(deploy.processes(endpoint)) == 1
    cloudwatch.set_alarm_state(AlarmName="errors", StateValue="OK", StateReason="test")
    started_s = time.monotonic()
    deploy.sagemaker.update_endpoint(**update, DeploymentConfig=watched)
    assert deploy.endpoint_settled(endpoint)["EndpointStatus"] == "InService"
    # Two waits of three seconds: after the canary, and after the rest.
    assert time.monotonic() - started_s > 6
    assert served_by(deploy, endpoint) == after
    cloudwatch.delete_alarms(AlarmNames=["errors"])


@pytest.mark.slow
def test_machines_are_replaced_in_batches(deploy: Deployer) -> None:
    model = deploy.model()
    before, after = deploy.config(model, instances=2), deploy.config(model, instances=2)
    endpoint = deploy.endpoint(before)
    deploy.endpoint_settled(endpoint)
    old = {item["pid"] for item in deploy.processes(endpoint)}
    deploy.aws.apply(instance_quota=8)
    deploy.sagemaker.update_endpoint(
        EndpointName=endpoint, EndpointConfigName=after, DeploymentConfig=ROLLING
    )
    most = 0
    while deploy.sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointStatus"] == "Updating":
        most = max(most, len(deploy.processes(endpoint)))
    answer = deploy.endpoint_settled(endpoint)
    assert (answer["EndpointStatus"], answer["EndpointConfigName"]) == ("InService", after)
    new = {item["pid"] for item in deploy.processes(endpoint)}
    assert len(new) == 2 and not new & old
    assert most <= 3  # two and one of the next batch


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ({**CANARY, **ROLLING}, "not both"),
        (
            {**CANARY, "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "none"}]}},
            "none .* do not exist",
        ),
    ],
)
def test_a_policy_that_cannot_be_kept_is_refused(
    deploy: Deployer, policy: dict[str, Any], words: str
) -> None:
    config = deploy.config(deploy.model())
    with pytest.raises(ClientError, match=words):
        deploy.sagemaker.create_endpoint(
            EndpointName=deploy.name(), EndpointConfigName=config, DeploymentConfig=policy
        )


def test_variants_that_are_named_twice_are_refused(deploy: Deployer) -> None:
    endpoint = deploy.endpoint(deploy.config(deploy.model()))
    deploy.endpoint_settled(endpoint)
    twice = [{"VariantName": "AllTraffic", "DesiredWeight": weight} for weight in (1.0, 2.0)]
    with pytest.raises(ClientError, match="not unique"):
        deploy.sagemaker.update_endpoint_weights_and_capacities(
            EndpointName=endpoint, DesiredWeightsAndCapacities=twice
        )


def test_a_shadow_gets_copies_of_requests_and_what_is_captured_is_in_s3(deploy: Deployer) -> None:
    model, name = deploy.model(), deploy.name()
    variant = {"ModelName": model, "InstanceType": INSTANCE_TYPE, "InitialInstanceCount": 1}
    deploy.sagemaker.create_endpoint_config(
        EndpointConfigName=name,
        ProductionVariants=[{"VariantName": "AllTraffic", **variant}],
        ShadowProductionVariants=[{"VariantName": "shadow", **variant}],
        DataCaptureConfig={
            "EnableCapture": True,
            "InitialSamplingPercentage": 100,
            "DestinationS3Uri": f"s3://{BUCKET}/captured",
            "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
            "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"]},
        },
    )
    endpoint = deploy.endpoint(name)
    answer = deploy.endpoint_settled(endpoint)
    assert [item["VariantName"] for item in answer["ShadowProductionVariants"]] == ["shadow"]
    assert answer["DataCaptureConfig"]["CaptureStatus"] == "Started"
    body = deploy.invoke(endpoint, InferenceId="mine")
    deploy.until(lambda: [item["requests"] for item in deploy.processes(endpoint)] == [1, 1])
    s3 = deploy.aws.client("s3")
    prefix = f"captured/{endpoint}/AllTraffic/"
    deploy.until(lambda: s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix)["KeyCount"] == 1)
    (item,) = s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix)["Contents"]
    line = json.loads(s3.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read())
    assert json.loads(line["captureData"]["endpointOutput"]["data"]) == body
    assert line["captureData"]["endpointInput"]["encoding"] == "JSON"
    assert line["eventMetadata"]["inferenceId"] == "mine"
    with pytest.raises(ClientError, match="shadow not found"):
        deploy.invoke(endpoint, TargetVariant="shadow")


def test_an_asynchronous_endpoint_reads_and_writes_s3(deploy: Deployer) -> None:
    model, name = deploy.model(), deploy.name()
    variant = {"ModelName": model, "InstanceType": INSTANCE_TYPE, "InitialInstanceCount": 1}
    deploy.sagemaker.create_endpoint_config(
        EndpointConfigName=name,
        ProductionVariants=[{"VariantName": "AllTraffic", **variant}],
        AsyncInferenceConfig={
            "OutputConfig": {
                "S3OutputPath": f"s3://{BUCKET}/answers",
                "S3FailurePath": f"s3://{BUCKET}/failures",
            },
            "ClientConfig": {"MaxConcurrentInvocationsPerInstance": 2},
        },
    )
    endpoint = deploy.endpoint(name)
    assert deploy.endpoint_settled(endpoint)["EndpointStatus"] == "InService"
    with pytest.raises(ClientError, match="InvokeEndpointAsync"):
        deploy.invoke(endpoint)
    s3 = deploy.aws.client("s3")
    request = json.dumps({"inputs": "hello", "parameters": {"max_new_tokens": 2}})
    s3.put_object(Bucket=BUCKET, Key="questions/1", Body=request, ContentType="application/json")

    def ask(key: str) -> dict[str, Any]:
        answer: dict[str, Any] = deploy.runtime.invoke_endpoint_async(
            EndpointName=endpoint, InputLocation=f"s3://{BUCKET}/{key}", ContentType="application/json"
        )
        return answer

    def read(uri: str) -> Any:
        key = uri.removeprefix(f"s3://{BUCKET}/")
        deploy.until(lambda: s3.list_objects_v2(Bucket=BUCKET, Prefix=key)["KeyCount"] == 1)
        return json.loads(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())

    good, bad = ask("questions/1"), ask("questions/none")
    assert "generated_text" in str(read(good["OutputLocation"]))
    failed = read(bad["FailureLocation"])
    assert failed["inferenceId"] == bad["InferenceId"]
    assert "NoSuchKey" in failed["failureReason"]


@pytest.mark.slow
def test_components_are_replaced_in_batches_and_get_machines_of_their_own(deploy: Deployer) -> None:
    scaling = {"Status": "ENABLED", "MinInstanceCount": 1, "MaxInstanceCount": 2}
    endpoint = deploy.endpoint(deploy.config(None, ManagedInstanceScaling=scaling))
    deploy.endpoint_settled(endpoint)
    model = deploy.model()
    name = deploy.component(endpoint, model, copies=2, NumberOfAcceleratorDevicesRequired=1)
    assert deploy.component_settled(name)["InferenceComponentStatus"] == "InService"
    answer = deploy.sagemaker.describe_endpoint(EndpointName=endpoint)
    assert answer["ProductionVariants"][0]["CurrentInstanceCount"] == 2
    old = {item["pid"] for item in deploy.processes(endpoint)}
    deploy.sagemaker.update_inference_component(
        InferenceComponentName=name,
        Specification={
            "ModelName": deploy.model(),
            "ComputeResourceRequirements": {
                "MinMemoryRequiredInMb": 1024,
                "NumberOfAcceleratorDevicesRequired": 1,
            },
        },
        DeploymentConfig={
            "RollingUpdatePolicy": {
                "MaximumBatchSize": {"Type": "COPY_COUNT", "Value": 1},
                "WaitIntervalInSeconds": 0,
            }
        },
    )
    found = deploy.component_settled(name)
    assert (found["InferenceComponentStatus"], found["RuntimeConfig"]["CurrentCopyCount"]) == ("InService", 2)
    assert not old & {item["pid"] for item in deploy.processes(endpoint)}
    deploy.sagemaker.update_inference_component_runtime_config(
        InferenceComponentName=name, DesiredRuntimeConfig={"CopyCount": 1}
    )
    deploy.component_settled(name)

    def is_one() -> bool:
        shown = deploy.sagemaker.describe_endpoint(EndpointName=endpoint)["ProductionVariants"][0]
        return bool(shown["CurrentInstanceCount"] == 1)

    deploy.until(is_one)


def test_copies_of_one_model_share_its_files(deploy: Deployer) -> None:
    endpoint = deploy.endpoint(deploy.config(deploy.model(), instances=2))
    deploy.endpoint_settled(endpoint)
    folders = [
        deploy.aws.state_dir / "instances" / item["instance_id"] for item in deploy.processes(endpoint)
    ]
    first, second = (folder / "opt" / "ml" / "model" / "model.safetensors" for folder in folders)
    assert first.samefile(second)
    assert first.stat().st_mode & 0o222 == 0
