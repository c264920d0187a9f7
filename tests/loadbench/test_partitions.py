"""Every partition and every region, known ones and those to come: what botocore knows and no guess."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.loaders import Loader

from loadbench.config import load_config
from loadbench.partitions import console_address, image_registry, partition_of, service_region
from loadbench.run.optimization.job_role import policy_document
from loadbench.run.removal.resources import Resource

ROOT = Path(__file__).resolve().parents[2]
PARTITIONS = Loader().load_data("partitions")["partitions"]
REGIONS = [
    (region, partition["id"], partition["outputs"]["dnsSuffix"])
    for partition in PARTITIONS
    for region in partition["regions"]
    if not region.endswith("-global")
]
TO_COME = [
    *(
        ("eu-west-12", "aws"),
        ("cn-south-1", "aws-cn"),
        ("us-gov-central-1", "aws-us-gov"),
        ("mx-south-2", "aws"),
    ),
    *(("us-iso-north-1", "aws-iso"), ("us-isob-west-9", "aws-iso-b"), ("eusc-de-west-1", "aws-eusc")),
]
REGISTRIES = tomllib.loads((ROOT / "data" / "image_registries.toml").read_text(encoding="utf-8"))


def test_there_are_partitions_to_walk() -> None:
    assert {"aws", "aws-cn", "aws-us-gov", "aws-iso", "aws-iso-b", "aws-eusc"} <= {
        p["id"] for p in PARTITIONS
    }


@pytest.mark.parametrize(("region", "partition"), [*((r, p) for r, p, _ in REGIONS), *TO_COME])
def test_a_region_may_be_configured_and_belongs_to_its_partition(region: str, partition: str) -> None:
    assert partition_of(region) == partition
    assert load_config(ROOT / "config.yaml", [f"region={region}"]).region == region
    statements = policy_document("bucket", "123456789012", region)["Statement"]
    for arn in (arn for item in statements for arn in flat(item["Resource"]) if arn != "*"):
        assert arn.split(":")[1] == partition


def flat(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def test_what_is_no_region_has_no_partition() -> None:
    assert partition_of("oregon") is None
    assert partition_of("") is None


@pytest.mark.parametrize(("region", "partition", "suffix"), REGIONS)
def test_a_registry_is_the_known_account_in_the_partitions_domain(
    region: str, partition: str, suffix: str
) -> None:
    expected = f"{REGISTRIES[region]}.dkr.ecr.{region}.{suffix}" if region in REGISTRIES else None
    assert image_registry(region) == expected


def test_the_table_of_registries_is_the_sdks() -> None:
    """Where the SDK learns a region, or changes one, the table has to follow."""
    spec = find_spec("sagemaker.core")
    folder = Path(next(iter(spec.submodule_search_locations or ()))) if spec else Path()
    known: dict[str, str] = {}
    for name in ("djl-lmi.json", "vllm-server.json"):
        for registries in registries_in(json.loads((folder / "image_uri_config" / name).read_text())):
            known |= registries
    assert known == REGISTRIES


def registries_in(document: Any) -> list[dict[str, str]]:
    if not isinstance(document, dict):
        return []
    own = [document["registries"]] if "registries" in document else []
    return own + [found for value in document.values() for found in registries_in(value)]


@pytest.mark.parametrize(("region", "partition", "_"), REGIONS)
def test_a_link_leads_into_the_partitions_own_console(region: str, partition: str, _: str) -> None:
    arn = f"arn:{partition}:sagemaker:{region}:123456789012:endpoint/x"
    endpoint = Resource("endpoint", "x", arn, "InService", None, None, None, None, None)
    link = endpoint.console_url
    role = replace(endpoint, kind="role", arn=f"arn:{partition}:iam::123456789012:role/x").console_url
    domains = {"aws": "aws.amazon.com", "aws-cn": "amazonaws.cn", "aws-us-gov": "amazonaws-us-gov.com"}
    if partition not in domains:
        assert link is role is None
        return
    assert (
        link == f"https://{region}.console.{domains[partition]}/sagemaker/home?region={region}#/endpoints/x"
    )
    assert role == f"https://console.{domains[partition]}/iam/home#/roles/details/x"
    assert console_address(partition, "p") == f"https://console.{domains[partition]}/p"


@pytest.mark.parametrize(("region", "partition", "_"), REGIONS)
def test_the_price_list_is_asked_for_in_the_regions_own_partition(
    region: str, partition: str, _: str
) -> None:
    found = service_region("pricing", region)
    served = boto3.Session().get_available_regions("pricing", partition)
    assert found in served if served else found is None
    assert found is None or partition_of(found) == partition
