"""The kinds of resources that this project creates in an account: list, describe and delete them.

This does not rely on Terraform's state: everything is read from the account.
"""

from __future__ import annotations

import datetime
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast

from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
)

from loadbench.partitions import console_address
from loadbench.run.naming import TAG_EXPIRES_AT, TAG_PATH, TAG_PROJECT, TAG_RUN_ID

ResourceKind = Literal[
    "optimization job", "inference component", "endpoint", "endpoint configuration", "model", "role"
]

RUN_ID = re.compile(r"\d{8}-\d{6}-(?P<path>[a-z]+)-[0-9a-f]{4}")
BUSY_JOB = {"STARTING", "INPROGRESS", "STOPPING"}
# Transient errors, by the service's code.
_TRANSIENT = {
    *("Throttling", "ThrottlingException", "ThrottledException", "RequestLimitExceeded"),
    *("TooManyRequestsException", "InternalFailure", "InternalError", "InternalServerError"),
    *("ServiceUnavailable", "ServiceUnavailableException", "ServiceFailure", "RequestTimeout"),
    *("ConcurrentModification", "DeleteConflict"),
}
_LOST_CONNECTION = (EndpointConnectionError, ConnectionClosedError, ConnectTimeoutError, ReadTimeoutError)
_ATTEMPTS = 6
_FIRST_PAUSE_S = 0.5


@dataclass(frozen=True)
class Resource:
    """An existing resource of this project. `problem` says why it could not be removed."""

    kind: ResourceKind
    name: str
    arn: str
    status: str
    run_id: str | None
    path: str | None
    created_s: float | None  # epoch seconds
    expires_at: str | None  # ISO 8601 in UTC
    usd_per_hour: float | None
    problem: str = ""

    def is_expired(self, now_s: float) -> bool:
        """Whether the time in its tag has passed; False without a readable tag."""
        try:
            due = datetime.datetime.fromisoformat(self.expires_at or "")
        except ValueError:
            return False
        return due.timestamp() <= now_s

    def describe(self, *, on_aws: bool) -> str:
        """One line for users: kind, status, hourly cost, problem, and console link.

        On the embedded target, which bills nothing and has no console, the line says so.
        """
        text = f"{self.kind} {self.name} ({self.status})"
        if self.usd_per_hour:
            text += f", {self.usd_per_hour:.2f} USD per hour" + ("" if on_aws else " on AWS, nothing here")
        if self.problem:
            text += f": {self.problem}"
        return f"{text}\n    {self.console_url}" if on_aws and self.console_url else text

    def as_json(self, *, on_aws: bool) -> dict[str, Any]:
        """Data for JSON output; `console_url` is null on the embedded target, which has no console."""
        return {**asdict(self), "console_url": self.console_url if on_aws else None}

    @property
    def console_url(self) -> str | None:
        """The console page of the resource; None if the partition's console is not publicly known."""
        _, partition, _, region, *_ = self.arn.split(":", 5)
        if self.kind == "role":
            return console_address(partition, f"iam/home#/roles/details/{self.name}")
        page = {
            "optimization job": "inference-optimization",
            "inference component": "inferenceComponents",
            "endpoint": "endpoints",
            "endpoint configuration": "endpointConfig",
            "model": "models",
        }[self.kind]
        return console_address(partition, f"sagemaker/home?region={region}#/{page}/{self.name}", region)


@dataclass(frozen=True)
class _Sort:
    """SageMaker's names for one kind: `noun` in requests and responses, `method` in boto3, `items` in
    lists.
    """

    kind: ResourceKind
    noun: str
    method: str
    items: str
    listed_by_name: bool = True
    removal: str = "delete"


# In the order of removal. Resources with an hourly cost are described whatever their name, to read their
# tags; the others are listed by name, because an account may have thousands.
_SORTS: tuple[_Sort, ...] = (
    _Sort(
        *("optimization job", "OptimizationJob", "optimization_job", "OptimizationJobSummaries"),
        listed_by_name=False,
        removal="stop",
    ),
    _Sort("inference component", "InferenceComponent", "inference_component", "InferenceComponents"),
    _Sort("endpoint", "Endpoint", "endpoint", "Endpoints", listed_by_name=False),
    _Sort("endpoint configuration", "EndpointConfig", "endpoint_config", "EndpointConfigs"),
    _Sort("model", "Model", "model", "Models"),
)
RESOURCE_KINDS: tuple[ResourceKind, ...] = (*(sort.kind for sort in _SORTS), "role")
PriceLookup = Callable[[str], float | None]


