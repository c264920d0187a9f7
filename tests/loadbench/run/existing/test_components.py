"""Inference components of somebody's endpoint: each has a log group, copies and scaling of its own."""

from __future__ import annotations

import io
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.console import Console

from loadbench.config import load_config
from loadbench.errors import InterruptedRunError, UsageError
from loadbench.results.run_record import RunRecord, load_record, record_file
from loadbench.run.existing import observe
from loadbench.run.existing.import_starts import import_endpoint, import_folder
from loadbench.run.existing.observe import observe_endpoint
from loadbench.run.observe import added_copy, observer
from loadbench.run.run_context import RunContext
from loadbench.ui import Ui
from loadbench.workspace import Workspace

from .fake_endpoint import ENDPOINT, Component, FakeEndpoint, activity
from .test_past_starts import log

LOG = log("vllm-compile.log")
BEGAN_S, READY_S = LOG[0].timestamp_s, LOG[-1].timestamp_s
TOOK_S = READY_S - BEGAN_S
ALARM = "monitor alarm TargetTracking-a-AlarmHigh-1 in state ALARM triggered policy track"
NO_CAPACITY = "monitor alarm nobody-serves in state ALARM triggered policy from-zero"


def group(component: str) -> str:
    return f"/aws/sagemaker/InferenceComponents/{component}"


def context(theirs: FakeEndpoint, folder: Path) -> RunContext:
    account = SimpleNamespace(session=theirs, target="aws", region="us-west-2", account_id="1")
    return RunContext(
        load_config(Path(__file__).resolve().parents[4] / "config.yaml", []),
        Workspace(folder, folder),
        cast("Any", account),
        Ui(Console(file=io.StringIO())),
        ["loadbench"],
    )


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (observe, observer):
        monkeypatch.setattr(module, "STATUS_INTERVAL_S", 0.001)
    for module in (added_copy, observer):
        monkeypatch.setattr(module, "LOG_INTERVAL_S", 0.001)


def serving(created_s: float, copies: int = 1, **more: Any) -> Component:
    return Component(created_s, [("InService", copies, created_s + 1)], **more)


def seconds_of(record: RunRecord, phase: str) -> float:
    return sum(span.duration_s for span in record.spans if span.name == phase)


def test_the_copies_of_the_named_component_are_imported_each_with_its_request(tmp_path: Path) -> None:
    day_s = 86_400.0
    theirs = FakeEndpoint(
        {"a": serving(BEGAN_S - 100), "b": serving(BEGAN_S - 5000)},
        lines={
            group("a"): [
                *log("vllm-compile.log", "a/1"),
                *log("vllm-compile.log", "a/2", later_s=TOOK_S / 2),  # the second of two initial copies
                *log("vllm-compile.log", "a/3", later_s=day_s),
                *log("vllm-compile.log", "a/4", later_s=2 * day_s),
            ],
            group("b"): log("sglang.log", "b/1"),
        },
        activities={
            "inference-component/a": [
                activity(BEGAN_S + day_s - 30, READY_S + day_s + 3, 3, ALARM),
                activity(
                    BEGAN_S + day_s + 900, BEGAN_S + day_s + 901, 0, "scheduled action night was triggered"
                ),
                activity(BEGAN_S + 2 * day_s - 40, READY_S + 2 * day_s + 3, 1, NO_CAPACITY),
            ]
        },
    )
    records = import_endpoint(context(theirs, tmp_path), ENDPOINT, "a", since_s=1e9)
    assert {record.names.inference_component for record in records} == {"a"}
    assert {record.endpoint_kind for record in records} == {"inference_component"}
    assert [record.cause for record in records] == ["created", "created", ALARM, NO_CAPACITY]
    began_s = [BEGAN_S, BEGAN_S + TOOK_S / 2, BEGAN_S + day_s, BEGAN_S + 2 * day_s]
    before_s = [100.0, 100.0 + TOOK_S / 2, 30.0, 40.0]
    for record, at_s, waited_s in zip(records, began_s, before_s, strict=True):
        assert record.deployment.request_s == pytest.approx(at_s - waited_s)
        # Instance and image: inferred, and named for a component's copy.
        assert seconds_of(record, "image_pull") == pytest.approx(waited_s)
        assert seconds_of(record, "compilation") > 0
        assert record_file(tmp_path / "results", record.run_id).exists()
        image = next(layer for layer in record.layers if layer.name == "image")
        assert image.state == "unknown", "another component may have brought the image"


