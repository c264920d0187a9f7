"""Progress where there is no terminal: plain lines that a log can hold."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from loadbench.run.progress import Progress
from loadbench.ui import Ui, describe


def test_bytes_are_shown_with_share_and_scale() -> None:
    assert describe(Progress("staging", 1.2e9, 2.4e9, "bytes")) == "staging 1.2 of 2.4 GB (50 %)"
    assert describe(Progress("staging", 3e6, 6e6, "bytes")) == "staging 3.0 of 6.0 MB (50 %)"


def test_an_unknown_total_shows_what_is_done() -> None:
    assert describe(Progress("waiting")) == "waiting"
    assert describe(Progress("requests", 2, None, "requests")) == "requests 2 requests"


def test_a_failed_step_is_marked_and_the_error_passes() -> None:
    text = io.StringIO()
    ui = Ui(Console(file=text))
    with pytest.raises(ValueError, match="broken"), ui.step("deploy [fast]"):
        raise ValueError("broken")
    assert "✗ deploy [fast]" in text.getvalue()


def test_plain_output_holds_no_escape_codes() -> None:
    text = io.StringIO()
    ui = Ui(Console(file=text))
    with ui.step("deploy"):
        ui.detail("endpoint Creating")
    assert "✓ deploy" in text.getvalue()
    assert "\x1b" not in text.getvalue()
