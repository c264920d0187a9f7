"""Converts a GGUF file to a bf16 safetensors model: `python -m loadbench.run.models.dequantize FILE FOLDER`.

The only module of this package that imports torch; nothing imports it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig


def main(quantized: Path, folder: Path) -> None:
    """Write configuration, tokenizer and one safetensors file; tied weights are stored once."""
    source = {"pretrained_model_name_or_path": str(quantized.parent), "gguf_file": quantized.name}
    tokenizer = AutoTokenizer.from_pretrained(**source)
    model = AutoModelForCausalLM.from_pretrained(
        **source, quantization_config=GgufConfig(dequantize=True), dtype=torch.bfloat16
    )
    model.save_pretrained(folder, max_shard_size="100GB")
    tokenizer.save_pretrained(folder)
    for path in folder.iterdir():
        path.chmod(0o644)  # safetensors writes 0600; the model server may run as another user


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
