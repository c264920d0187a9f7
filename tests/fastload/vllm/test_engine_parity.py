"""Every parameter as vLLM's own loader fills it: needs the real vLLM (`loadbench engine install vllm`)."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, MixtralConfig, Qwen2Config, Qwen3MoeConfig

ROOT = Path(__file__).resolve().parents[3]
PYTHON = ROOT / ".loadbench" / "engines" / "vllm-0.32.0" / "bin" / "python"
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


@pytest.mark.engine
@pytest.mark.timeout(900)
@pytest.mark.skipif(not PYTHON.exists(), reason="vLLM is not installed: loadbench engine install vllm")
def test_every_parameter_is_what_vllms_own_loader_makes_of_it(tmp_path: Path) -> None:
    torch.manual_seed(0)
    for name, (config, dtype, shard_size) in MODELS.items():
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)  # type: ignore[no-untyped-call]
        model.save_pretrained(tmp_path / name, max_shard_size=shard_size)
    # The plug-in as it is found without installing it: a folder with an entry point.
    information = tmp_path / "plugin" / "fastload-0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: fastload\nVersion: 0\n")
    entry_point = "[vllm.general_plugins]\nfastload = fastload.vllm.plugin:register\n"
    (information / "entry_points.txt").write_text(entry_point)
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'scripts'}:{information.parent}"}
    command = [str(PYTHON), "-m", "fastload.vllm.verification", *(str(tmp_path / name) for name in MODELS)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    results = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [Path(result["model"]).name for result in results] == list(MODELS), done.stderr[-4000:]
    for result in results:
        assert result["parameters"] > 10
        assert result["differing"] == []
    assert done.returncode == 0
