"""A sample request asks for the same in both forms."""

from __future__ import annotations

from loadbench.sample_request import as_chat, with_prompt

LMI = {
    "inputs": "Why?",
    "parameters": {"max_new_tokens": 9, "do_sample": True, "temperature": 0.3, "top_p": 0.9},
}


def test_an_lmi_request_becomes_the_chat_request_that_asks_for_the_same() -> None:
    assert as_chat(LMI) == {
        "messages": [{"role": "user", "content": "Why?"}],
        "max_tokens": 9,
        "temperature": 0.3,
        "top_p": 0.9,
    }


def test_without_sampling_the_likeliest_token_is_asked_for() -> None:
    assert as_chat({"inputs": "Why?", "parameters": {"temperature": 0.3}})["temperature"] == 0.0


def test_a_chat_request_stays_as_it_is() -> None:
    chat = {"messages": [{"role": "system", "content": "Be brief."}], "max_tokens": 3}
    assert as_chat(chat) == chat


def test_another_question_keeps_the_rest_of_the_request() -> None:
    assert with_prompt(LMI, "How?") == {**LMI, "inputs": "How?"}
    assert with_prompt(as_chat(LMI), "How?") == {
        **as_chat(LMI),
        "messages": [{"role": "user", "content": "How?"}],
    }
