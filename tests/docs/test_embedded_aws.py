"""The page about the embedded AWS lists exactly what the code honours and refuses."""

from __future__ import annotations

from .embedded_aws import PAGE, written


def test_the_table_of_members_is_the_codes() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert written(page) == page, "run python -m tests.docs.embedded_aws"
