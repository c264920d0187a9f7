"""Validates lifecycle configurations like S3. Rules are stored but not executed."""

from __future__ import annotations

from typing import Any

from ...errors import AwsError
from .xml import malformed

_ACTIONS = (
    *("Expiration", "Transitions", "NoncurrentVersionTransitions", "NoncurrentVersionExpiration"),
    "AbortIncompleteMultipartUpload",
)
_FILTERS = ("Prefix", "Tag", "And", "ObjectSizeGreaterThan", "ObjectSizeLessThan")


def check_rules(rules: list[dict[str, Any]]) -> None:
    """Raise MalformedXML, InvalidRequest or InvalidArgument, as S3 does."""
    if not rules:
        raise malformed("a configuration has at least one rule.")
    ids = [rule["ID"] for rule in rules if "ID" in rule]
    if len(set(ids)) != len(ids):
        raise AwsError("InvalidArgument", "Rule ID must be unique. Found same ID for more than one rule")
    for rule in rules:
        _check_rule(rule)


def _check_rule(rule: dict[str, Any]) -> None:
    if ("Filter" in rule) == ("Prefix" in rule):
        raise malformed("a rule has either a Filter or a Prefix.")
    if sum(name in rule.get("Filter", {}) for name in _FILTERS) > 1:
        raise malformed("a Filter with several conditions needs And.")
    if not any(rule.get(action) is not None for action in _ACTIONS):
        raise AwsError("InvalidRequest", "At least one action needs to be specified in a rule.")
    dates = ("Days", "Date")
    _check_choice(rule.get("Expiration"), (*dates, "ExpiredObjectDeleteMarker"))
    for transition in rule.get("Transitions", []):
        _check_choice(transition, dates)
        _check_needed(transition, ("StorageClass",))
    for transition in rule.get("NoncurrentVersionTransitions", []):
        _check_needed(transition, ("NoncurrentDays", "StorageClass"))
    _check_needed(rule.get("NoncurrentVersionExpiration"), ("NoncurrentDays",))
    _check_needed(rule.get("AbortIncompleteMultipartUpload"), ("DaysAfterInitiation",))


def _check_choice(action: dict[str, Any] | None, names: tuple[str, ...]) -> None:
    if action is not None and sum(name in action for name in names) != 1:
        raise malformed(f"an action has exactly one of {', '.join(names)}.")


def _check_needed(action: dict[str, Any] | None, names: tuple[str, ...]) -> None:
    if action is not None and any(name not in action for name in names):
        raise malformed(f"an action needs {' and '.join(names)}.")