def test_the_only_component_needs_no_name(tmp_path: Path) -> None:
    theirs = FakeEndpoint({"a": serving(BEGAN_S - 5)}, lines={group("a"): log("vllm-compile.log", "a/1")})
    (record,) = import_endpoint(context(theirs, tmp_path), ENDPOINT, None, since_s=1e9)
    assert record.names.inference_component == "a"


ADAPTER = {"BaseInferenceComponentName": "a", "Container": {"ArtifactUrl": "s3://b/adapter.tar.gz"}}


@pytest.mark.parametrize(
    ("component", "theirs", "said"),
    [
        (None, FakeEndpoint({"a": serving(0), "b": serving(0)}), "2 inference components: a, b"),
        ("a", FakeEndpoint(model="the-model"), "no inference components: it serves the model the-model"),
        ("a", FakeEndpoint({"a": serving(0, endpoint="other")}), "belongs to the endpoint other"),
        (
            "l",
            FakeEndpoint({"l": serving(0, specification=ADAPTER)}),
            "an adapter, which is loaded by the copies of a",
        ),
    ],
)
def test_a_name_that_does_not_fit_is_refused_at_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    component: str | None,
    theirs: FakeEndpoint,
    said: str,
) -> None:
    with pytest.raises(UsageError, match=said):
        import_endpoint(context(theirs, tmp_path), ENDPOINT, component, since_s=1e9)
    # Waiting does not make the name right.
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("it waits"))
    with pytest.raises(UsageError, match=said):
        observe_endpoint(context(theirs, tmp_path), ENDPOINT, component, wait_s=1e9)


@pytest.mark.parametrize(
    ("endpoint", "component", "said"),
    [("nobody", None, "no endpoint 'nobody'"), (ENDPOINT, "nobody", "no inference component 'nobody'")],
)
def test_what_does_not_exist_is_named_and_observe_waits_for_it(
    tmp_path: Path, endpoint: str, component: str | None, said: str
) -> None:
    theirs = FakeEndpoint({"a": serving(0)})
    with pytest.raises(UsageError, match=said):
        import_endpoint(context(theirs, tmp_path), endpoint, component, since_s=1e9)
    with pytest.raises(UsageError, match=said):
        observe_endpoint(context(theirs, tmp_path), endpoint, component, wait_s=0.0)


def test_an_endpoint_whose_model_and_configuration_were_deleted_is_still_described(tmp_path: Path) -> None:
    theirs = FakeEndpoint(
        {"a": serving(BEGAN_S - 5)},
        lines={group("a"): log("vllm-compile.log", "a/1")},
        deleted=("the-config", "the-model"),
    )
    (record,) = import_endpoint(context(theirs, tmp_path), ENDPOINT, None, since_s=1e9)
    assert record.names.inference_component == "a"
    model_based = FakeEndpoint(
        model="the-model",
        created_s=BEGAN_S - 5,
        lines={f"/aws/sagemaker/Endpoints/{ENDPOINT}": log("vllm-compile.log", "AllTraffic/i-1")},
        deleted=("the-config", "the-model"),
    )
    (record,) = import_endpoint(context(model_based, tmp_path), ENDPOINT, None, since_s=1e9)
    assert (record.image, record.instance_type) == ("vllm:1", "unknown")


def test_a_component_is_observed_while_it_is_created(tmp_path: Path) -> None:
    theirs = FakeEndpoint(
        {
            "a": Component(
                BEGAN_S - 50,
                [*[("Creating", 0, BEGAN_S - 50)] * 3, ("InService", 1, READY_S + 4)],
            )
        },
        created_s=BEGAN_S - 9000,
        lines={group("a"): log("vllm-compile.log", "a/1")},
    )
    record = observe_endpoint(context(theirs, tmp_path), ENDPOINT, "a")
    assert record.deployment.request_source == "the component's CreationTime"
    assert record.time_to_ready_s == pytest.approx(READY_S + 4 - (BEGAN_S - 50))
    assert seconds_of(record, "image_pull") == pytest.approx(50)
    assert seconds_of(record, "compilation") > 0
    assert load_record(record_file(tmp_path / "results", record.run_id)).status == "succeeded"


