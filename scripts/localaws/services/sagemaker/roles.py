"""Execution roles: checks that SageMaker may assume the role of a request; errors have AWS's wording.

The conditions of a trust policy are not evaluated.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from ...errors import AwsError
from ...machines.instance import DeploymentError
from ..moto_bridge import iam_backend

_SERVICE = "sagemaker.amazonaws.com"
_ACTIONS = ("sts:assumerole", "sts:*", "*")


def check_role(arn: str | None, account_id: str) -> None:
    """Raise ValidationException unless SageMaker can assume the role; None (no role) is accepted."""
    if arn is None:
        return
    if arn.split(":")[4:5] != [account_id]:
        raise AwsError("ValidationException", f"Cross-account pass role is not allowed: {arn}.")
    if not _is_assumable(arn):
        raise not_assumable(arn)


def not_assumable(arn: str) -> AwsError:
    """AWS's error for a role that does not exist, or does not trust SageMaker."""
    return AwsError(
        "ValidationException",
        f"Could not assume role {arn}. Please ensure that the role exists and allows principal "
        f"'{_SERVICE}' to assume the role.",
    )


def check_roles_at_deployment(arns: Iterable[str | None]) -> None:
    """Raise DeploymentError for a role that was deleted or changed after the request."""
    for arn in arns:
        if arn is not None and not _is_assumable(arn):
            raise DeploymentError(
                f'The execution role ARN "{arn}" is invalid. Please ensure that the role exists and that its '
                'trust relationship policy allows the action "sts:AssumeRole" for the service principal '
                f'"{_SERVICE}".'
            )


def _is_assumable(arn: str) -> bool:
    """Whether the role exists and its trust policy allows SageMaker."""
    # A copy, because IAM's thread may add a role concurrently.
    role = next((role for role in list(iam_backend().roles.values()) if role.arn == arn), None)
    return role is not None and _trusts_sagemaker(role.assume_role_policy_document)


def _trusts_sagemaker(document: str) -> bool:
    try:
        statements = json.loads(document)["Statement"]
    except (ValueError, KeyError, TypeError):
        return False
    effects = {item.get("Effect") for item in _listed(statements) if isinstance(item, dict) and _fits(item)}
    return effects == {"Allow"}


def _fits(statement: dict[str, Any]) -> bool:
    principal = statement.get("Principal")
    services = _listed(principal.get("Service")) if isinstance(principal, dict) else _listed(principal)
    actions = [str(action).lower() for action in _listed(statement.get("Action"))]
    return (_SERVICE in services or "*" in services) and any(action in _ACTIONS for action in actions)


def _listed(value: Any) -> list[Any]:
    """A policy's value as a list; a single value is a list of one."""
    return value if isinstance(value, list) else [value]
