"""Whether an endpoint's answer is the expected one: a wrong one is reported, or ends the run."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from loadbench.config import Config
from loadbench.errors import RunError
from loadbench.load_paths import LoadPath
from loadbench.results.run_record import AnswerCheck, Invocation
from loadbench.run.models.synthetic import is_synthetic

_SHOWN_CHARACTERS = 200


def expected_words(config: Config, load_path: LoadPath) -> list[str]:
    """The words that a correct answer contains; empty if nothing can be expected.

    `benchmark.expected_words` takes precedence. Otherwise these are the words of the sample
    answer that the question does not contain: "Paris" for the capital of France. Random weights give no
    meaningful answer, so nothing is expected of a synthetic model.
    """
    if config.benchmark.expected_words is not None:
        return list(config.benchmark.expected_words)
    if is_synthetic(config.deployment(load_path).hf_model_id):
        return []
    asked = {word.casefold() for word in _words(_texts(config.sample_input(load_path)))}
    answer = _words(_texts(config.sample_output(load_path)))
    return list(dict.fromkeys(word for word in answer if word.casefold() not in asked))


def check_answers(invocations: Sequence[Invocation], expected: Sequence[str]) -> AnswerCheck | None:
    """Compare the first answer with the expected words; None without expectations or without an answer."""
    first = next((item for item in invocations if item.kind == "first" and item.ok), None)
    if not expected or first is None:
        return None
    answer = {word.casefold() for word in _words(first.output_text or "")}
    missing = [word for word in expected if not {part.casefold() for part in _words(word)} <= answer]
    return AnswerCheck(expected=list(expected), missing=missing)


def report_wrong_answer(
    check: AnswerCheck | None,
    invocations: Sequence[Invocation],
    *,
    is_configured: bool,
    on_warning: Callable[[str], None],
) -> None:
    """Report words that are missing from the first answer.

    Raises RunError for configured words. Words derived from the sample answer are a warning: a model that
    words its answer differently, or a small one with random weights, is not a failure.
    """
    if check is None or not check.missing:
        return
    answer = (invocations[0].output_text or "")[:_SHOWN_CHARACTERS]
    message = f"the endpoint answered without the expected {', '.join(map(repr, check.missing))}: {answer!r}"
    remedy = (
        "The weights or the image may be wrong. If the answer is right, set benchmark.expected_words "
        "(an empty list turns this check off)."
    )
    if is_configured:
        raise RunError(message, remedy=remedy)
    on_warning(f"{message}. {remedy}")


def _texts(document: Any) -> str:
    """All text values of a request or an answer, joined."""
    if isinstance(document, str):
        return document
    if isinstance(document, Mapping):
        return " ".join(_texts(value) for key, value in document.items() if key != "role")
    if isinstance(document, Sequence):
        return " ".join(_texts(value) for value in document)
    return ""


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text)
