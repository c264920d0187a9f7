"""`--dry-run` creates nothing, `--max-usd` refuses in time, and short options reach every method."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadbench.cli.options import read_config
from tests.loadbench.cli.test_cli import ROOT, loadbench


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for name in ("config.yaml", "config.aws.yaml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        ("compare", "--dry-run"),
        ("compare", "--config", "config.aws.yaml", "--pairs", "3", "--dry-run"),
        ("run", "fast", "--config", "config.aws.yaml", "--dry-run"),
        ("optimize", "--dry-run"),
        ("scale-out", "--deploy", "--dry-run"),
    ],
)
def test_a_dry_run_prints_plan_and_cost_and_creates_nothing(home: Path, arguments: tuple[str, ...]) -> None:
    done = loadbench(*arguments, home=home)
    assert done.returncode == 0, done.stderr
    assert "Dry run: nothing is created." in done.stdout
    assert "Estimated total: about" in done.stdout
    assert {file.name for file in home.iterdir()} <= {"config.yaml", "config.aws.yaml", ".loadbench"}
    assert not (home / ".loadbench" / "runs").exists()


def test_a_limit_below_the_estimate_is_refused(home: Path) -> None:
    done = loadbench(
        "compare", "--config", "config.aws.yaml", "--pairs", "9", "--max-usd", "1", "--dry-run", home=home
    )
    assert done.returncode == 2
    assert "the estimated total is" in done.stderr


def test_model_and_instance_type_reach_every_method_and_an_override_goes_before_them(home: Path) -> None:
    config = read_config(
        home / "config.yaml",
        None,
        ("fast_model_loading_info.instance_type=ml.g5.8xlarge",),
        model="./my: model",
        instance_type="ml.g5.4xlarge",
    )
    for load_path in config.paths:
        info = config.deployment(load_path)
        assert info.hf_model_id == "./my: model"
        assert info.container_env_vars.get("HF_MODEL_ID", "./my: model") == "./my: model"
        assert info.instance_type == ("ml.g5.8xlarge" if load_path == "fast" else "ml.g5.4xlarge")


def test_three_wrong_options_give_three_errors_that_name_the_options(home: Path) -> None:
    wrong = ("benchmark.pair=3", "regio=us-west-2", "benchmark.seed=x")
    arguments = [word for text in wrong for word in ("--set", text)]
    done = loadbench("compare", "--dry-run", *arguments, home=home)
    assert done.returncode == 2
    for name in ("benchmark.pair", "regio", "benchmark.seed"):
        assert f"--set {name}: " in done.stderr
    assert "line " not in done.stderr
    done = loadbench("compare", "--set", "a", "--set", "b", "--set", "region.x=1", home=home)
    assert done.stderr.count("--set") >= 3
