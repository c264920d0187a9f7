"""The order of a live check, what it leaves behind, and what its file says."""

from __future__ import annotations

import errno
import io
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError
from rich.console import Console

from loadbench.config import load_config
from loadbench.errors import InterruptedRunError, LeftoverError, LoadbenchError, RunError
from loadbench.load_paths import LoadPath
from loadbench.results.run_record import RunRecord, write_atomically
from loadbench.run.live_check import walk
from loadbench.run.live_check.facts import FACTS, Finding
from loadbench.run.run_context import RunContext
from loadbench.ui import Ui
from loadbench.workspace import Workspace
from tests.loadbench.results.builders import make_record

ROOT = Path(__file__).resolve().parents[4]
ACCOUNT_ID = "123456789012"


class Account:
    """Stands in for everything that a walk makes; notes the order, and fails where it is to."""

    def __init__(self, failures: dict[str, BaseException]) -> None:
        self.failures, self.calls, self.up = failures, list[str](), set[str]()

    def rehearse(self, context: RunContext, load_path: LoadPath) -> None:
        self._call(f"rehearse {load_path}")

    def run_path(self, context: RunContext, load_path: LoadPath) -> RunRecord:
        self._call(f"run {load_path}")
        self.up.add(load_path)
        if load_path == "streamer":  # its weights stream, too
            return make_record("fast").model_copy(update={"path": load_path, "optimization": None})
        return make_record(load_path)

    def add_copy(self, context: RunContext, run: RunRecord, pair: None, *, keep: bool) -> None:
        assert run.path in self.up and not keep
        self._call(f"scale-out {run.path}")

    def remove_run(self, context: RunContext, run: Any) -> None:
        self._call(f"remove {run.path}")
        self.up.remove(run.path)

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name in self.failures:
            raise self.failures[name]


@pytest.fixture
def context(tmp_path: Path) -> RunContext:
    return RunContext(
        config=load_config(ROOT / "config.yaml"),
        workspace=Workspace(ROOT, tmp_path),
        account=cast(Any, SimpleNamespace(session=Session(), account_id=ACCOUNT_ID)),
        ui=Ui(Console(file=io.StringIO())),
        command=["loadbench", "live-check"],
    )


class Session:
    """What the evidence asks the services."""

    exceptions = SimpleNamespace(NoSuchKey=KeyError, ResourceNotFoundException=KeyError)

    def client(self, service: str) -> Session:
        return self

    def get_object(self, **_: str) -> dict[str, Any]:
        return {"Body": io.BytesIO(b"option.load_format=sagemaker_fast_model_loader\n")}

    def describe_log_streams(self, **_: str) -> dict[str, Any]:
        return {"logStreams": [{}, {}]}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Account]:
    account = Account(getattr(request, "param", {}))
    for name in ("rehearse", "run_path", "add_copy", "remove_run"):
        monkeypatch.setattr(walk, name, getattr(account, name))
    read = [Finding(fact.id, fact.claim, "could not tell", f"account {ACCOUNT_ID}") for fact in FACTS]
    monkeypatch.setattr(walk, "find_out", lambda context: read)
    yield account
    assert not account.up or "remove" in str(account.failures)


def document(context: RunContext) -> dict[str, Any]:
    (file,) = context.workspace.results_dir.glob("live-check-*.json")
    parsed: dict[str, Any] = json.loads(file.read_text())
    return parsed


def answers(context: RunContext) -> dict[str, str]:
    return {fact["id"]: fact["answer"] for fact in document(context)["facts"]}


def test_the_cheapest_goes_first_and_nothing_is_left(context: RunContext, made: Account) -> None:
    checked = walk.live_check(context, lambda step: True)
    assert made.calls == [
        *(f"rehearse {load_path}" for load_path in context.config.paths),
        *("run standard", "remove standard", "run streamer", "remove streamer"),
        *("run fast", "scale-out fast", "remove fast"),
    ]
    assert not checked.has_failed
    assert {step["outcome"] for step in document(context)["steps"]} == {"done"}
    assert answers(context)["stream-of-a-copy"] == "confirmed"
    assert answers(context)["policy-suffices"] == "could not tell"


def test_the_file_names_no_account_and_is_private(context: RunContext, made: Account) -> None:
    file = walk.live_check(context, lambda step: True).file
    assert ACCOUNT_ID not in file.read_text()
    assert "account ACCOUNT" in file.read_text()
    assert file.stat().st_mode & 0o077 == 0


def test_what_is_declined_is_not_paid_for_and_settles_nothing(context: RunContext, made: Account) -> None:
    asked: list[str] = []

    def ask(step: str) -> bool:
        asked.append(step)
        return step == "run fast"

    walk.live_check(context, ask)
    assert asked == ["run standard", "run streamer", "run fast", "scale-out fast"]
    assert [call for call in made.calls if not call.startswith("rehearse")] == ["run fast", "remove fast"]
    outcomes = {step["name"]: step["outcome"] for step in document(context)["steps"]}
    assert [name for name, outcome in outcomes.items() if outcome == "declined"] == [
        "run standard",
        "run streamer",
        "scale-out fast",
    ]
    assert answers(context)["capacity-of-components"] == "could not tell"
    assert answers(context)["lines-of-the-container"] == "could not tell"


