"""One timeline from poller, platform and container, on both targets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loadbench.results.timeline import partition
from loadbench.run.observe.lines import LogLine, parse_lines
from loadbench.run.observe.spans import Seen, assemble
from loadbench.run.observe.status import ResourceTimes

FIXTURES = Path(__file__).parent / "fixtures"


def event(phase: str, start_s: float, end_s: float, **more: object) -> LogLine:
    document = {"phase": phase, "start": start_s, "end": end_s, "simulated": False, "bytes": 0, **more}
    return LogLine(end_s, "i-1", json.dumps(document))


def test_on_aws_the_time_before_the_first_line_of_a_model_based_endpoint_is_inferred_provisioning() -> None:
    lines = parse_lines((FIXTURES / "lmi-v14-hub.log").read_text(encoding="utf-8").splitlines())
    request_s, ready_s = lines[0].timestamp_s - 240, lines[-1].timestamp_s + 9
    spans = assemble(Seen(ResourceTimes(request_s, ready_s), ResourceTimes(), None, ready_s, container=lines))
    shares = {share.name: share for share in partition(spans, request_s, ready_s)}
    assert shares["provision"].seconds == pytest.approx(240)
    assert shares["provision"].certainty == "inferred"
    # From "Model [model] initialized." (41 ms before the last line) until the service saw it.
    assert shares["health_check"].seconds == pytest.approx(9.041, abs=1e-3)
    assert shares["unattributed"].seconds == pytest.approx(0, abs=1e-6)


def test_on_aws_a_component_tells_instance_and_image_apart() -> None:
    lines = parse_lines((FIXTURES / "lmi-v14-fast.log").read_text(encoding="utf-8").splitlines())
    first_s, ready_s = lines[0].timestamp_s, lines[-1].timestamp_s + 5
    endpoint = ResourceTimes(first_s - 300, first_s - 120)
    component = ResourceTimes(first_s - 110, ready_s)
    spans = assemble(Seen(endpoint, component, "llama-fast", ready_s, container=lines))
    shares = {share.name: share.seconds for share in partition(spans, first_s - 300, ready_s)}
    # 180 s for the instance, and 10 s until Terraform noticed and asked for the component.
    assert shares["provision"] == pytest.approx(190)
    assert shares["image_pull"] == pytest.approx(110)
    assert shares["unattributed"] == pytest.approx(0, abs=1e-6)


def test_a_platform_that_tells_its_phases_leaves_nothing_to_infer() -> None:
    platform = [event("provision", 0, 2, simulated=True), event("artifact_download", 2, 3, bytes=7)]
    spans = assemble(
        Seen(
            ResourceTimes(0, 10),
            ResourceTimes(),
            None,
            10,
            container=[LogLine(3, "s", "x")],
            platform=platform,
        )
    )
    assert [(span.name, span.certainty, span.clock, span.size_bytes) for span in spans] == [
        ("provision", "simulated", "platform", 0),
        ("artifact_download", "measured", "platform", 7),
    ]


def test_events_of_another_component_on_the_endpoint_are_not_ours() -> None:
    platform = [
        event("provision", 0, 1, inference_component=None),
        event("artifact_download", 1, 2, inference_component="ours"),
        event("artifact_download", 1, 3, inference_component="theirs"),
    ]
    spans = assemble(Seen(ResourceTimes(0), ResourceTimes(1), "ours", None, platform=platform))
    assert [(span.name, span.end_s) for span in spans] == [("provision", 1), ("artifact_download", 2)]


def test_the_wait_for_the_component_to_be_asked_for_is_part_of_provisioning() -> None:
    platform = [event("provision", 0, 1), event("artifact_download", 1.4, 2, inference_component="ours")]
    spans = assemble(Seen(ResourceTimes(0, 1.1), ResourceTimes(1.4, 2), "ours", 2.0, platform=platform))
    shares = {share.name: share for share in partition(spans, 0, 2.0)}
    assert shares["provision"].seconds == pytest.approx(1.3)
    assert shares["provision"].certainty == "measured"


@pytest.mark.parametrize(
    "message", ["no JSON", "[]", '"text"', '{"phase": "provision"}', '{"phase": 1, "start": "x"}']
)
def test_a_platform_line_that_is_no_event_is_passed_over(message: str) -> None:
    spans = assemble(Seen(ResourceTimes(), ResourceTimes(), None, None, platform=[LogLine(1, "i", message)]))
    assert spans == []


def test_statuses_last_until_the_next_one_and_the_last_until_ready() -> None:
    history = [(1.0, "endpoint", "Creating"), (1.0, "variant", "Creating"), (4.0, "endpoint", "InService")]
    spans = assemble(Seen(ResourceTimes(0, 4), ResourceTimes(), None, 6.0, history=history))
    assert {span.name: (span.start_s, span.end_s) for span in spans} == {
        "endpoint Creating": (1.0, 4.0),
        "variant Creating": (1.0, 6.0),
        "endpoint InService": (4.0, 6.0),
    }
