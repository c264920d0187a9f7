"""SageMaker and IAM in memory, for failures that no service can be made to show at a wanted moment.

It answers one level below the code under test: boto3's clients. Lists come in pages of two; time passes only
when somebody sleeps.
"""
# ruff: noqa: N803 -- the arguments are the service's own names

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

NOUNS = {
    "optimization_job": "OptimizationJob",
    "inference_component": "InferenceComponent",
    "endpoint": "Endpoint",
    "endpoint_config": "EndpointConfig",
    "model": "Model",
}
ITEMS = {"optimization_job": "OptimizationJobSummaries"}
CREATED = datetime.datetime(2026, 11, 23, 6, 15, 30, tzinfo=datetime.UTC)


def client_error(code: str, message: str = "a message", operation: str = "Operation") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


@dataclass
class Thing:
    sort: str
    name: str
    tags: dict[str, str]
    status: str = "InService"
    ready_s: float = 0.0  # until then its status says that it is being made
    removal_s: float = 0.0  # how long a removal takes
    gone_s: float | None = None
    endpoint: str = ""
    instance_type: str = "ml.g5.2xlarge"
    instance_count: int = 2


@dataclass
class FakeAccount:
    """`things` exist; `errors` are raised, first come first served, by the operation on the name."""

    now_s: float = 0.0
    things: list[Thing] = field(default_factory=list)
    errors: dict[tuple[str, str], list[Exception]] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)  # "<sort> <name>", in order

    def client(self, service: str) -> Any:
        return _SageMaker(self) if service == "sagemaker" else _Iam(self)

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def clock(self) -> float:
        return self.now_s

    def add(self, sort: str, name: str, tags: Mapping[str, str], **changes: Any) -> Thing:
        thing = Thing(sort, name, dict(tags), **changes)
        self.things.append(thing)
        return thing

    def alive(self, sort: str | None = None) -> list[Thing]:
        return [
            thing
            for thing in self.things
            if (thing.gone_s is None or thing.gone_s > self.now_s) and sort in (None, thing.sort)
        ]

    def find(self, sort: str, name: str) -> Thing:
        for thing in self.alive(sort):
            if thing.name == name:
                return thing
        if sort in ("role", "optimization_job"):
            raise client_error("NoSuchEntity" if sort == "role" else "ResourceNotFound", "not here")
        raise client_error("ValidationException", f'Could not find {sort} "{name}".')

    def fail(self, operation: str, name: str) -> None:
        waiting = self.errors.get((operation, name)) or self.errors.get((operation, ""))
        if waiting:
            raise waiting.pop(0)

    def status(self, thing: Thing) -> str:
        if thing.gone_s is not None:
            return "Deleting"
        return "Creating" if thing.ready_s > self.now_s else thing.status


def in_pages(items: list[Any], key: str) -> Iterator[dict[str, Any]]:
    for start in range(0, max(len(items), 1), 2):
        yield {key: items[start : start + 2]}


@dataclass
class _Paginator:
    list_all: Callable[..., Iterator[dict[str, Any]]]

    def paginate(self, **filters: Any) -> Iterator[dict[str, Any]]:
        return self.list_all(**filters)


