"""What a shell brings is looked at before anything is sent, and never shown."""

from __future__ import annotations

import pytest

from loadbench.errors import UsageError
from loadbench.shell_variables import check_variables

HEADERS = (
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION"),
    *("HUGGING_FACE_HUB_TOKEN", "HF_TOKEN"),
)


@pytest.mark.parametrize(
    "stray", ["\n", "\r\nX-Injected: yes", " ", "\t", "…", "é", "\u200b", "\x7f", "\udcff"]
)
@pytest.mark.parametrize("name", HEADERS)
def test_a_stray_character_is_refused_by_the_variables_name(name: str, stray: str) -> None:
    for value in (f"PLANTED{stray}", f"{stray}PLANTED", f"PLAN{stray}TED"):
        with pytest.raises(UsageError, match=f"^{name} ") as caught:
            check_variables({name: value})
        assert "PLAN" not in caught.value.message + caught.value.remedy


@pytest.mark.parametrize(
    "value", ["http://a:99999", "http://a:²", "http://[::1", "ftp://a", "a:9000", "http://", "http://a:0"]
)
@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_an_address_that_is_none_is_refused(name: str, value: str) -> None:
    with pytest.raises(UsageError, match=f"^{name} "):
        check_variables({name: value})


def test_a_line_break_in_any_other_aws_variable_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^AWS_PROFILE "):
        check_variables({"AWS_PROFILE": "mine\n"})


def test_what_usual_shells_have_is_accepted() -> None:
    check_variables(
        {
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            "AWS_SESSION_TOKEN": "FwoGZXIvYXdzE//////////wEaD+=",
            "AWS_PROFILE": "my profile é",
            "AWS_ENDPOINT_URL": "http://[::1]:9000/path",
            "AWS_ENDPOINT_URL_S3": "",
            "HF_TOKEN": "",
            "PS1": "\x1b[31m\n",
        }
    )
