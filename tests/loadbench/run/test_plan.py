"""The Terraform variables of each load path, from a configuration alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from loadbench.config import load_config
from loadbench.errors import ConfigError
from loadbench.run.deployment_plan import rendered_variables
from tests.loadbench.test_examples import context

ROOT = Path(__file__).resolve().parents[3]
MODEL = "s3://mine/models/digest/"


def variables(path: str, home: Path, *overrides: str) -> Any:
    named = "fast_model_loading_info.bucket=mine"
    config = load_config(ROOT / "config.aws.yaml", [named, *overrides])
    return json.loads(rendered_variables(context(config, home), path))


def test_the_streamers_container_reads_the_models_prefix_by_itself(tmp_path: Path) -> None:
    reported = variables("streamer", tmp_path)
    assert reported["model"]["environment"]["HF_MODEL_ID"] == MODEL
    assert reported["model"]["environment"]["SM_VLLM_LOAD_FORMAT"] == "runai_streamer"
    assert reported["role"]["readable_s3_uris"] == [MODEL]
    assert reported["model"]["data_uri"] is None
    assert reported["endpoint"]["inference_ami_version"] == "al2-ami-sagemaker-inference-gpu-3-1"
    # The weights lie in the bucket: the container has no use for the token of a gated model.
    assert reported["model"]["use_hugging_face_token"] is False


def test_the_platform_brings_the_standard_paths_model(tmp_path: Path) -> None:
    reported = variables("standard", tmp_path, "standard_deployment_info.weights_from=s3")
    assert reported["model"]["data_uri"] == MODEL
    assert "HF_MODEL_ID" not in reported["model"]["environment"]


@pytest.mark.parametrize("path", ["standard", "streamer"])
def test_a_container_that_pulls_from_the_hub_keeps_the_hubs_name(path: str, tmp_path: Path) -> None:
    section = "streamer_info" if path == "streamer" else "standard_deployment_info"
    reported = variables(
        path, tmp_path, f"{section}.weights_from=hub", f"{section}.container_env_vars={{HF_MODEL_ID: a/b}}"
    )
    assert reported["model"]["environment"]["HF_MODEL_ID"] == "a/b"
    assert reported["role"]["readable_s3_uris"] == []


def test_a_component_reserves_little_memory_unless_configured(tmp_path: Path) -> None:
    """SageMaker has refused a quarter of an instance's: docs/facts/aws-evidence.md#component-memory"""
    assert variables("fast", tmp_path)["endpoint"]["min_memory_mib"] == 1024
    configured = variables("fast", tmp_path, "fast_model_loading_info.min_memory_mib=10409")
    assert configured["endpoint"]["min_memory_mib"] == 10409


def test_the_probe_is_on_the_containers_path_only_where_it_was_asked_for(tmp_path: Path) -> None:
    assert "PYTHONPATH" not in variables("standard", tmp_path)["model"]["environment"]
    asked = variables("standard", tmp_path, "standard_deployment_info.start_probe=true")
    assert asked["model"]["environment"]["PYTHONPATH"] == "/opt/ml/model/loadbench-probe"
    with pytest.raises(ConfigError, match="no model data"):
        variables("fast", tmp_path, "fast_model_loading_info.start_probe=true")
