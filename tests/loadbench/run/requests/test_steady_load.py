"""Requests while something else happens: sent until the end, failures counted, answers short."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from botocore.exceptions import ClientError

from loadbench.results.run_record import ResourceNames
from loadbench.run.requests.steady_load import SteadyRequests, short

NAMES = ResourceNames(endpoint="e", endpoint_configuration="e", model="e")


class FlakyRuntime:
    """InvokeEndpoint that answers, fails, answers, …"""

    def __init__(self) -> None:
        self.asked = 0
        self.first = threading.Event()

    def client(self, service: str, config: object) -> Any:
        return self

    def invoke_endpoint(self, **_: object) -> Any:
        self.asked += 1
        self.first.set()
        if self.asked % 2 == 0:
            raise ClientError(
                {"Error": {"Code": "ServiceUnavailable", "Message": "no copy"}}, "InvokeEndpoint"
            )
        return {"Body": self}

    def read(self) -> bytes:
        return b'{"generated_text": "Paris"}'


def test_requests_go_on_until_the_end_and_one_comes_after_it() -> None:
    runtime = FlakyRuntime()
    with SteadyRequests(runtime, NAMES, {"inputs": "?"}) as requests:
        assert runtime.first.wait(10)
    assert len(requests.answered) == runtime.asked >= 2
    assert [item.ok for item in requests.answered[:2]] == [True, False]
    assert requests.answered[1].error == "no copy"
    assert requests.words() == f"requests: {runtime.asked}, failed: {runtime.asked // 2}"


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (
            {"inputs": "?", "parameters": {"max_new_tokens": 100, "temperature": 0.7}},
            {"inputs": "?", "parameters": {"max_new_tokens": 8, "temperature": 0.7}},
        ),
        ({"inputs": "?"}, {"inputs": "?", "parameters": {"max_new_tokens": 8}}),
        ({"messages": [], "max_tokens": 50}, {"messages": [], "max_tokens": 8}),
    ],
)
def test_answers_are_short_in_either_form(payload: dict[str, Any], expected: dict[str, Any]) -> None:
    assert short(payload) == expected