class ProjectResources:
    """SageMaker and IAM of one account and region; retries transient errors by their code."""

    def __init__(self, session: Any, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._sagemaker = session.client("sagemaker")
        self._iam = session.client("iam")
        self._sleep = sleep

    def find(self, kind: ResourceKind, project: str, price: PriceLookup) -> Iterator[Resource]:
        """All resources of one kind of a project, in every status, from all pages."""
        if kind == "role":
            yield from self._roles(project)
            return
        sort = _sort_of(kind)
        for summary in self._summaries(sort, project):
            resource = self._resource(sort, summary, project, price)
            if resource is not None:
                yield resource

    def components_of(self, endpoint: str) -> Iterator[tuple[str, str]]:
        """Name and ARN of all inference components on an endpoint: they prevent its deletion."""
        for page in self._pages(self._sagemaker, "list_inference_components", EndpointNameEquals=endpoint):
            for summary in page["InferenceComponents"]:
                yield summary["InferenceComponentName"], summary["InferenceComponentArn"]

    def status(self, kind: ResourceKind, name: str) -> str | None:
        """The current status; None if it is gone (or, for a job, ended)."""
        try:
            if kind == "role":
                self._call(self._iam.get_role, RoleName=name)
                return "exists"
            sort = _sort_of(kind)
            answer = self._call(
                getattr(self._sagemaker, f"describe_{sort.method}"), **{f"{sort.noun}Name": name}
            )
        except ClientError as error:
            if is_not_found(error):
                return None
            raise
        status = str(answer.get(f"{sort.noun}Status", "exists"))
        return None if kind == "optimization job" and status not in BUSY_JOB else status

    def remove(self, kind: ResourceKind, name: str) -> None:
        """Request the deletion (of a job: its stop). A resource that is already gone is not an error."""
        try:
            if kind == "role":
                self._remove_role(name)
            else:
                sort = _sort_of(kind)
                method = getattr(self._sagemaker, f"{sort.removal}_{sort.method}")
                self._call(method, **{f"{sort.noun}Name": name})
        except ClientError as error:
            if not is_not_found(error):
                raise

    def _summaries(self, sort: _Sort, project: str) -> Iterator[Mapping[str, Any]]:
        filters = {"NameContains": f"{project}-"} if sort.listed_by_name else {}
        for page in self._pages(self._sagemaker, f"list_{sort.method}s", **filters):
            for summary in page[sort.items]:
                if sort.kind != "optimization job" or summary["OptimizationJobStatus"] in BUSY_JOB:
                    yield summary

    def _resource(
        self, sort: _Sort, summary: Mapping[str, Any], project: str, price: PriceLookup
    ) -> Resource | None:
        name, arn = summary[f"{sort.noun}Name"], summary[f"{sort.noun}Arn"]
        try:
            tags = {
                tag["Key"]: tag["Value"]
                for page in self._pages(self._sagemaker, "list_tags", ResourceArn=arn)
                for tag in page["Tags"]
            }
            if not _is_ours(name, tags, project):
                return None
            usd_per_hour = self._usd_per_hour(sort.kind, name, price)
        except ClientError as error:
            if is_not_found(error):
                return None  # it was deleted after the listing
            raise
        created = summary.get("CreationTime")
        return Resource(
            kind=sort.kind,
            name=name,
            arn=arn,
            status=str(summary.get(f"{sort.noun}Status", "exists")),
            run_id=tags.get(TAG_RUN_ID) or _run_id_in(name),
            path=tags.get(TAG_PATH) or _path_in(name),
            created_s=created.timestamp() if created else None,
            expires_at=tags.get(TAG_EXPIRES_AT),
            usd_per_hour=usd_per_hour,
        )

    def _usd_per_hour(self, kind: ResourceKind, name: str, price: PriceLookup) -> float | None:
        """Hourly price of the instances of an endpoint or a job; None if there is no hourly cost."""
        if kind == "optimization job":
            job = self._call(self._sagemaker.describe_optimization_job, OptimizationJobName=name)
            return price(job["DeploymentInstanceType"])
        if kind != "endpoint":
            return None
        endpoint = self._call(self._sagemaker.describe_endpoint, EndpointName=name)
        try:
            configuration = self._call(
                self._sagemaker.describe_endpoint_config, EndpointConfigName=endpoint["EndpointConfigName"]
            )
        except ClientError as error:
            if is_not_found(error):
                return None  # the configuration, which has the instance type, may be removed first
            raise
        # The endpoint's description includes instances that were added since.
        now = {variant["VariantName"]: variant for variant in endpoint.get("ProductionVariants", [])}
        prices = [
            (
                price(variant["InstanceType"]),
                now.get(variant["VariantName"], {}).get("DesiredInstanceCount")
                or variant.get("InitialInstanceCount", 1),
            )
            for variant in configuration["ProductionVariants"]
            if "InstanceType" in variant
        ]
        known = [usd * count for usd, count in prices if usd is not None]
        return sum(known) if known and len(known) == len(prices) else None

    def _roles(self, project: str) -> Iterator[Resource]:
        for page in self._pages(self._iam, "list_roles"):
            for role in page["Roles"]:
                if not role["RoleName"].startswith(f"{project}-"):
                    continue
                try:
                    tags = {
                        tag["Key"]: tag["Value"]
                        for tags_page in self._pages(self._iam, "list_role_tags", RoleName=role["RoleName"])
                        for tag in tags_page["Tags"]
                    }
                except ClientError as error:
                    if is_not_found(error):
                        continue
                    raise
                if _is_ours(role["RoleName"], tags, project):
                    yield Resource(
                        kind="role",
                        name=role["RoleName"],
                        arn=role["Arn"],
                        status="exists",
                        run_id=tags.get(TAG_RUN_ID) or _run_id_in(role["RoleName"]),
                        path=tags.get(TAG_PATH) or _path_in(role["RoleName"]),
                        created_s=role["CreateDate"].timestamp(),
                        expires_at=tags.get(TAG_EXPIRES_AT),
                        usd_per_hour=None,
                    )

    def _remove_role(self, name: str) -> None:
        for page in self._pages(self._iam, "list_role_policies", RoleName=name):
            for policy in page["PolicyNames"]:
                self._call(self._iam.delete_role_policy, RoleName=name, PolicyName=policy)
        for page in self._pages(self._iam, "list_attached_role_policies", RoleName=name):
            for policy in page["AttachedPolicies"]:
                self._call(self._iam.detach_role_policy, RoleName=name, PolicyArn=policy["PolicyArn"])
        self._call(self._iam.delete_role, RoleName=name)

    def _pages(self, client: Any, operation: str, **arguments: Any) -> list[Mapping[str, Any]]:
        """All pages: if a page is throttled, the listing starts again, so that nothing is lost."""
        paginator = client.get_paginator(operation)
        return cast("list[Mapping[str, Any]]", self._call(lambda: list(paginator.paginate(**arguments))))

    def _call(self, method: Callable[..., Any], **arguments: Any) -> Any:
        pause_s = _FIRST_PAUSE_S
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return method(**arguments)
            except (ClientError, *_LOST_CONNECTION) as error:
                if attempt == _ATTEMPTS or not is_transient(error):
                    raise
                self._sleep(pause_s)
                pause_s *= 2
        raise AssertionError("the last attempt returns or raises")


def is_transient(error: Exception) -> bool:
    """Whether the same call may succeed a moment later."""
    return isinstance(error, _LOST_CONNECTION) or _code(error) in _TRANSIENT


def is_connection_lost(error: Exception) -> bool:
    """Whether there was no response: other calls would fail in the same way."""
    return isinstance(error, _LOST_CONNECTION)


def is_not_found(error: ClientError) -> bool:
    """Whether the service reports that the resource does not exist; SageMaker has two such errors."""
    if _code(error) in ("ResourceNotFound", "ResourceNotFoundException", "NoSuchEntity"):
        return True
    return _code(error) == "ValidationException" and "could not find" in str(error).lower()


def is_refused(error: ClientError) -> bool:
    """Whether the service refuses the request in the current status; it may accept it in another."""
    refusals = ("ValidationException", "ConflictException", "ResourceInUse")
    return _code(error) in refusals and not is_not_found(error)


def _code(error: Exception) -> str:
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def _sort_of(kind: ResourceKind) -> _Sort:
    return next(sort for sort in _SORTS if sort.kind == kind)


def _is_ours(name: str, tags: Mapping[str, str], project: str) -> bool:
    """By tag, or by name if there are no tags, as after a partial creation."""
    if TAG_PROJECT in tags:
        return tags[TAG_PROJECT] == project
    return name.startswith(f"{project}-") and RUN_ID.match(name, len(project) + 1) is not None


def _run_id_in(name: str) -> str | None:
    match = RUN_ID.search(name)
    return match[0] if match else None


def _path_in(name: str) -> str | None:
    match = RUN_ID.search(name)
    return match["path"] if match else None
