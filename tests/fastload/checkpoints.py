"""Small checkpoints on disk, and the gathering of what was cut from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

HEADS, KEY_VALUE_HEADS, HEAD_WIDTH, HIDDEN, INTERMEDIATE, VOCABULARY = 8, 4, 16, 128, 192, 500
LLAMA_CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": HIDDEN,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KEY_VALUE_HEADS,
}


def random_tensor(generator: torch.Generator, dtype: torch.dtype, *shape: int) -> torch.Tensor:
    """Random bits; not all of them are numbers, and loading must not care."""
    width = torch.empty(0, dtype=dtype).element_size()
    size = width * torch.Size(shape).numel()
    return torch.randint(0, 256, (size,), dtype=torch.uint8, generator=generator).view(dtype).view(shape)


def llama_tensors(
    layers: int = 2, dtype: torch.dtype = torch.bfloat16, tied: bool = False
) -> dict[str, torch.Tensor]:
    """A Llama-shaped model with biases, as Qwen2 has them."""
    generator = torch.Generator().manual_seed(layers)

    def some(*shape: int) -> torch.Tensor:
        return random_tensor(generator, dtype, *shape)

    tensors = {"model.embed_tokens.weight": some(VOCABULARY, HIDDEN), "model.norm.weight": some(HIDDEN)}
    if not tied:
        tensors["lm_head.weight"] = some(VOCABULARY, HIDDEN)
    for index in range(layers):
        attention, mlp = f"model.layers.{index}.self_attn.", f"model.layers.{index}.mlp."
        for letter, heads in (("q", HEADS), ("k", KEY_VALUE_HEADS), ("v", KEY_VALUE_HEADS)):
            tensors[f"{attention}{letter}_proj.weight"] = some(heads * HEAD_WIDTH, HIDDEN)
            tensors[f"{attention}{letter}_proj.bias"] = some(heads * HEAD_WIDTH)
        tensors[f"{attention}o_proj.weight"] = some(HIDDEN, HEADS * HEAD_WIDTH)
        tensors[f"{mlp}gate_proj.weight"] = some(INTERMEDIATE, HIDDEN)
        tensors[f"{mlp}up_proj.weight"] = some(INTERMEDIATE, HIDDEN)
        tensors[f"{mlp}down_proj.weight"] = some(HIDDEN, INTERMEDIATE)
        tensors[f"model.layers.{index}.input_layernorm.weight"] = some(HIDDEN)
        tensors[f"model.layers.{index}.post_attention_layernorm.weight"] = some(HIDDEN)
    return tensors


def write_checkpoint(
    folder: Path, tensors: dict[str, torch.Tensor], config: dict[str, Any] | None = None, files: int = 1
) -> Path:
    """Save tensors the way Hugging Face does: one file, or several and an index."""
    folder.mkdir(parents=True, exist_ok=True)
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    if files == 1:
        save_file(tensors, folder / "model.safetensors")
        return folder
    weight_map: dict[str, str] = {}
    for number in range(files):
        name = f"model-{number + 1:05d}-of-{files:05d}.safetensors"
        mine = dict(list(tensors.items())[number::files])
        save_file(mine, folder / name)
        weight_map |= dict.fromkeys(mine, name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder


def reference_tensors(folder: Path) -> dict[str, torch.Tensor]:
    """What safetensors itself reads from a checkpoint."""
    return {name: t for file in sorted(folder.glob("*.safetensors")) for name, t in load_file(file).items()}


def bits(tensor: torch.Tensor) -> bytes:
    """A tensor's bytes: comparing numbers would let NaN and -0.0 pass or fail wrongly."""
    return tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes()


def gather(name: str, parts: list[torch.Tensor]) -> torch.Tensor:
    """The whole tensor from all ranks' parts, by the rules of tensor-parallel serving (not by fastload's
    code).
    """
    axis = {"o_proj.weight": 1, "down_proj.weight": 1}.get(".".join(name.split(".")[-2:]))
    if axis is None and ("norm" in name or name.endswith(("o_proj.bias", "down_proj.bias"))):
        assert all(bits(part) == bits(parts[0]) for part in parts), f"{name} is not the same on every rank"
        return parts[0]
    if name.split(".")[-2] in ("k_proj", "v_proj") and len(parts) > KEY_VALUE_HEADS:
        sharers = len(parts) // KEY_VALUE_HEADS
        for first in range(0, len(parts), sharers):
            group = parts[first : first + sharers]
            assert all(bits(part) == bits(group[0]) for part in group), f"{name} differs between sharers"
        parts = parts[::sharers]
    return torch.cat([part.view(torch.uint8) for part in parts], dim=axis or 0).view(parts[0].dtype)
