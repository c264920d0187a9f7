"""invoke.py is Python that parses, and sends what the run sent to the endpoint that the run made."""

from __future__ import annotations

import ast
import json
from typing import Any

import pytest

from loadbench.results.reports import snippet
from loadbench.results.run_record import RunRecord
from tests.loadbench.results.builders import make_record

SAMPLE = {
    "inputs": "Quotes: \" ' and \\ and {{ x }} and \n ☃",
    "parameters": {"do_sample": True, "top_p": None},
}


def request_of(record: RunRecord) -> dict[str, Any]:
    """The arguments of the script's invoke_endpoint, the body decoded."""
    tree = ast.parse(snippet.render(record))
    (call,) = (
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "invoke_endpoint"
    )
    found: dict[str, Any] = {}
    for keyword in call.keywords:
        value = keyword.value.args[0] if isinstance(keyword.value, ast.Call) else keyword.value
        found[str(keyword.arg)] = ast.literal_eval(value)
    return found


@pytest.mark.parametrize("component", [None, "loadbench-component"])
def test_the_request_names_what_the_run_made(component: str | None) -> None:
    record = make_record("fast")
    record.names.inference_component = component
    record.configuration["fast_model_loading_info"] = {"sample_input": SAMPLE}
    request = request_of(record)
    assert request["EndpointName"] == record.names.endpoint
    assert request.get("InferenceComponentName") == component
    assert json.loads(json.dumps(request["Body"])) == SAMPLE


def test_the_standard_path_takes_the_sample_of_the_section_that_has_one() -> None:
    record = make_record("standard")
    record.configuration["standard_deployment_info"] = {"sample_input": None}
    record.configuration["fast_model_loading_info"] = {"sample_input": SAMPLE}
    assert request_of(record)["Body"] == SAMPLE


@pytest.mark.parametrize(("target", "said"), [("local", True), ("aws", False)])
def test_the_snippet_says_how_to_reach_the_embedded_target(target: Any, said: bool) -> None:
    record = make_record("standard").model_copy(update={"target": target})
    assert ("local env" in snippet.render(record)) is said
