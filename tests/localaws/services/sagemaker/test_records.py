"""Models, endpoint configurations and tags: names, lists, pages, refusals, through boto3."""

from __future__ import annotations

import time

import boto3
import pytest
from botocore.exceptions import ClientError

from ...conftest import EmbeddedAws
from .conftest import IMAGE, INSTANCE_TYPE, ROLE, Deployer


def refusal(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, str]:
    described = error.value.response["Error"]
    return described["Code"], described["Message"]


def test_a_model_is_described_as_it_was_created(deploy: Deployer) -> None:
    name = deploy.model(OPTION_DTYPE="fp16", EMOJI='☕ ${x} "quoted"\n')

    model = deploy.sagemaker.describe_model(ModelName=name)

    assert model["ModelArn"] == f"arn:aws:sagemaker:us-east-1:123456789012:model/{name}"
    assert model["ExecutionRoleArn"] == ROLE
    assert model["EnableNetworkIsolation"] is False
    container = model["PrimaryContainer"]
    assert container["Image"] == IMAGE
    assert container["Environment"] == {"OPTION_DTYPE": "fp16", "EMOJI": '☕ ${x} "quoted"\n'}
    assert abs(model["CreationTime"].timestamp() - time.time()) < 60


def test_a_name_is_taken_once(deploy: Deployer) -> None:
    name = deploy.model()

    with pytest.raises(ClientError) as error:
        deploy.sagemaker.create_model(
            ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer={"Image": IMAGE}
        )

    code, message = refusal(error)
    assert code == "ValidationException"
    assert message.startswith("Cannot create already existing model")


@pytest.mark.parametrize(
    ("operation", "member", "what"),
    [
        ("describe_model", "ModelName", "model"),
        ("delete_model", "ModelName", "model"),
        ("describe_endpoint_config", "EndpointConfigName", "endpoint configuration"),
        ("delete_endpoint_config", "EndpointConfigName", "endpoint configuration"),
        ("describe_endpoint", "EndpointName", "endpoint"),
        ("delete_endpoint", "EndpointName", "endpoint"),
        ("describe_inference_component", "InferenceComponentName", "inference component"),
        ("delete_inference_component", "InferenceComponentName", "inference component"),
    ],
)
def test_what_does_not_exist_is_said_in_awss_words(
    deploy: Deployer, operation: str, member: str, what: str
) -> None:
    with pytest.raises(ClientError) as error:
        getattr(deploy.sagemaker, operation)(**{member: "absent"})

    code, message = refusal(error)
    assert code == "ValidationException"
    assert message.startswith(f'Could not find {what} "arn:aws:sagemaker:us-east-1:123456789012:')


def test_an_optimization_job_that_does_not_exist_raises_the_typed_exception(deploy: Deployer) -> None:
    with pytest.raises(deploy.sagemaker.exceptions.ResourceNotFound):
        deploy.sagemaker.describe_optimization_job(OptimizationJobName="absent")


def test_a_configuration_needs_its_model_or_a_role(deploy: Deployer) -> None:
    variant = {"VariantName": "v", "InstanceType": INSTANCE_TYPE, "InitialInstanceCount": 1}

    with pytest.raises(ClientError, match="Could not find model"):
        deploy.sagemaker.create_endpoint_config(
            EndpointConfigName="x", ProductionVariants=[{**variant, "ModelName": "absent"}]
        )
    with pytest.raises(ClientError, match="ExecutionRoleArn"):
        deploy.sagemaker.create_endpoint_config(EndpointConfigName="x", ProductionVariants=[variant])


def test_every_broken_constraint_of_a_request_is_listed(deploy: Deployer) -> None:
    client = deploy.aws.client("sagemaker", parameter_validation=False)

    with pytest.raises(ClientError) as error:
        client.create_endpoint_config(
            EndpointConfigName="not a name",
            ProductionVariants=[{"InstanceType": "ml.none", "InitialInstanceCount": 0}],
        )

    code, message = refusal(error)
    assert code == "ValidationException"
    assert message.startswith("4 validation errors detected: ")
    for path in (
        "Value 'not a name' at 'endpointConfigName'",
        "Value null at 'productionVariants.1.member.variantName'",
        "Value 'ml.none' at 'productionVariants.1.member.instanceType'",
        "Value '0' at 'productionVariants.1.member.initialInstanceCount'",
    ):
        assert path in message


