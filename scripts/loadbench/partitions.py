"""AWS partitions: each region's partition and domain from botocore's data, and what that data lacks.

No other module builds AWS host names or ARN prefixes.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from typing import Any

import botocore.session
from botocore.loaders import Loader

from loadbench.workspace import Workspace

# Consoles are not in botocore's data; those of the isolated partitions are not public.
_CONSOLES = {
    "aws": "console.aws.amazon.com",
    "aws-cn": "console.amazonaws.cn",
    "aws-us-gov": "console.amazonaws-us-gov.com",
}


def partition_of(region: str) -> str | None:
    """The partition of a region (`aws`, `aws-cn`, …), by name or by pattern; None if it is no region."""
    found = _partition(region)
    return None if found is None else str(found["id"])


def console_address(partition: str, path: str, region: str = "") -> str | None:
    """URL of a console page, None if the partition's console is not publicly known."""
    console = _CONSOLES.get(partition)
    return console and f"https://{region}{'.' if region else ''}{console}/{path}"


def service_region(service: str, region: str) -> str | None:
    """A region of the same partition that offers a service which few regions have; None if there is none."""
    found = botocore.session.get_session().get_available_regions(service, partition_of(region) or "aws")
    return min(found, key=lambda name: (name != "us-east-1", name), default=None)


def image_registry(region: str) -> str | None:
    """The registry of AWS's own images in a region, None if its account is not publicly known."""
    account, partition = _registry_accounts().get(region), _partition(region)
    if account is None or partition is None:
        return None
    return f"{account}.dkr.ecr.{region}.{partition['outputs']['dnsSuffix']}"


def is_aws_account(account: str) -> bool:
    """Whether an account is one that AWS publishes its images from."""
    return account in _registry_accounts().values()


@cache
def _partition(region: str) -> dict[str, Any] | None:
    partitions = Loader().load_data("partitions")["partitions"]
    by_name = (found for found in partitions if region in found["regions"])
    by_form = (found for found in partitions if re.search(found["regionRegex"], region))
    return next(by_name, None) or next(by_form, None)


@cache
def _registry_accounts() -> dict[str, str]:
    file = Workspace.here().assets / "data" / "image_registries.toml"
    return tomllib.loads(file.read_text(encoding="utf-8"))