@pytest.mark.parametrize(
    ("made", "absent", "contradicted"),
    [
        ({"run standard": RunError("no capacity")}, "remove standard", None),
        (
            {"rehearse fast": RunError("UnsupportedActionException: CREATE")},
            "run fast",
            "endpoint-config-by-cloud-control",
        ),
        (
            {"scale-out fast": RunError("UpdateEndpointWeightsAndCapacities: not for components")},
            "run none",
            "capacity-of-components",
        ),
        (
            {"run streamer": RunError("AccessDenied: s3:GetObject")},
            "remove streamer",
            "streamer-finds-its-role",
        ),
    ],
    indirect=["made"],
)
def test_a_failed_step_is_noted_and_the_next_one_is_tried(
    context: RunContext, made: Account, absent: str, contradicted: str | None
) -> None:
    checked = walk.live_check(context, lambda step: True)
    assert checked.has_failed
    assert absent not in made.calls
    assert made.calls[-1] == ("remove fast" if absent != "run fast" else "remove streamer")
    (failed,) = [step for step in document(context)["steps"] if step["outcome"] == "failed"]
    assert failed["words"] == next(iter(made.failures.values())).args[0]
    assert [fact for fact, answer in answers(context).items() if answer == "contradicted"] == (
        [contradicted] if contradicted else []
    )


@pytest.mark.parametrize(
    ("made", "error"),
    [
        ({"remove standard": LeftoverError("endpoint e is still there")}, LeftoverError),
        ({"scale-out fast": InterruptedRunError("stopped")}, InterruptedRunError),
        ({"scale-out fast": KeyboardInterrupt()}, KeyboardInterrupt),
    ],
    indirect=["made"],
)
def test_what_stays_or_stops_ends_the_check_with_its_file_written(
    context: RunContext, made: Account, error: type[LoadbenchError]
) -> None:
    with pytest.raises(error):
        walk.live_check(context, lambda step: True)
    assert made.calls[-1].startswith("remove")
    assert document(context)["steps"][-1]["name"] in ("run standard", "scale-out fast")


@pytest.mark.parametrize(
    ("late_s", "answer"), [(0.3, "confirmed"), (5.0, "could not tell"), (40.0, "contradicted")]
)
def test_the_services_clock_is_judged_by_ours(
    context: RunContext, made: Account, monkeypatch: pytest.MonkeyPatch, late_s: float, answer: str
) -> None:
    def run_path(context: RunContext, load_path: LoadPath) -> RunRecord:
        record = made.run_path(context, load_path)
        assert record.deployment.ready_s is not None
        record.deployment.poller_ready_s = record.deployment.ready_s + late_s
        return record

    monkeypatch.setattr(walk, "run_path", run_path)
    walk.live_check(context, lambda step: step == "run standard")
    assert answers(context)["last-modified-is-in-service"] == answer


def test_a_log_whose_lines_are_not_known_contradicts_what_was_assumed(
    context: RunContext, made: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_path(context: RunContext, load_path: LoadPath) -> RunRecord:
        record = made.run_path(context, load_path)
        record.spans = [span for span in record.spans if span.clock != "container"]
        return record

    monkeypatch.setattr(walk, "run_path", run_path)
    walk.live_check(context, lambda step: step == "run standard")
    assert answers(context)["lines-of-the-container"] == "contradicted"


def test_an_endpoint_is_removed_also_where_the_file_cannot_be_written(
    context: RunContext, made: Account, monkeypatch: pytest.MonkeyPatch
) -> None:

    def full(file: Path, text: str, *, private: bool) -> Path:
        if made.up:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_atomically(file, text, private=private)

    monkeypatch.setattr(walk, "write_atomically", full)
    with pytest.raises(OSError, match="No space"):
        walk.live_check(context, lambda step: True)
    assert made.calls[-2:] == ["run standard", "remove standard"]


def test_evidence_that_may_not_be_read_settles_nothing_and_is_read_once(
    context: RunContext, made: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def refused(self: Session, **_: str) -> dict[str, Any]:
        raise ClientError({"Error": {"Code": "AccessDenied"}}, "GetObject")

    def streams(self: Session, **_: str) -> dict[str, Any]:
        asked.append("streams")
        return {"logStreams": [{}, {}]}

    monkeypatch.setattr(Session, "get_object", refused)
    monkeypatch.setattr(Session, "describe_log_streams", streams)
    assert not walk.live_check(context, lambda step: True).has_failed
    assert answers(context)["platform-names-the-artifact"] == "could not tell"
    assert asked == ["streams"]
