"""Progress where there is no terminal: plain lines that a log can hold."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from loadbench.progress import Progress
from loadbench.ui import Ui, _Durations, describe


def test_bytes_are_shown_with_share_and_scale() -> None:
    assert describe(Progress("staging", 1.2e9, 2.4e9, "bytes")) == "staging 1.2 of 2.4 GB (50 %)"
    assert describe(Progress("staging", 3e6, 6e6, "bytes")) == "staging 3.0 of 6.0 MB (50 %)"


def test_an_unknown_total_shows_what_is_done() -> None:
    assert describe(Progress("waiting")) == "waiting"
    assert describe(Progress("requests", 2, None, "requests")) == "requests 2 requests"


def test_nothing_done_yet_is_no_share_that_stays() -> None:
    assert describe(Progress("staging", 0, 6e6, "bytes")) == "staging"


def shown(ui: Ui) -> str:
    (line,) = ui.console.render_lines(ui._line(), pad=False)
    return "".join(segment.text for segment in line).rstrip()


def test_the_moving_line_fits_80_columns_with_bar_elapsed_and_remaining_time(tmp_path: Path) -> None:
    file = tmp_path / "durations.json"
    file.write_text('{"fast: deployment": 41.0}', encoding="utf-8")
    ui = Ui(Console(file=io.StringIO(), force_terminal=True, width=80), durations_file=file)
    ui.position("3/8")
    with ui.step("fast: deployment"):
        ui.detail("endpoint Creating · aws_sagemaker_endpoint.this: still creating and much more")
        line = shown(ui)
    assert len(line) <= 80
    assert "3/8 fast: deployment" in line
    assert re.search(r"\d s, about 4\d s left endpoint", line)


def test_the_last_line_of_a_step_is_its_own() -> None:
    text = io.StringIO()
    ui = Ui(Console(file=text, force_terminal=True, width=80))
    ui.position("2/2")
    with ui.step("removing the endpoint"):
        pass
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text.getvalue())
    assert [int(seconds) for seconds in re.findall(r"\b(\d+) s\b", shown) if int(seconds) > 60] == []
    assert "2/2 removing the endpoint" in shown


def test_how_long_a_step_took_is_known_the_next_time(tmp_path: Path) -> None:
    file = tmp_path / "durations.json"
    durations = _Durations(file)
    durations.remember("deploy", 12.34)
    durations.remember("short", 0.2)
    assert _Durations(file).of("deploy") == 12.3
    assert _Durations(file).of("short") is None
    file.write_text("damaged", encoding="utf-8")
    assert _Durations(file).of("deploy") is None


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


@pytest.fixture
def own_handlers() -> Iterator[None]:
    """What a test adds to the root logger is removed again."""
    root, ours = logging.getLogger(), logging.getLogger("loadbench")
    before, level = list(root.handlers), ours.level
    ours.setLevel(logging.DEBUG)
    yield
    root.handlers[:] = before
    ours.setLevel(level)


def test_detail_is_shown_only_when_asked_for(own_handlers: None) -> None:
    quiet, normal, verbose = io.StringIO(), io.StringIO(), io.StringIO()
    cases: tuple[tuple[io.StringIO, Any], ...] = (
        (quiet, {"quiet": True}),
        (normal, {}),
        (verbose, {"verbose": True}),
    )
    for text, asked in cases:
        ui = Ui(Console(file=text), **asked)
        with ui.step("deploy"):
            ui.detail("terraform: a · endpoint Creating", log_text="endpoint Creating")
        ui.note("pair 1 of 5")
        ui.warn("token file is readable")
    assert quiet.getvalue() == "! token file is readable\n"
    assert "endpoint Creating" not in normal.getvalue()
    assert verbose.getvalue().count("endpoint Creating") == 1
    assert "terraform: a" not in verbose.getvalue()
    assert verbose.getvalue().count("pair 1 of 5") == 1


def test_verbose_shows_what_other_modules_log_without_secrets(own_handlers: None) -> None:
    text = io.StringIO()
    Ui(Console(file=text), verbose=True)
    logging.getLogger("loadbench.target").info("sagemaker DescribeEndpoint, attempt 2: Throttling")
    logging.getLogger("loadbench.run").debug("container: token hf_PlantedForThisTestAndNothingElse0004")
    assert "attempt 2: Throttling" in text.getvalue()
    assert "hf_Planted" not in text.getvalue()


def test_progress_outside_a_step_is_no_line() -> None:
    text = io.StringIO()
    Ui(Console(file=text)).progress(Progress("checks", 0, 10, "checks"))
    assert text.getvalue() == ""
