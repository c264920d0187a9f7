"""Terraform's messages about a resource fit on one line of a terminal."""

from __future__ import annotations

import pytest

from loadbench.run.terraform.commands import TerraformEvent


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (
            "module.deployment.module.endpoint.aws_sagemaker_endpoint.this: Still creating... [10s elapsed]",
            "aws_sagemaker_endpoint.this: still creating",
        ),
        (
            "module.deployment.module.endpoint.aws_cloudcontrolapi_resource.component[0]: Creation complete "
            "after 54s [id=arn:aws:sagemaker]",
            "aws_cloudcontrolapi_resource.component: creation complete after 54s",
        ),
        (
            "module.deployment.module.execution_role[0].data.aws_region.current: Refreshing...",
            "data.aws_region.current: refreshing",
        ),
        ("Plan: 5 to add, 0 to change, 0 to destroy.", "Plan: 5 to add, 0 to change, 0 to destroy."),
    ],
)
def test_an_address_is_cut_to_type_and_name(message: str, shown: str) -> None:
    assert TerraformEvent(0.0, "apply_progress", message).short_message == shown