def test_pages_hold_every_model_once_in_the_order_asked_for(own_aws: EmbeddedAws) -> None:
    client, role = own_aws.client("sagemaker"), own_aws.make_role("pages")
    names = [f"page-{number:02}" for number in range(23)]
    for name in names:
        client.create_model(ModelName=name, ExecutionRoleArn=role, PrimaryContainer={"Image": IMAGE})
    client.create_model(ModelName="other", ExecutionRoleArn=role, PrimaryContainer={"Image": IMAGE})

    pages = client.get_paginator("list_models").paginate(
        NameContains="PAGE", SortBy="Name", SortOrder="Ascending", PaginationConfig={"PageSize": 10}
    )

    assert [[model["ModelName"] for model in page["Models"]] for page in pages] == [
        names[:10],
        names[10:20],
        names[20:],
    ]
    newest_first = client.list_models(MaxResults=2)["Models"]
    assert [model["ModelName"] for model in newest_first] == ["other", "page-22"]
    with pytest.raises(ClientError, match="NextToken"):
        client.list_models(NextToken="made up")


def test_filters_by_time_exclude_what_is_older(deploy: Deployer) -> None:
    name = deploy.model()
    created = deploy.sagemaker.describe_model(ModelName=name)["CreationTime"]

    after = deploy.sagemaker.list_models(NameContains=name, CreationTimeAfter=created)["Models"]
    before = deploy.sagemaker.list_models(NameContains=name, CreationTimeBefore=created.replace(year=2000))

    assert [model["ModelName"] for model in after] == [name]
    assert before["Models"] == []


def test_tags_are_added_listed_and_deleted(deploy: Deployer) -> None:
    arn = deploy.sagemaker.describe_model(ModelName=deploy.model())["ModelArn"]
    deploy.sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "é"}])
    deploy.sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "a", "Value": "2"}])

    deploy.sagemaker.delete_tags(ResourceArn=arn, TagKeys=["b", "absent"])

    assert deploy.sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "a", "Value": "2"}]


def test_tags_go_with_their_resource(deploy: Deployer) -> None:
    name = deploy.name()
    create = {"ModelName": name, "ExecutionRoleArn": ROLE, "PrimaryContainer": {"Image": IMAGE}}
    arn = deploy.sagemaker.create_model(**create, Tags=[{"Key": "a", "Value": "1"}])["ModelArn"]
    assert deploy.sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "a", "Value": "1"}]

    deploy.sagemaker.delete_model(ModelName=name)
    with pytest.raises(ClientError, match="Could not find"):
        deploy.sagemaker.list_tags(ResourceArn=arn)
    deploy.sagemaker.create_model(**create)

    assert deploy.sagemaker.list_tags(ResourceArn=arn)["Tags"] == []


def test_more_than_fifty_tags_are_refused(deploy: Deployer) -> None:
    arn = deploy.sagemaker.describe_model(ModelName=deploy.model())["ModelArn"]
    tags = [{"Key": f"k{number}", "Value": ""} for number in range(60)]

    deploy.sagemaker.add_tags(ResourceArn=arn, Tags=tags[:30])
    with pytest.raises(deploy.sagemaker.exceptions.ResourceLimitExceeded):
        deploy.sagemaker.add_tags(ResourceArn=arn, Tags=tags[30:])

    assert len(deploy.sagemaker.list_tags(ResourceArn=arn)["Tags"]) == 30


def test_regions_do_not_see_each_other(deploy: Deployer) -> None:
    name = deploy.model()
    key = deploy.aws.user
    elsewhere = boto3.Session().client(
        "sagemaker",
        region_name="eu-west-1",
        endpoint_url=f"http://127.0.0.1:{deploy.aws.port}",
        aws_access_key_id=key.access_key_id,
        aws_secret_access_key=key.secret_access_key,
    )

    assert elsewhere.list_models(NameContains=name)["Models"] == []
    with pytest.raises(ClientError, match="eu-west-1"):
        elsewhere.describe_model(ModelName=name)


def test_an_operation_that_is_not_served_is_said_so(deploy: Deployer) -> None:
    with pytest.raises(ClientError, match="not supported") as error:
        deploy.sagemaker.list_training_jobs()

    assert refusal(error)[0] == "UnknownOperationException"
