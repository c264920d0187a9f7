"""What is taken for true of AWS: page and code name the same facts, and a free check can say yes and no."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loadbench.config import Config, load_config
from loadbench.results.costs import Price
from loadbench.run.live_check import facts as live_facts
from loadbench.run.live_check.facts import FACTS, find_out
from loadbench.run.preflight import account
from loadbench.run.preflight.check_result import CheckContext
from tests.loadbench.run.preflight.stubs import Account, changed, on_aws, quota_named

ROOT = Path(__file__).resolve().parents[4]
PAGE = (ROOT / "docs" / "live-check.md").read_text(encoding="utf-8")
IDS = [fact.id for fact in FACTS]


def section(fact_id: str) -> str:
    return PAGE.partition(f"### {fact_id}\n")[2].partition("\n###")[0]


@pytest.fixture
def config() -> Config:
    return load_config(ROOT / "config.yaml")


def test_page_and_code_name_the_same_facts_in_the_same_order() -> None:
    assert re.findall(r"^### (.+)$", PAGE, re.MULTILINE) == IDS


@pytest.mark.parametrize("fact", FACTS, ids=IDS)
def test_the_page_says_what_the_code_says(fact: live_facts.Fact) -> None:
    claim, settle, costs, depends = (
        section(fact.id).partition("\n")[0],
        *(section(fact.id).partition(f"- {word}: ")[2] for word in ("Settle", "Costs", "Depends")),
    )
    assert claim == fact.claim
    assert settle and costs
    assert settle.startswith("free") == (fact.check is not None)
    assert tuple(re.findall(r"`([^`]+)`", depends)) == fact.depends


@pytest.mark.parametrize("fact", FACTS, ids=IDS)
def test_the_code_that_depends_on_a_fact_is_there(fact: live_facts.Fact) -> None:
    for place in fact.depends:
        file, _, name = place.partition(":")
        assert name in (ROOT / file).read_text(encoding="utf-8"), place


def test_on_the_embedded_aws_every_answer_says_so_or_is_none(config: Config, aws_session: Any) -> None:
    findings = find_out(CheckContext(config, ["standard", "fast"], aws_session, None))
    assert [finding.id for finding in findings] == IDS
    for finding in findings:
        if finding.answer == "could not tell":
            assert "docs/live-check.md" in finding.words or "embedded AWS" in finding.words
        else:
            assert finding.words.startswith("on the embedded AWS only: ")
    assert {finding.id for finding in findings if finding.answer == "confirmed"} >= {
        "endpoint-config-by-cloud-control",
        "component-by-cloud-control",
    }


def described(**changes: Any) -> dict[str, Any]:
    schema = {
        "properties": {"ExecutionRoleArn": {}, "ProductionVariants": {}},
        "definitions": {"ProductionVariant": {"required": ["VariantName"]}},
        "handlers": {"create": {}, "read": {}, "update": {}, "delete": {}, "list": {}},
        "primaryIdentifier": ["/properties/InferenceComponentArn"],
    }
    return {"ProvisioningType": "IMMUTABLE", "Schema": json.dumps(schema | changes)}


def priced(usd_per_hour: float | None) -> Callable[..., Price | None]:
    def look_up(session: Any, instance_type: str, region: str) -> Price | None:
        if usd_per_hour is None:
            return None
        return Price(usd_per_hour=usd_per_hour, source="AWS price list", date="2026", region=region)

    return look_up


def answer(fact_id: str, config: Config, session: Account) -> str:
    (fact,) = [fact for fact in FACTS if fact.id == fact_id]
    assert fact.check is not None
    return fact.check(CheckContext(on_aws(config), ["standard", "fast"], session, None)).answer


COMPUTE = "InferenceComponentComputeResourceRequirements"


@pytest.mark.parametrize(
    ("fact_id", "schema", "expected"),
    [
        ("endpoint-config-by-cloud-control", {}, "confirmed"),
        (
            "endpoint-config-by-cloud-control",
            {"definitions": {"ProductionVariant": {"required": ["ModelName", "VariantName"]}}},
            "contradicted",
        ),
        ("endpoint-config-by-cloud-control", {"handlers": {"read": {}}}, "contradicted"),
        ("endpoint-config-by-cloud-control", {"properties": {}}, "contradicted"),
        ("component-by-cloud-control", {}, "confirmed"),
        ("component-by-cloud-control", {"primaryIdentifier": ["/properties/Name"]}, "contradicted"),
        ("cpu-cores-left-out", {"definitions": {COMPUTE: {"properties": {}}}}, "confirmed"),
        (
            "cpu-cores-left-out",
            {"definitions": {COMPUTE: {"required": ["NumberOfCpuCoresRequired"]}}},
            "contradicted",
        ),
        ("cpu-cores-left-out", {}, "could not tell"),
    ],
)
def test_a_schema_settles_what_cloud_control_takes(
    config: Config, fact_id: str, schema: dict[str, Any], expected: str
) -> None:
    session = Account()
    session.answers("cloudformation", "describe_type", described(**schema))
    assert answer(fact_id, config, session) == expected


@pytest.mark.parametrize("wrong", [None, "another", "missing"])
def test_every_quota_code_is_compared_by_its_name(config: Config, wrong: str | None) -> None:
    session = Account()
    for number, instance_type in enumerate(account.quota_codes()):
        if number == 3 and wrong == "missing":
            session.refuses("service-quotas", "get_service_quota", "NoSuchResourceException")
            continue
        name = "ml.other" if number == 3 and wrong else instance_type
        session.answers("service-quotas", "get_service_quota", {"Quota": quota_named(name, 1)})
    assert answer("quota-codes", config, session) == ("contradicted" if wrong else "confirmed")


@pytest.mark.parametrize(
    ("fact_id", "usd", "offered", "expected"),
    [
        ("price-filters", 1.515, True, "confirmed"),
        ("price-filters", None, True, "could not tell"),
        ("price-table", 1.515, True, "confirmed"),
        ("price-table", 1.6, True, "contradicted"),
        ("price-table", None, True, "could not tell"),
        ("offering-of-ec2", 1.515, True, "confirmed"),
        ("offering-of-ec2", 1.515, False, "contradicted"),
        ("offering-of-ec2", None, True, "could not tell"),
        ("offering-of-ec2", None, False, "confirmed"),
    ],
)
def test_the_price_list_settles_prices_and_offerings(
    config: Config,
    monkeypatch: pytest.MonkeyPatch,
    fact_id: str,
    usd: float | None,
    offered: bool,
    expected: str,
) -> None:
    monkeypatch.setattr(live_facts, "look_up_price", priced(usd))
    session = Account()
    found = [{"InstanceType": "g5.2xlarge"}] if offered else []
    session.answers("ec2", "describe_instance_type_offerings", {"InstanceTypeOfferings": found})
    assert answer(fact_id, config, session) == expected


def test_images_that_are_gone_contradict(config: Config) -> None:
    session = Account()
    session.answers("ecr", "batch_get_image", {"images": []})
    assert answer("image-tags-there", config, session) == "contradicted"


def test_what_may_not_be_asked_is_not_reported(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_facts, "look_up_price", priced(None))
    session = Account()
    for _ in range(3):
        session.refuses("cloudformation", "describe_type", "AccessDenied", 403)
    for _ in account.quota_codes():
        session.refuses("service-quotas", "get_service_quota", "AccessDeniedException")
    session.refuses("ec2", "describe_instance_type_offerings", "UnauthorizedOperation")
    images = changed(on_aws(config), image_uri="registry.example/own:1")
    findings = find_out(CheckContext(images, ["fast"], session, None))
    assert {finding.answer for finding in findings} == {"could not tell"}
    assert "AccessDenied" in findings[0].words