def scaled(theirs: FakeEndpoint, script: list[tuple[str, int, float]], new: str, at: int = 3) -> FakeEndpoint:
    """Its component has this script; the new copy's lines appear with the Describe call number `at`."""
    calls = iter(range(1, 1000))
    theirs.components["a"] = Component(BEGAN_S - 9000, script)

    def described() -> None:
        if next(calls) == at:
            theirs.lines[group("a")] += log("vllm-compile.log", new)

    theirs.on_describe = described
    return theirs


@pytest.mark.parametrize("before", [1, 0], ids=["one more copy", "from zero"])
def test_a_copy_that_is_added_is_observed_without_the_others(tmp_path: Path, before: int) -> None:
    theirs = scaled(
        FakeEndpoint(lines={group("a"): log("vllm-compile.log", "a/old", later_s=-8000)}),
        [
            *[("InService", before, BEGAN_S - 8000)] * 3,
            *[("Updating", before, BEGAN_S - 20)] * 2,
            ("InService", before + 1, READY_S + 2),
        ],
        "a/new",
        at=5,
    )
    record = observe_endpoint(context(theirs, tmp_path), ENDPOINT, "a")
    assert record.time_to_ready_s == pytest.approx(TOOK_S + 22)
    assert seconds_of(record, "image_pull") == pytest.approx(20)
    stored = (tmp_path / "results" / record.run_id / "container.log").read_text(encoding="utf-8")
    assert "[a/new]" in stored
    assert "[a/old]" not in stored


def test_a_change_in_progress_is_counted_from_its_request(tmp_path: Path) -> None:
    lines = [*log("vllm-compile.log", "a/old", later_s=-8000), *log("vllm-compile.log", "a/new")[:3]]
    theirs = FakeEndpoint(lines={group("a"): lines})
    theirs.components["a"] = Component(
        BEGAN_S - 9000,
        [*[("Updating", 1, BEGAN_S - 20)] * 3, ("InService", 2, READY_S + 2)],
    )
    calls = iter(range(1, 1000))
    theirs.on_describe = lambda: (
        lines.extend(log("vllm-compile.log", "a/new")[3:]) if next(calls) == 4 else None
    )
    record = observe_endpoint(context(theirs, tmp_path), ENDPOINT, "a")
    assert record.time_to_ready_s == pytest.approx(TOOK_S + 22)
    assert seconds_of(record, "image_pull") == pytest.approx(20)
    assert seconds_of(record, "compilation") > 0


def test_an_update_that_replaces_a_copy_is_a_start(tmp_path: Path) -> None:
    theirs = scaled(
        FakeEndpoint(lines={group("a"): log("vllm-compile.log", "a/old", later_s=-8000)}),
        [
            *[("InService", 1, BEGAN_S - 8000)] * 2,
            *[("Updating", 1, BEGAN_S - 20)] * 3,
            ("InService", 1, READY_S + 2),
        ],
        "a/new",
    )
    assert observe_endpoint(context(theirs, tmp_path), ENDPOINT, "a").status == "succeeded"


def test_ctrl_c_keeps_what_was_seen_of_the_new_copy(tmp_path: Path) -> None:
    theirs = scaled(
        FakeEndpoint(lines={group("a"): log("vllm-compile.log", "a/old", later_s=-8000)}),
        [*[("InService", 1, BEGAN_S - 8000)] * 2, ("Updating", 1, BEGAN_S - 20)],
        "a/new",
    )
    seen, calls = theirs.on_describe, iter(range(1, 1000))

    def stopped() -> None:
        seen()
        if next(calls) == 6:
            raise KeyboardInterrupt

    theirs.on_describe = stopped
    with pytest.raises(InterruptedRunError):
        observe_endpoint(context(theirs, tmp_path), ENDPOINT, "a")
    (file,) = (tmp_path / "results").glob("*/run.json")
    record = load_record(file)
    assert record.status == "interrupted"
    assert seconds_of(record, "compilation") > 0


def test_exported_logs_of_a_component_are_recorded_under_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "exported"
    folder.mkdir()
    (folder / "a.log").write_text("".join(f"{line.message}\n" for line in LOG), encoding="utf-8")
    (record,) = import_folder(tmp_path / "results", ["loadbench"], ENDPOINT, folder, "a")
    assert (record.path, record.endpoint_kind) == ("a", "inference_component")
