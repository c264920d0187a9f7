"""Ctrl-C after a run has ended: its endpoint stays up, so nothing may say that all was removed."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from rich.console import Console

from loadbench.cli import cli, runs
from loadbench.results import commands
from loadbench.run import runner
from loadbench.ui import Ui
from loadbench.workspace import Workspace
from tests.loadbench.cli.test_cli import ROOT
from tests.loadbench.results.builders import make_record


def test_an_interrupted_result_of_a_successful_run_is_no_interrupted_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said = io.StringIO()
    context = SimpleNamespace(workspace=Workspace(ROOT, tmp_path), ui=Ui(Console(file=said, width=200)))
    record = make_record("standard")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)  # no Makefile here
    monkeypatch.setattr(runs, "open_bench", lambda **_: context)
    monkeypatch.setattr(runs, "confirm_cost", lambda *_: None)
    monkeypatch.setattr(runner, "run_path", lambda *_, **__: record)
    monkeypatch.setattr(commands, "show_run", interrupt)
    result = CliRunner().invoke(cli, ["run", "standard"])
    assert result.exit_code == 0, result.output
    assert f"the endpoint {record.names.endpoint} is running" in said.getvalue()
    assert "To remove it: loadbench destroy" in said.getvalue()