@dataclass
class _SageMaker:
    account: FakeAccount

    def get_paginator(self, operation: str) -> _Paginator:
        if operation == "list_tags":
            return _Paginator(self._list_tags)
        return _Paginator(lambda **filters: self._list(operation.removeprefix("list_")[:-1], **filters))

    def __getattr__(self, operation: str) -> Any:
        verb, _, sort = operation.partition("_")
        action = {"describe": self._describe, "delete": self._delete, "stop": self._delete}[verb]
        return lambda **arguments: action(operation, sort, arguments[f"{NOUNS[sort]}Name"])

    def _arn(self, thing: Thing) -> str:
        return f"arn:aws:sagemaker:us-west-2:123456789012:{thing.sort.replace('_', '-')}/{thing.name}"

    def _list(
        self, sort: str, NameContains: str = "", EndpointNameEquals: str = ""
    ) -> Iterator[dict[str, Any]]:
        self.account.fail(f"list_{sort}s", "")
        summaries = [
            self._answer(thing) | {"CreationTime": CREATED}
            for thing in self.account.alive(sort)
            if NameContains in thing.name and EndpointNameEquals in ("", thing.endpoint)
        ]
        return in_pages(summaries, ITEMS.get(sort, f"{NOUNS[sort]}s"))

    def _list_tags(self, ResourceArn: str) -> Iterator[dict[str, Any]]:
        thing = next(thing for thing in self.account.things if self._arn(thing) == ResourceArn)
        self.account.fail("list_tags", thing.name)
        return in_pages([{"Key": key, "Value": value} for key, value in thing.tags.items()], "Tags")

    def _answer(self, thing: Thing) -> dict[str, Any]:
        noun = NOUNS[thing.sort]
        answer = {f"{noun}Name": thing.name, f"{noun}Arn": self._arn(thing)}
        if thing.sort in ("endpoint", "inference_component", "optimization_job"):
            answer[f"{noun}Status"] = self.account.status(thing)
        return answer

    def _describe(self, operation: str, sort: str, name: str) -> dict[str, Any]:
        self.account.fail(operation, name)
        thing = self.account.find(sort, name)
        variant = {"VariantName": "AllTraffic"}
        variants: list[dict[str, Any]] = [variant | {"DesiredInstanceCount": thing.instance_count}]
        if sort == "endpoint_config":
            variants = [variant | {"InstanceType": thing.instance_type, "InitialInstanceCount": 2}]
        return self._answer(thing) | {
            "EndpointConfigName": name,
            "ProductionVariants": variants,
            "DeploymentInstanceType": thing.instance_type,
        }

    def _delete(self, operation: str, sort: str, name: str) -> None:
        self.account.fail(operation, name)
        thing = self.account.find(sort, name)
        if thing.ready_s > self.account.now_s:
            raise client_error("ValidationException", f'Cannot update in-progress {sort} "{name}".')
        attached = [item for item in self.account.alive("inference_component") if item.endpoint == name]
        if sort == "endpoint" and attached:
            raise client_error("ValidationException", "Inference components are still attached.")
        thing.gone_s = self.account.now_s + thing.removal_s
        self.account.removed.append(f"{sort} {name}")


@dataclass
class _Iam:
    account: FakeAccount

    def get_paginator(self, operation: str) -> _Paginator:
        roles = [
            {
                "RoleName": thing.name,
                "Arn": f"arn:aws:iam::123456789012:role/{thing.name}",
                "CreateDate": CREATED,
            }
            for thing in self.account.alive("role")
        ]
        answers: dict[str, Callable[..., Iterator[dict[str, Any]]]] = {
            "list_roles": lambda: in_pages(roles, "Roles"),
            "list_role_tags": lambda RoleName: in_pages(
                [
                    {"Key": key, "Value": value}
                    for key, value in self.account.find("role", RoleName).tags.items()
                ],
                "Tags",
            ),
            "list_role_policies": lambda RoleName: in_pages(["one", "two", "three"], "PolicyNames"),
            "list_attached_role_policies": lambda RoleName: in_pages(
                [{"PolicyArn": "arn:aws:iam::aws:policy/Mine"}], "AttachedPolicies"
            ),
        }
        return _Paginator(answers[operation])

    def get_role(self, RoleName: str) -> None:
        self.account.find("role", RoleName)

    def delete_role_policy(self, RoleName: str, PolicyName: str) -> None:
        self.account.removed.append(f"policy {PolicyName}")

    def detach_role_policy(self, RoleName: str, PolicyArn: str) -> None:
        self.account.removed.append(f"attached {PolicyArn}")

    def delete_role(self, RoleName: str) -> None:
        self.account.fail("delete_role", RoleName)
        self.account.find("role", RoleName).gone_s = self.account.now_s
        self.account.removed.append(f"role {RoleName}")
