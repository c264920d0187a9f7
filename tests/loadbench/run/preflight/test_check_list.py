"""Checks run side by side, within a few seconds, and none holds up another or the process."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from loadbench.config import Config, load_config
from loadbench.progress import Progress
from loadbench.run.preflight import Check, account, check_list, check_methods, container, run_checks
from loadbench.run.preflight.check_result import CheckContext
from tests.loadbench.run.preflight.stubs import BOTH, CONFIG_FILE, Account, only


def test_the_committed_default_has_no_failure_on_the_embedded_target(
    aws_session: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Everything that is asked for exists; a busy machine needs longer for it.
    monkeypatch.setattr(check_list, "_DEADLINE_S", 120.0)
    reported: list[Progress] = []
    found = run_checks(load_config(CONFIG_FILE), BOTH, aws_session, reported.append)
    assert [check for check in found if check.status != "ok"] == []
    assert {"credentials", "terraform", "image", "accelerators", "model", "memory", "bucket"} <= {
        check.name for check in found
    }
    assert reported


def test_a_check_that_hangs_does_not_hold_up_the_others(
    config: Config, aws_session: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(_: CheckContext) -> Iterator[Check]:
        time.sleep(2)
        yield Check("slow", "ok", "too late")

    monkeypatch.setattr(check_list, "_DEADLINE_S", 0.3)
    monkeypatch.setattr(
        check_list, "_ENTRIES", (check_list._Entry("slow", hang), check_list._Entry("image", container.image))
    )
    started_s = time.monotonic()
    found = run_checks(config, ["fast"], aws_session)
    assert time.monotonic() - started_s < 1.5
    assert [(check.name, check.status) for check in found] == [("slow", "warning"), ("image", "ok")]


def test_a_check_that_hangs_does_not_keep_the_process_from_ending() -> None:
    script = """
import threading
from loadbench.config import load_config
from loadbench.run.preflight import check_list

check_list._DEADLINE_S = 0.2
check_list._ENTRIES = (check_list._Entry("hangs", lambda context: iter([threading.Event().wait()])),)
print(check_list.run_checks(load_config(%r), ["fast"], None)[0].message)
"""
    done = subprocess.run(
        [sys.executable, "-c", script.replace("%r", f"__import__('pathlib').Path({str(CONFIG_FILE)!r})")],
        capture_output=True,
        text=True,
        timeout=60,  # without the deadline it would wait for ever
        check=True,
    )
    assert done.stdout.startswith("no answer within")


def test_each_finding_names_the_methods_that_it_is_true_of(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def differs(context: CheckContext) -> Iterator[Check]:
        (load_path,) = context.paths
        yield Check("image", "ok" if load_path == "fast" else "failure", f"{load_path}: it differs")
        yield Check("model", "ok", "the same for both")

    monkeypatch.setattr(check_list, "_ENTRIES", (check_list._Entry("image", differs),))
    found = {(check.message, check.methods): check.status for check in check_methods(config, BOTH, None)}
    assert found == {
        ("it differs", ("standard",)): "failure",
        ("it differs", ("fast",)): "ok",
        ("the same for both", ("standard", "fast")): "ok",
    }


def test_without_an_account_every_other_check_is_still_made(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(context: CheckContext) -> Iterator[Check]:
        assert context.session is not None
        yield Check("quota", "ok", "")

    def other(_: CheckContext) -> Iterator[Check]:
        yield Check("terraform", "ok", "there")

    entries = (
        check_list._Entry("quota", answer, needs_account=True),
        check_list._Entry("terraform", other, by_method=False),
    )
    monkeypatch.setattr(check_list, "_ENTRIES", entries)
    assert [check.name for check in check_methods(config, BOTH, None)] == ["terraform"]


def test_an_error_in_a_check_is_not_swallowed(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: CheckContext) -> Iterator[Check]:
        raise KeyError("a mistake of ours")
        yield

    monkeypatch.setattr(check_list, "_ENTRIES", (check_list._Entry("broken", broken),))
    with pytest.raises(KeyError, match="a mistake of ours"):
        run_checks(config, BOTH, None)


def test_what_cannot_be_asked_is_a_warning_and_no_crash(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Account()
    session.refuses("sts", "get_caller_identity", "ExpiredToken", message="the token is expired")
    monkeypatch.setattr(check_list, "_ENTRIES", (check_list._Entry("credentials", account.credentials),))
    found = only(run_checks(config, BOTH, session))
    assert found.status == "warning"
    assert "the token is expired" in found.message
