"""The policy document of a form upload: expiry, allowed fields and sizes.

Source: "Creating a POST policy" in the S3 API Reference. Names and operators match in any case; every field
needs a condition.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ...errors import AwsError

# Fields for the policy, its signature and the upload itself need no condition.
_EXEMPT = ("policy", "x-amz-signature", "signature", "awsaccesskeyid", "file")
_IGNORED_PREFIX = "x-ignore-"
_RANGE = "content-length-range"

_Condition = tuple[str, str, str]
"""Operator, field, value."""


def check_policy(encoded: str, fields: Mapping[str, str], now: datetime, most_bytes: int) -> tuple[int, int]:
    """The minimum and maximum size of the file.

    `fields` has lower-case names, the bucket among them. Raises InvalidPolicyDocument for what is not a
    policy, AccessDenied for an expired one and for fields that it does not allow.
    """
    policy = _document(encoded)
    if _expiration(policy) < now:
        raise _denied("Policy expired.")
    conditions, sizes_bytes = _conditions(policy, most_bytes)
    for operator, name, value in conditions:
        given = fields.get(name, "")
        if not (given.startswith(value) if operator == "starts-with" else given == value):
            raise _denied(f"Policy Condition failed: {json.dumps([operator, f'${name}', value])}")
    covered = {name for _, name, _ in conditions}
    extra = sorted(
        name
        for name in fields
        if name not in covered and name not in _EXEMPT and not name.startswith(_IGNORED_PREFIX)
    )
    if extra:
        raise _denied(f"Extra input fields: {', '.join(extra)}")
    return sizes_bytes


def _document(encoded: str) -> dict[str, Any]:
    try:
        policy = json.loads(base64.b64decode(encoded, validate=True))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise _invalid("Invalid JSON.") from error
    if not isinstance(policy, dict):
        raise _invalid("Invalid JSON.")
    return policy


def _expiration(policy: dict[str, Any]) -> datetime:
    if "expiration" not in policy:
        raise _invalid("Policy missing expiration.")
    try:
        moment = datetime.fromisoformat(policy["expiration"])
        if moment.tzinfo is None:
            raise ValueError("no time zone")
    except (TypeError, ValueError) as error:
        raise _invalid(f"Invalid 'expiration' value: '{str(policy['expiration'])[:50]}'") from error
    return moment


def _conditions(policy: dict[str, Any], most_bytes: int) -> tuple[list[_Condition], tuple[int, int]]:
    listed = policy.get("conditions")
    if not isinstance(listed, list):
        raise _invalid("Policy missing conditions.")
    conditions: list[_Condition] = []
    low, high = 0, most_bytes
    for item in listed:
        if isinstance(item, list) and item and str(item[0]).lower() == _RANGE:
            first, last = _size_range(item)
            low, high = max(low, first), min(high, last)
        else:
            conditions += _condition(item)
    return conditions, (low, high)


def _size_range(item: list[Any]) -> tuple[int, int]:
    numbers = [number for number in item[1:] if isinstance(number, int) and not isinstance(number, bool)]
    if len(item) != 3 or len(numbers) != 2 or min(numbers) < 0:
        raise _invalid(f"Invalid {_RANGE}: two sizes in bytes are needed.")
    return numbers[0], numbers[1]


def _condition(item: Any) -> list[_Condition]:
    """`{"field": "value"}`, or `["eq" or "starts-with", "$field", "value"]`."""
    if isinstance(item, dict) and item and all(isinstance(value, str) for value in item.values()):
        return [("eq", name.lower(), value) for name, value in item.items()]
    if isinstance(item, list) and len(item) == 3 and all(isinstance(part, str) for part in item):
        operator, field, value = item
        if operator.lower() in ("eq", "starts-with") and field.startswith("$"):
            return [(operator.lower(), field[1:].lower(), value)]
    raise _invalid(f"Invalid Condition: {json.dumps(item)[:200]}")


def _invalid(reason: str) -> AwsError:
    return AwsError("InvalidPolicyDocument", f"Invalid Policy: {reason}")


def _denied(reason: str) -> AwsError:
    return AwsError("AccessDenied", f"Invalid according to Policy: {reason}", 403)
