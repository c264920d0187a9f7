"""Unverified assumptions about AWS, and checks of those that can be verified for free.

docs/live-check.md has the same facts with the command that verifies each; a test compares the two. The checks
are read-only. On the embedded AWS they only show what the emulator does, which verifies nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import TimeoutError
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from botocore.exceptions import BotoCoreError, ClientError

from loadbench.results.costs import table_price
from loadbench.run.preflight import account, container
from loadbench.run.preflight.background_threads import started
from loadbench.run.preflight.check_result import Check, CheckContext
from loadbench.run.price_lookup import look_up_price

Answer = Literal["confirmed", "contradicted", "could not tell"]

_DEADLINE_S = 30.0
_CONFIGURATION = "AWS::SageMaker::EndpointConfig"
_COMPONENT = "AWS::SageMaker::InferenceComponent"


@dataclass(frozen=True)
class Verdict:
    """The result of a check."""

    answer: Answer
    words: str


@dataclass(frozen=True)
class Fact:
    """One assumption. `depends` names the code (`file:name`) that is wrong if the assumption is."""

    id: str
    claim: str
    depends: tuple[str, ...]
    check: Callable[[CheckContext], Verdict] | None = None
    embedded: bool = False  # the embedded AWS can answer the check


@dataclass(frozen=True)
class Finding:
    """One fact with its answer, for `doctor --live-facts`."""

    id: str
    claim: str
    answer: Answer
    words: str


def find_out(context: CheckContext) -> list[Finding]:
    """Run all free checks in parallel; every fact gets an answer within half a minute."""
    deadline_s = time.monotonic() + _DEADLINE_S
    asked = {
        fact.id: started(partial(fact.check, context), fact.id)
        for fact in FACTS
        if fact.check is not None and (fact.embedded or context.config.target == "aws")
    }
    findings = []
    for fact in FACTS:
        if fact.id in asked:
            try:
                verdict = asked[fact.id].result(max(0.0, deadline_s - time.monotonic()))
            except TimeoutError:
                verdict = Verdict("could not tell", f"no answer within {_DEADLINE_S:.0f} s")
            except (ClientError, BotoCoreError) as error:
                verdict = Verdict("could not tell", str(error))
        elif fact.check is None:
            verdict = Verdict("could not tell", "needs a deployment: docs/live-check.md has the command")
        else:
            verdict = Verdict("could not tell", "the embedded AWS does not support this")
        where = "on the embedded AWS only: " if fact.id in asked and context.config.target == "local" else ""
        findings.append(Finding(fact.id, fact.claim, verdict.answer, where + verdict.words))
    return findings


def _configuration_type(context: CheckContext) -> Verdict:
    described = context.client("cloudformation").describe_type(Type="RESOURCE", TypeName=_CONFIGURATION)
    schema, provisioning = _schema(described), described.get("ProvisioningType", "")
    handlers = {"create", "read", "delete"} - schema.get("handlers", {}).keys()
    variant = schema.get("definitions", {}).get("ProductionVariant", {})
    wrong = [
        *([f"its provisioning type is {provisioning}"] if provisioning == "NON_PROVISIONABLE" else []),
        *(f"it has no {handler} handler" for handler in sorted(handlers)),
        *(["it requires ModelName of a variant"] if "ModelName" in variant.get("required", ()) else []),
        *(["it has no ExecutionRoleArn"] if "ExecutionRoleArn" not in schema["properties"] else []),
    ]
    if wrong:
        return Verdict("contradicted", "; ".join(wrong))
    return Verdict("confirmed", f"{provisioning}; the schema has the handlers and requires no model name")


def _component_type(context: CheckContext) -> Verdict:
    described = context.client("cloudformation").describe_type(Type="RESOURCE", TypeName=_COMPONENT)
    identifier = _schema(described).get("primaryIdentifier")
    expected = ["/properties/InferenceComponentArn"]
    words = f"the primary identifier is {identifier}"
    return Verdict("confirmed" if identifier == expected else "contradicted", words)


def _cpu_cores(context: CheckContext) -> Verdict:
    described = context.client("cloudformation").describe_type(Type="RESOURCE", TypeName=_COMPONENT)
    definitions = _schema(described).get("definitions", {})
    compute = definitions.get("InferenceComponentComputeResourceRequirements", {})
    if not compute:
        return Verdict("could not tell", "the schema does not say which members of a component are optional")
    if "NumberOfCpuCoresRequired" in compute.get("required", ()):
        return Verdict("contradicted", "the schema requires NumberOfCpuCoresRequired")
    return Verdict("confirmed", "the schema does not require NumberOfCpuCoresRequired")


def _schema(described: Mapping[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(described["Schema"])
    return schema


def _quota_codes(context: CheckContext) -> Verdict:
    quotas, wrong = context.client("service-quotas"), []
    for instance_type, code in account.quota_codes().items():
        name = account.quota_name(instance_type)
        try:
            found = quotas.get_service_quota(ServiceCode="sagemaker", QuotaCode=code)["Quota"]["QuotaName"]
        except quotas.exceptions.NoSuchResourceException:
            found = "no quota"
        if found != name:
            wrong.append(f"{code} is {found}, not {name}")
    if wrong:
        return Verdict("contradicted", "; ".join(wrong))
    return Verdict("confirmed", f"{len(account.quota_codes())} codes are those of their quotas")


def _price_filters(context: CheckContext) -> Verdict:
    prices = {name: _listed_price(context, name) for name in _instance_types(context)}
    missing = [name for name, usd in prices.items() if usd is None]
    price_list = ", ".join(
        f"{name} {usd:.3f} USD per hour" for name, usd in prices.items() if usd is not None
    )
    if missing and not price_list:
        return Verdict(
            "could not tell", f"no single price for {', '.join(missing)}: not offered, or not allowed"
        )
    if missing:
        return Verdict("contradicted", f"no single price for {', '.join(missing)}; {price_list}")
    return Verdict("confirmed", price_list)


def _price_table(context: CheckContext) -> Verdict:
    compared = [
        (name, known.usd_per_hour, usd)
        for name in _instance_types(context)
        if (known := table_price(name)) and (usd := _listed_price(context, name)) is not None
    ]
    if not compared:
        return Verdict("could not tell", "no price in both the table and the price list")
    words = ", ".join(f"{name}: table {known:.3f}, AWS {usd:.3f}" for name, known, usd in compared)
    is_right = all(abs(known - usd) < 0.005 for _, known, usd in compared)
    return Verdict("confirmed" if is_right else "contradicted", words)


def _offering(context: CheckContext) -> Verdict:
    words, differ = [], False
    for name in _instance_types(context):
        offered, usd = account.is_offered(context, name), _listed_price(context, name)
        if usd is None and offered:
            return Verdict(
                "could not tell", f"EC2 offers {name}, but the price list has no price for hosting"
            )
        differ |= offered != (usd is not None)
        words.append(f"{name}: EC2 {'offers' if offered else 'does not offer'} it, hosting has"
                     f" {'a' if usd is not None else 'no'} price")  # fmt: skip
    return Verdict("contradicted" if differ else "confirmed", "; ".join(words))


def _image_tags(context: CheckContext) -> Verdict:
    findings: list[Check] = list(container.image_exists(context))
    if not findings:
        return Verdict("could not tell", "no configured image is in a registry of AWS")
    words = "; ".join(check.message for check in findings)
    statuses = {check.status for check in findings}
    if "failure" in statuses:
        return Verdict("contradicted", words)
    return Verdict("confirmed" if statuses == {"ok"} else "could not tell", words)


def _instance_types(context: CheckContext) -> list[str]:
    return list(dict.fromkeys(info.instance_type for _, info in context.deployments()))


def _listed_price(context: CheckContext, instance_type: str) -> float | None:
    price = look_up_price(context.session, instance_type, context.config.region)
    return None if price is None else price.usd_per_hour


_ENDPOINT_MODULE = "terraform/modules/endpoint/main.tf"
_CONFIGURATION_MODULE = "terraform/modules/component_configuration/main.tf"
_RUN = "scripts/loadbench/run"
FACTS: tuple[Fact, ...] = (
    Fact(
        "endpoint-config-by-cloud-control",
        "Cloud Control creates an endpoint configuration without a model name.",
        (f"{_CONFIGURATION_MODULE}:aws_cloudcontrolapi_resource",),
        _configuration_type,
        embedded=True,
    ),
    Fact(
        "component-by-cloud-control",
        "Cloud Control identifies an inference component by its ARN.",
        (f"{_ENDPOINT_MODULE}:InferenceComponentName",),
        _component_type,
        embedded=True,
    ),
    Fact(
        "cpu-cores-left-out",
        "A component that requests accelerators and memory does not need to request CPU cores.",
        (f"{_ENDPOINT_MODULE}:NumberOfAcceleratorDevicesRequired",),
        _cpu_cores,
        embedded=True,
    ),
    Fact(
        "image-tags-there",
        "The registry still has the images of LMI v13 and v14, the only ones with the fast loader.",
        (f"{_RUN}/preflight/container.py:image_exists", "config.aws.yaml:image_uri"),
        _image_tags,
    ),
    Fact(
        "quota-codes",
        "The codes of the quotas “for endpoint usage” are those that public code uses.",
        ("data/instance_types.toml:quota_code",),
        _quota_codes,
    ),
    Fact(
        "offering-of-ec2",
        "If EC2 offers an instance type in a region, SageMaker hosting offers it there, too.",
        (f"{_RUN}/preflight/account.py:is_offered",),
        _offering,
    ),
    Fact(
        "price-filters",
        "The price list finds one hourly price for hosting by product family, region, instance name and"
        " “Hosting”.",
        (f"{_RUN}/price_lookup.py:look_up_price",),
        _price_filters,
    ),
    Fact(
        "price-table",
        "The prices in the repository, collected in January 2025 without a stated region, are correct.",
        ("data/instance_types.toml:usd_per_hour",),
        _price_table,
    ),
    Fact(
        "job-costs-like-hosting",
        "An optimization job is billed for its instance at the hosting price.",
        (f"{_RUN}/preflight/summary.py:estimate_cost", "scripts/loadbench/results/costs.py:OneTimeCost"),
    ),
    Fact(
        "platform-names-the-artifact",
        "The optimization service writes option.load_format into serving.properties, and the platform sets"
        " SM_FAST_MODEL_LOADER_S3_URI; loadbench sets neither.",
        (f"{_RUN}/deployment_plan.py:make_plan", "scripts/localaws/container/options.py:load_format"),
    ),
    Fact(
        "data-cache-off",
        "An inference component accepts DataCacheConfig with caching off, and Describe reports it.",
        (f"{_RUN}/data_cache.py:requested_caching",),
    ),
    Fact(
        "policy-suffices",
        "The policy in docs/iam-policy.json allows every call of a run, including those of Cloud"
        " Control's handlers.",
        ("tests/account/policy.py:_ALSO",),
    ),
    Fact(
        "execution-role-suffices",
        "The role that a run creates allows every call of the platform, the fast loader and the container.",
        (
            "terraform/modules/execution_role/main.tf:_read_statements",
            f"{_RUN}/optimization/job_role.py:policy_document",
        ),
    ),
    Fact(
        "role-settles",
        "Once CreateModel accepts a new role, every other call accepts it, too.",
        (f"{_CONFIGURATION_MODULE}:precondition", f"{_RUN}/new_role.py:SETTLES_WITHIN_S"),
    ),
    Fact(
        "last-modified-is-in-service",
        "LastModifiedTime of an endpoint or component that is InService is the time at which it became"
        " InService.",
        (f"{_RUN}/observe/status.py:_note",),
    ),
    Fact(
        "lines-of-the-container",
        "The log of an LMI container has the lines, and the line wrapping, that public issues show.",
        (f"{_RUN}/observe/lines.py:unwrap", f"{_RUN}/observe/engines/vllm_legacy.py:read"),
    ),
    Fact(
        "capacity-of-components",
        "UpdateEndpointWeightsAndCapacities is accepted for an endpoint with components, and the component's"
        " update has to wait for it.",
        (f"{_RUN}/capacity.py:Reading",),
    ),
    Fact(
        "stream-of-a-copy",
        "Every copy of an inference component has its own log stream.",
        (f"{_RUN}/observe/added_copy.py:AddedCopy",),
    ),
    Fact(
        "streamer-finds-its-role",
        "In the vLLM server's image the Run:ai streamer finds the credentials of the endpoint's role, and"
        " needs only s3:GetObject and s3:ListBucket on the model's prefix.",
        ("terraform/modules/execution_role/main.tf:_read_statements", "config.aws.yaml:runai_streamer"),
    ),
    Fact(
        "lines-of-the-vllm-server",
        "The log of the vLLM server's image on SageMaker has the lines that public logs of vLLM 0.9 and later"
        " show.",
        (f"{_RUN}/observe/engines/vllm.py:read",),
    ),
)
