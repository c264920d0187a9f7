"""Every parameter, and every token, as with vLLM's own loader: needs `loadbench engine install vllm`."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, LlamaConfig, MixtralConfig, Qwen2Config, Qwen3MoeConfig

from loadbench.run.models.default_model import MODEL_ID
from loadbench.run.models.resolve import cache_dir, cached_folder

ROOT = Path(__file__).resolve().parents[3]
PYTHON = ROOT / ".loadbench" / "engines" / "vllm-0.32.0" / "bin" / "python"
pytestmark = [
    pytest.mark.engine,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not PYTHON.exists(), reason="vLLM is not installed: loadbench engine install vllm"),
]
SMALL: dict[str, Any] = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 512,
    "max_position_embeddings": 128,
}
MODELS = {
    "tied bf16": (LlamaConfig(**SMALL, tie_word_embeddings=True), torch.bfloat16, "5GB"),
    "f16": (LlamaConfig(**SMALL), torch.float16, "5GB"),
    "f32 in several files": (LlamaConfig(**SMALL), torch.float32, "400KB"),
    "biases": (Qwen2Config(**SMALL), torch.bfloat16, "5GB"),
    "mixture of experts": (
        Qwen3MoeConfig(**SMALL, num_experts=12, num_experts_per_tok=2, moe_intermediate_size=128),
        torch.bfloat16,
        "5GB",
    ),
    "experts named w1 to w3": (MixtralConfig(**SMALL, num_local_experts=4), torch.bfloat16, "5GB"),
}  # fmt: skip


def save_int8(folder: Path) -> None:
    """A checkpoint of the format `int-quantized` (compressed-tensors) with random numbers."""
    config = LlamaConfig(**SMALL)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)  # type: ignore[no-untyped-call]
    tensors: dict[str, torch.Tensor] = {}
    for name, tensor in model.state_dict().items():
        if name.endswith("_proj.weight"):
            tensors[name] = torch.randint(-127, 128, tensor.shape, dtype=torch.int8)
            tensors[f"{name}_scale"] = torch.rand(tensor.shape[0], 1, dtype=torch.bfloat16) / 1000
        else:
            tensors[name] = tensor
    eight_bits = {"num_bits": 8, "type": "int", "symmetric": True}
    config.architectures = ["LlamaForCausalLM"]
    config.quantization_config = {
        "quant_method": "compressed-tensors",
        "format": "int-quantized",
        "quantization_status": "compressed",
        "ignore": ["lm_head"],
        "config_groups": {
            "group_0": {
                "targets": ["Linear"],
                "weights": eight_bits | {"strategy": "channel", "dynamic": False},
                "input_activations": eight_bits | {"strategy": "token", "dynamic": True},
            }
        },
    }
    config.save_pretrained(folder)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    for name, (config, dtype, shard_size) in MODELS.items():
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)  # type: ignore[no-untyped-call]
        model.save_pretrained(folder / name, max_shard_size=shard_size)
    save_int8(folder / "int8")
    return folder


def verify(folders: list[Path], plugin: Path, *options: str) -> list[dict[str, Any]]:
    """Run the comparison in vLLM's environment; the plug-in is found without installing it."""
    information = plugin / "fastload-0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: fastload\nVersion: 0\n")
    entry_point = "[vllm.general_plugins]\nfastload = fastload.vllm.plugin:register\n"
    (information / "entry_points.txt").write_text(entry_point)
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'scripts'}:{plugin}"}
    command = [str(PYTHON), "-m", "fastload.vllm.verify_parameters", *map(str, folders), *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    results = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [Path(result["model"]) for result in results] == folders, done.stderr[-4000:]
    assert done.returncode == 0, results
    return results


@pytest.mark.parametrize("degree", [1, 2])
def test_every_parameter_is_what_vllms_own_loader_makes_of_it(
    checkpoints: Path, tmp_path: Path, degree: int
) -> None:
    folders = [checkpoints / name for name in (*MODELS, "int8")]
    for result in verify(folders, tmp_path, "--tensor-parallel-size", str(degree)):
        assert result["parameters"] > 10 * degree
        assert result["differing"] == []


def test_engines_answer_a_dozen_prompts_alike(checkpoints: Path, tmp_path: Path) -> None:
    # The model that conversations are tested with, where it has been made.
    known = cached_folder(MODEL_ID, cache_dir())
    folders = [checkpoints / "int8", *([known] if known.is_dir() else [])]
    for result in verify(folders, tmp_path, "--tokens"):
        assert result["prompts"] == 12
        assert result["differing"] == result["differing_answers"] == []
