"""Secrets are taken out by their value, by their name and by their look; ordinary settings stay readable."""

from __future__ import annotations

import pytest

from loadbench.redaction import MASK, redact, redacted_environment

TOKEN = "hf_PlantedForThisTestAndNothingElse0002"


def test_a_token_of_this_process_is_taken_out_whatever_it_looks_like(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUGGING_FACE_HUB_TOKEN", "plain-words-as-token")
    assert redact("401 for plain-words-as-token at the hub") == f"401 for {MASK} at the hub"


@pytest.mark.parametrize("text", [TOKEN, "AKIAIOSFODNN7EXAMPLE", "ghp_0123456789abcdefghijABCD"])
def test_what_looks_like_a_token_is_taken_out(text: str) -> None:
    assert redact(f"before {text}, after") == f"before {MASK}, after"


def test_an_empty_token_blanks_nothing_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "")
    assert redact("as it was") == "as it was"


def test_the_environment_is_masked_by_name_and_by_value() -> None:
    shown = redacted_environment(
        {
            "OPTION_TENSOR_PARALLEL_DEGREE": "max",
            "OPTION_MAX_ROLLING_BATCH_PREFILL_TOKENS": "4096",
            "HF_TOKEN": "short",
            "MY_API_KEY": "1234",
            "WHERE": f"https://user:{TOKEN}@hub",
            "AWS_SECRET_ACCESS_KEY": "",
        }
    )
    assert shown == {
        "AWS_SECRET_ACCESS_KEY": "",
        "HF_TOKEN": MASK,
        "MY_API_KEY": MASK,
        "OPTION_MAX_ROLLING_BATCH_PREFILL_TOKENS": "4096",
        "OPTION_TENSOR_PARALLEL_DEGREE": "max",
        "WHERE": f"https://user:{MASK}@hub",
    }
    assert list(shown) == sorted(shown)
