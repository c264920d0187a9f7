"""Waiting for counts: what the service says late, says twice, or refuses."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from loadbench.errors import RunError
from loadbench.results.run_record import ResourceNames
from loadbench.run.capacity import CountedResource, Reading, Watch, counts_of


@dataclass
class ScriptedCount:
    """Gives its readings one after another; the last one stays."""

    readings: list[Reading]
    resource: CountedResource = "endpoint"
    follows_copies: bool = False
    asked: list[int] = field(default_factory=list)

    def read(self) -> Reading:
        return self.readings.pop(0) if len(self.readings) > 1 else self.readings[0]

    def ask(self, count: int) -> None:
        self.asked.append(count)


def reading(status: str, current: int, modified_s: float, reason: str = "") -> Reading:
    return Reading(status, current, modified_s, reason)


@dataclass
class Clock:
    now_s: float = 1000.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


def watch() -> Watch:
    clock = Clock()
    return Watch(clock=clock, sleep=clock.sleep)


def test_a_change_lasts_from_the_services_request_to_its_last_modification() -> None:
    count = ScriptedCount(
        [
            reading("InService", 1, 500.0),
            reading("Updating", 1, 990.0),
            reading("Updating", 1, 991.0),
            reading("InService", 2, 1040.0),
        ]
    )
    requests: list[float] = []
    observer = watch()
    assert observer.change(count, 2, requests.append) == 1040.0
    assert (count.asked, requests) == ([2], [990.0])
    assert [(who, status) for _, who, status in observer.history] == [
        ("endpoint", "InService"),
        ("endpoint", "Updating"),
        ("endpoint", "InService"),
    ]


def test_a_status_from_before_the_request_is_not_taken_for_its_end() -> None:
    before = reading("InService", 1, 500.0)
    count = ScriptedCount(
        [before, before, before, reading("Updating", 1, 990.0), reading("InService", 2, 1040.0)]
    )
    requests: list[float] = []
    assert watch().change(count, 2, requests.append) == 1040.0
    assert requests == [1000.0]  # the client's clock, where the service's time of the request was not seen


def test_a_change_that_is_over_at_once_is_seen() -> None:
    count = ScriptedCount([reading("InService", 1, 500.0), reading("InService", 2, 1000.01)])
    assert watch().change(count, 2) == 1000.01


def test_what_is_under_way_is_waited_for_before_anything_is_asked() -> None:
    count = ScriptedCount(
        [reading("Updating", 1, 500.0), reading("InService", 2, 600.0), reading("InService", 1, 1001.0)]
    )
    assert watch().change(count, 1) == 1001.0


@pytest.mark.parametrize(
    ("last", "says"),
    [
        (reading("InService", 1, 1001.0, "no capacity"), "no capacity"),
        (reading("InService", 1, 1001.0), "1 instead of 2"),
        (reading("Failed", 0, 1001.0, "a copy died"), "is Failed with 0 instead of 2 instances: a copy died"),
    ],
)
def test_a_count_that_does_not_come_is_an_error_with_the_services_reason(last: Reading, says: str) -> None:
    count = ScriptedCount([reading("InService", 1, 500.0), reading("Updating", 1, 1000.0), last])
    with pytest.raises(RunError, match=says):
        watch().change(count, 2)


def test_waiting_ends_after_more_than_an_hour() -> None:
    count = ScriptedCount([reading("Updating", 1, 500.0)])
    with pytest.raises(RunError, match="still Updating"):
        watch().settled(count)


def test_a_component_grows_after_its_endpoint() -> None:
    names = ResourceNames(endpoint="e", endpoint_configuration="e", model="e")
    both = names.model_copy(update={"inference_component": "c"})
    assert [count.resource for count in counts_of(None, names)] == ["endpoint"]
    assert [count.resource for count in counts_of(None, both)] == ["endpoint", "inference component"]
