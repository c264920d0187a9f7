"""The main job: compare two paths of a real model on the embedded AWS, and leave nothing behind.

As somebody does it who has installed the wheel and has no checkout: in an empty folder, after `init`.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import ROOT, Checkout
from tests.packaging.installed import assets, install_wheel

pytestmark = pytest.mark.e2e

RUN_FILES = {
    "run.json",
    "timing_results.json",
    "deployment_summary.txt",
    "invoke.py",
    "trace.json",
    "terraform.jsonl",
    "container.log",
}
COMPARISON_FILES = {"comparison.json", "comparison.txt", "report.html"}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    folder = tmp_path_factory.mktemp("installed")
    home = folder / "home"
    home.mkdir()
    place = Checkout(home, str(install_wheel(folder)))
    place.loadbench("init")
    one_pair = (home / "config.yaml").read_text(encoding="utf-8").replace("pairs: 4", "pairs: 1")
    (home / "config.yaml").write_text(one_pair, encoding="utf-8")
    yield place
    place.loadbench("local", "down")


@pytest.fixture(scope="module")
def compared(checkout: Checkout) -> Checkout:
    checkout.loadbench("compare")
    return checkout


def records(checkout: Checkout) -> dict[str, Any]:
    files = sorted((checkout.home / "results").glob("*/run.json"))
    found = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    return {record["path"]: record for record in found}


def test_nothing_of_the_checkout_is_importable(checkout: Checkout) -> None:
    script = """
import json, sys, loadbench, localaws, fastload
from loadbench.workspace import Workspace
files = [loadbench.__file__, localaws.__file__, fastload.__file__, str(Workspace.here().assets)]
print(json.dumps({"files": files, "path": sys.path}))
"""
    command = [checkout.python, "-c", script]
    done = subprocess.run(
        command,
        cwd=checkout.home,
        env=checkout.plain_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert all(Path(file).is_relative_to(Path(checkout.python).parents[1]) for file in found["files"])
    assert ROOT / "scripts" not in [Path(entry).resolve() for entry in found["path"]]


def test_a_folder_is_made_once(checkout: Checkout) -> None:
    before = {name: (checkout.home / name).read_bytes() for name in ("config.yaml", "config.aws.yaml")}
    refused = checkout.loadbench("init", exit_code=2)
    assert "config.yaml, config.aws.yaml, .gitignore" in refused.stderr
    assert {name: (checkout.home / name).read_bytes() for name in before} == before


def test_terraform_writes_nothing_into_the_package(compared: Checkout) -> None:
    shipped = assets(Path(compared.python))
    (lock,) = (file for file in shipped if file.name == ".terraform.lock.hcl")
    installed = {file: text for file, text in shipped.items() if lock.parent in file.parents}
    source = ROOT / "terraform"
    # The links of the source are files in a wheel.
    assert {str(file.relative_to(lock.parent)): text for file, text in installed.items()} == {
        str(file.relative_to(source)): file.read_bytes() for file in source.rglob("*") if file.is_file()
    }
    assert {file.suffix for file in shipped} <= {".tf", ".hcl", ".md", ".j2", ".css", ".yaml", ".toml"}
    assert ".loadbench/" in (compared.home / ".gitignore").read_text(encoding="utf-8")


def test_both_endpoints_answered_with_paris(compared: Checkout) -> None:
    for record in records(compared).values():
        assert record["status"] == "succeeded"
        assert "Paris" in record["invocations"][0]["output_text"]
        assert all(invocation["ok"] for invocation in record["invocations"])


def test_results_hold_everything_in_the_contract(compared: Checkout) -> None:
    results = compared.home / "results"
    assert sorted(records(compared)) == ["fast", "standard"]
    for record in records(compared).values():
        assert {file.name for file in (results / record["run_id"]).iterdir()} >= RUN_FILES
    comparisons = list(results.glob("comparison-*"))
    assert len(comparisons) == 1
    assert {file.name for file in comparisons[0].iterdir()} >= COMPARISON_FILES


def test_the_paths_really_differ_in_how_they_load(compared: Checkout) -> None:
    found = records(compared)
    phases = {path: {span["name"] for span in record["spans"]} for path, record in found.items()}
    assert {"artifact_download", "weights_to_host", "weights_to_device"} <= phases["standard"]
    assert "weights_stream" not in phases["standard"]
    assert "weights_stream" in phases["fast"]
    assert not {"weights_to_host", "weights_to_device"} & phases["fast"]


def test_the_fast_path_writes_no_weights_to_disk(compared: Checkout) -> None:
    found = records(compared)
    weights_bytes = found["fast"]["model"]["size_bytes"]
    assert found["standard"]["usage"]["disk_write_bytes"] >= weights_bytes
    assert found["fast"]["usage"]["disk_write_bytes"] < weights_bytes / 10
    assert found["fast"]["usage"]["network_receive_bytes"] >= weights_bytes


def test_nearly_all_of_the_time_is_attributed(compared: Checkout) -> None:
    file = next((compared.home / "results").glob("comparison-*/comparison.json"))
    comparison = json.loads(file.read_text(encoding="utf-8"))
    total, (unattributed,) = (
        comparison["total"],
        [row for row in comparison["phases"] if row["name"] == "unattributed"],
    )
    for side in ("a_s", "b_s"):
        assert unattributed[side] <= 0.01 * total[side]


def test_nothing_is_left_afterwards(compared: Checkout) -> None:
    assert not any(compared.everything_left().values())
    assert compared.local_status()["endpoints"] == []
    assert not list((compared.home / ".loadbench" / "runs").glob("*"))


def test_what_is_recorded_is_used_again_only_when_asked_for(compared: Checkout) -> None:
    before = {record["run_id"] for record in records(compared).values()}
    done = json.loads(compared.loadbench("compare", "--reuse", "--json").stdout)
    assert {run["run_id"] for run in done["reused_runs"]} == before
    assert {record["run_id"] for record in records(compared).values()} == before


def test_no_state_file_is_readable_by_others_or_left(compared: Checkout) -> None:
    states = list(Path(compared.home).rglob("*.tfstate*"))
    assert states == []
