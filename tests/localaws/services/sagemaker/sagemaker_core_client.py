"""What a user of sagemaker-core would write: an optimization job, and its result served as a component.

Arguments: image, role, bucket that holds the model under `standard/`, instance type, a name for everything.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError
from sagemaker.core import shapes
from sagemaker.core.resources import Endpoint, EndpointConfig, InferenceComponent, Model, OptimizationJob

image, role, bucket, instance_type, name = sys.argv[1:]

sharding = shapes.ModelShardingConfig(
    image=image, override_environment={"OPTION_TENSOR_PARALLEL_DEGREE": "1"}
)
source = shapes.OptimizationJobModelSourceS3(s3_uri=f"s3://{bucket}/standard/")
job = OptimizationJob.create(
    optimization_job_name=name,
    role_arn=role,
    deployment_instance_type=instance_type,
    model_source=shapes.OptimizationJobModelSource(s3=source),
    optimization_configs=[shapes.OptimizationConfig(model_sharding_config=sharding)],
    output_config=shapes.OptimizationJobOutputConfig(s3_output_location=f"s3://{bucket}/{name}/"),
    stopping_condition=shapes.StoppingCondition(max_runtime_in_seconds=600),
)
job.wait(poll=1)
assert job.optimization_job_status == "COMPLETED", job

data = shapes.S3ModelDataSource(
    s3_uri=f"s3://{bucket}/{name}/", s3_data_type="S3Prefix", compression_type="None"
)
container = shapes.ContainerDefinition(
    image=image, model_data_source=shapes.ModelDataSource(s3_data_source=data)
)
model = Model.create(model_name=name, execution_role_arn=role, primary_container=container)
variant = shapes.ProductionVariant(
    variant_name="AllTraffic", instance_type=instance_type, initial_instance_count=1
)
config = EndpointConfig.create(
    endpoint_config_name=name, execution_role_arn=role, production_variants=[variant]
)
endpoint = Endpoint.create(endpoint_name=name, endpoint_config_name=name)
endpoint.wait_for_status("InService", poll=1)
needs = shapes.InferenceComponentComputeResourceRequirements(
    min_memory_required_in_mb=1024, number_of_accelerator_devices_required=1
)
specification = shapes.InferenceComponentSpecification(model_name=name, compute_resource_requirements=needs)
component = InferenceComponent.create(
    inference_component_name=name,
    endpoint_name=name,
    variant_name="AllTraffic",
    specification=shapes.InferenceComponentSpecification(
        model_name=name, compute_resource_requirements=needs
    ),
    runtime_config=shapes.InferenceComponentRuntimeConfig(copy_count=1),
)
component.wait_for_status("InService", poll=1)
assert InferenceComponent.get(inference_component_name=name).inference_component_status == "InService"
answer = endpoint.invoke(
    body=json.dumps({"inputs": "hello"}), content_type="application/json", inference_component_name=name
)
assert "generated_text" in json.loads(answer.body.read())
assert [item.endpoint_name for item in Endpoint.get_all(name_contains=name)] == [name]

component.delete()
component.wait_for_delete(poll=1)
endpoint.delete()
endpoint.wait_for_delete(poll=1)
config.delete()
model.delete()
job.delete()
gone: list[Callable[[], Any]] = [
    lambda: Endpoint.get(endpoint_name=name),
    lambda: Model.get(model_name=name),
    lambda: OptimizationJob.get(optimization_job_name=name),
]
for get in gone:
    try:
        get()
    except ClientError as error:
        assert "Could not find" in str(error)
    else:
        raise AssertionError("still there")
print("all done")
