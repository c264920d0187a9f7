"""Application Auto Scaling's API for a real endpoint; its decisions are tested in services/autoscaling."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from .conftest import Deployer

DIMENSION = "sagemaker:variant:DesiredInstanceCount"


def test_a_target_its_policy_and_its_tags_live_until_it_is_deregistered(deploy: Deployer) -> None:
    endpoint = deploy.endpoint(deploy.config(deploy.model()))
    deploy.endpoint_settled(endpoint)
    scaling = deploy.aws.client("application-autoscaling")
    of = {"ServiceNamespace": "sagemaker", "ResourceId": f"endpoint/{endpoint}/variant/AllTraffic"}
    scaled = {**of, "ScalableDimension": DIMENSION}
    with pytest.raises(ClientError, match="minimum of an endpoint's variant"):
        scaling.register_scalable_target(**scaled, MinCapacity=0, MaxCapacity=2)
    arn = scaling.register_scalable_target(**scaled, MinCapacity=1, MaxCapacity=2, Tags={"a": "b"})[
        "ScalableTargetARN"
    ]
    assert scaling.list_tags_for_resource(ResourceARN=arn)["Tags"] == {"a": "b"}
    tracking = {
        "TargetValue": 5.0,
        "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
    }
    scaling.put_scaling_policy(
        **scaled,
        PolicyName="track",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration=tracking,
    )
    (policy,) = scaling.describe_scaling_policies(**of)["ScalingPolicies"]
    assert policy["TargetTrackingScalingPolicyConfiguration"] == tracking
    assert [alarm["AlarmName"].rpartition("-")[2] for alarm in policy["Alarms"]] == ["AlarmHigh", "AlarmLow"]
    assert scaling.describe_scaling_activities(**of)["ScalingActivities"] == []
    scaling.deregister_scalable_target(**scaled)
    assert scaling.describe_scaling_policies(**of)["ScalingPolicies"] == []
    with pytest.raises(ClientError, match="No scalable target"):
        scaling.deregister_scalable_target(**scaled)


def test_a_resource_that_is_not_there_cannot_be_registered(deploy: Deployer) -> None:
    scaling = deploy.aws.client("application-autoscaling")
    with pytest.raises(ClientError, match="No resource is called"):
        scaling.register_scalable_target(
            ServiceNamespace="sagemaker",
            ResourceId="inference-component/nobody",
            ScalableDimension="sagemaker:inference-component:DesiredCopyCount",
            MinCapacity=0,
            MaxCapacity=1,
        )
