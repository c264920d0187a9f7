"""A run whose endpoint answers wrongly does not count."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadbench.config import load_config
from loadbench.errors import RunError
from loadbench.results.run_record import Invocation
from loadbench.run.requests.answer_check import check_answers, expected_words, report_wrong_answer

ROOT = Path(__file__).resolve().parents[4]
SEED = ROOT / "tests" / "loadbench" / "fixtures" / "seed.yaml"


def first(text: str | None, *, ok: bool = True) -> list[Invocation]:
    return [Invocation(kind="first", start_s=0, latency_s=1, ok=ok, output_text=text)]


@pytest.mark.parametrize("load_path", ["standard", "fast"])
def test_the_words_of_the_sample_answer_that_the_question_lacks_are_expected(load_path: str) -> None:
    assert expected_words(load_config(SEED), load_path) == ["Paris"]


def test_configured_words_take_precedence_and_an_empty_list_turns_the_check_off() -> None:
    assert expected_words(load_config(SEED, ["benchmark.expected_words=[Rome]"]), "fast") == ["Rome"]
    assert expected_words(load_config(SEED, ["benchmark.expected_words=[]"]), "fast") == []


def test_nothing_is_expected_of_random_weights() -> None:
    config = load_config(SEED, ["standard_deployment_info.hf_model_id=synthetic:llama-1b"])
    assert expected_words(config, "standard") == []


@pytest.mark.parametrize("answer", ["The capital of France is Paris.", "PARIS", "**Paris**, of course"])
def test_an_answer_that_contains_the_words_passes(answer: str) -> None:
    check = check_answers(first(answer), ["Paris"])
    assert check is not None
    assert check.missing == []
    report_wrong_answer(check, first(answer), is_configured=True, on_warning=pytest.fail)


@pytest.mark.parametrize("answer", ["The capital of France is Lyon.", "", None, "Parisian cafes"])
def test_an_answer_without_them_is_reported_and_ends_the_run_if_they_are_configured(
    answer: str | None,
) -> None:
    check = check_answers(first(answer), ["Paris"])
    assert check is not None
    assert check.missing == ["Paris"]
    warnings: list[str] = []
    report_wrong_answer(check, first(answer), is_configured=False, on_warning=warnings.append)
    assert "without the expected 'Paris'" in warnings[0]
    with pytest.raises(RunError, match="without the expected 'Paris'") as caught:
        report_wrong_answer(check, first(answer), is_configured=True, on_warning=pytest.fail)
    assert "benchmark.expected_words" in caught.value.remedy


def test_a_first_request_that_failed_is_reported_as_such_and_not_as_a_wrong_answer() -> None:
    assert check_answers(first(None, ok=False), ["Paris"]) is None
