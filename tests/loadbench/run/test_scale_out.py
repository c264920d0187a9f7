"""One scale-out against a service in memory: whatever ends it, the old count is back or is said not to be."""

from __future__ import annotations

import datetime
import io
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError
from rich.console import Console

from loadbench.config import load_config
from loadbench.errors import InterruptedRunError, LeftoverError, RunError, UsageError
from loadbench.results.scale_out_record import load_scale_out
from loadbench.run.run_context import RunContext
from loadbench.run.scale_out import add_copy
from loadbench.ui import Ui
from loadbench.workspace import Workspace
from tests.loadbench.results.builders import make_record

RUN = make_record("standard")


def nothing(count: int) -> None:
    """The service does what it is asked."""


class OneEndpoint:
    """SageMaker, its runtime and its logs for one endpoint; `on_update` gets each count that is asked for."""

    def __init__(self, on_update: Callable[[int], None] = nothing) -> None:
        self.count = 1
        self.asked: list[int] = []
        self.on_update = on_update
        self.status = ["InService"]
        self.reason = ""
        self.modified_s = time.time() - 100

    def client(self, service: str, config: object = None) -> Any:
        return self

    def describe_endpoint(self, EndpointName: str) -> dict[str, Any]:  # noqa: N803 - the service's own names
        status = self.status.pop(0) if len(self.status) > 1 else self.status[0]
        return {
            "EndpointStatus": status,
            "ProductionVariants": [{"VariantName": "AllTraffic", "CurrentInstanceCount": self.count}],
            "LastModifiedTime": datetime.datetime.fromtimestamp(self.modified_s, datetime.UTC),
            "FailureReason": self.reason,
        }

    def update_endpoint_weights_and_capacities(self, **request: Any) -> None:
        count = request["DesiredWeightsAndCapacities"][0]["DesiredInstanceCount"]
        self.asked.append(count)
        self.status, self.modified_s, self.count = ["Updating", "InService"], time.time(), count
        self.on_update(count)

    def get_paginator(self, _: str) -> Any:
        return SimpleNamespace(paginate=lambda **_: [{"logStreams": []}])

    def invoke_endpoint(self, **_: Any) -> Any:
        return {"Body": io.BytesIO(b'{"generated_text": "Paris"}')}


@pytest.fixture
def bench_of(tmp_path: Path) -> Callable[[OneEndpoint], RunContext]:
    def make(service: OneEndpoint) -> RunContext:
        config = load_config(Path(__file__).parents[3] / "config.yaml")
        account = cast("Any", SimpleNamespace(session=service))
        workspace = Workspace(tmp_path, tmp_path)
        return RunContext(
            config, workspace, account, Ui(Console(file=io.StringIO())), ["loadbench", "scale-out"]
        )

    return make


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """The copy's log says nothing here; nobody waits for its last line."""
    from loadbench.run.observe import added_copy

    monkeypatch.setattr(added_copy, "LATE_LOG_LINES_TIMEOUT_S", 0.0)


def recorded(context: RunContext) -> Any:
    (file,) = context.workspace.results_dir.glob("*/scale-out-*.json")
    return load_scale_out(file)


def test_a_copy_is_added_timed_and_taken_away(bench_of: Callable[[OneEndpoint], RunContext]) -> None:
    service = OneEndpoint()
    context = bench_of(service)
    record = add_copy(context, RUN, None, keep=False)
    assert service.asked == [2, 1]
    assert record == recorded(context)
    assert (record.status, record.copies_before, record.copies_after) == ("succeeded", 1, 2)
    assert record.scaled_back_s is not None
    assert all(request.ok for request in record.requests)


def test_a_copy_that_is_to_stay_stays_and_the_next_scale_out_begins_without_it(
    bench_of: Callable[[OneEndpoint], RunContext],
) -> None:
    service = OneEndpoint()
    assert add_copy(bench_of(service), RUN, None, keep=True).scaled_back_s is None
    assert service.asked == [2]
    add_copy(bench_of(service), RUN, None, keep=True)
    assert service.asked == [2, 1, 2]


def interrupt(count: int) -> None:
    if count == 2:
        raise KeyboardInterrupt


def defect(count: int) -> None:
    if count == 2:
        raise ZeroDivisionError


def refuse(count: int) -> None:
    if count == 2:
        raise ClientError({"Error": {"Code": "ResourceLimitExceeded", "Message": "no quota"}}, "Update")


@pytest.mark.parametrize(
    ("happens", "error", "status"),
    [
        (interrupt, InterruptedRunError, "interrupted"),
        (defect, ZeroDivisionError, "failed"),
        (refuse, RunError, "failed"),
    ],
)
def test_whatever_ends_it_the_old_count_is_back_before_the_error_is_raised(
    bench_of: Callable[[OneEndpoint], RunContext],
    happens: Callable[[int], None],
    error: type[BaseException],
    status: str,
) -> None:
    service = OneEndpoint(happens)
    context = bench_of(service)
    with pytest.raises(error):
        add_copy(context, RUN, None, keep=True)
    assert service.asked[-1] == service.count == 1
    record = recorded(context)
    assert record.status == status
    assert record.scaled_back_s is not None


def test_a_copy_that_cannot_be_taken_away_is_named(bench_of: Callable[[OneEndpoint], RunContext]) -> None:
    def both(count: int) -> None:
        raise KeyboardInterrupt

    context = bench_of(OneEndpoint(both))
    with pytest.raises(LeftoverError, match=RUN.names.endpoint) as caught:
        add_copy(context, RUN, None, keep=False)
    assert caught.value.exit_code == 3
    assert recorded(context).scaled_back_s is None


def test_an_endpoint_that_is_gone_is_said_so_before_anything_is_recorded(
    bench_of: Callable[[OneEndpoint], RunContext], tmp_path: Path
) -> None:
    service = OneEndpoint()

    def gone(EndpointName: str) -> Any:  # noqa: N803 - the service's own name
        text = f'Could not find endpoint "{EndpointName}".'
        raise ClientError({"Error": {"Code": "ValidationException", "Message": text}}, "DescribeEndpoint")

    service.describe_endpoint = gone  # type: ignore[method-assign]
    with pytest.raises(UsageError, match="no longer exists"):
        add_copy(bench_of(service), RUN, None, keep=False)
    assert list(tmp_path.glob("results/*/scale-out-*")) == []
