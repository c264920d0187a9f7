"""Checkpoints with a real model's shape and random weights, to measure loading: `synthetic:llama-1b`.

Loading does not depend on the values. Configuration and tokenizer are valid, so the model can be served; its
answers are noise. Files are written in blocks: memory does not depend on the size.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadbench.errors import RunError, UsageError
from loadbench.progress import OnProgress, Progress

_PREFIX = "synthetic:"
_SEED = 20240923
_BLOCK_BYTES = 8 << 20
_FILE_LIMIT_BYTES = 5 * 10**9  # as the hub splits large checkpoints
_BF16_BYTES = 2
_BF16_ONE = b"\x80\x3f"
_SPECIAL_TOKENS = ("<|begin_of_text|>", "<|end_of_text|>", "<|start|>", "<|end|>")
_CHAT_TEMPLATE = (
    "{% for message in messages %}<|start|>{{ message['role'] }}\n{{ message['content'] }}<|end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)


@dataclass(frozen=True)
class Shape:
    """A Llama's dimensions."""

    name: str
    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    key_value_heads: int
    vocabulary: int
    tied_embeddings: bool
    positions: int = 8192

    def tensors(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Name and shape of every tensor, in file order."""
        hidden, inner = self.hidden_size, self.intermediate_size
        key_value = hidden // self.heads * self.key_value_heads
        yield "model.embed_tokens.weight", (self.vocabulary, hidden)
        for layer in range(self.layers):
            prefix = f"model.layers.{layer}."
            yield prefix + "self_attn.q_proj.weight", (hidden, hidden)
            yield prefix + "self_attn.k_proj.weight", (key_value, hidden)
            yield prefix + "self_attn.v_proj.weight", (key_value, hidden)
            yield prefix + "self_attn.o_proj.weight", (hidden, hidden)
            yield prefix + "mlp.gate_proj.weight", (inner, hidden)
            yield prefix + "mlp.up_proj.weight", (inner, hidden)
            yield prefix + "mlp.down_proj.weight", (hidden, inner)
            yield prefix + "input_layernorm.weight", (hidden,)
            yield prefix + "post_attention_layernorm.weight", (hidden,)
        yield "model.norm.weight", (hidden,)
        if not self.tied_embeddings:
            yield "lm_head.weight", (self.vocabulary, hidden)

    @property
    def weights_bytes(self) -> int:
        """Bytes of all tensors in bf16."""
        return sum(math.prod(shape) * _BF16_BYTES for _, shape in self.tensors())


# Llama-3.2-1B and Llama-3.1-8B as in their config.json on the hub; tiny is for tests.
SHAPES = {
    shape.name: shape
    for shape in (
        Shape("llama-tiny", 64, 128, 2, 4, 2, 512, tied_embeddings=True),
        Shape("llama-1b", 2048, 8192, 16, 32, 8, 128256, tied_embeddings=True),
        Shape("llama-8b", 4096, 14336, 32, 32, 8, 128256, tied_embeddings=False),
    )
}


def is_synthetic(model_id: str) -> bool:
    """Whether the model id names a synthetic model."""
    return model_id.startswith(_PREFIX)


def shape_of(model_id: str) -> Shape:
    """The shape of `synthetic:<name>`. Raises UsageError if there is none."""
    name = model_id.removeprefix(_PREFIX)
    if name not in SHAPES:
        raise UsageError(
            f"there is no synthetic model {name!r}",
            remedy=f"Choose one of {', '.join(_PREFIX + known for known in SHAPES)}.",
        )
    return SHAPES[name]


def generate(shape: Shape, folder: Path, on_progress: OnProgress) -> None:
    """Write the checkpoint into `folder`, always the same bytes. Raises RunError if the disk is too full."""
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < shape.weights_bytes * 1.05:
        raise RunError(
            f"{_PREFIX}{shape.name} needs {shape.weights_bytes / 1e9:.1f} GB,"
            f" {folder} has {free_bytes / 1e9:.1f} GB free",
            remedy="Free disk space, or set LOADBENCH_CACHE_DIR to a folder on another disk.",
        )
    _write_json(folder / "config.json", _configuration(shape))
    _write_json(folder / "generation_config.json", {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1})
    _write_json(folder / "tokenizer.json", _tokenizer(shape.vocabulary))
    _write_json(folder / "tokenizer_config.json", _tokenizer_configuration(shape))
    _write_weights(shape, folder, on_progress)


def _write_weights(shape: Shape, folder: Path, on_progress: OnProgress) -> None:
    groups = _split(list(shape.tensors()))
    names = (
        ["model.safetensors"]
        if len(groups) == 1
        else [f"model-{number:05d}-of-{len(groups):05d}.safetensors" for number in range(1, len(groups) + 1)]
    )
    label, done_bytes = f"generating {_PREFIX}{shape.name}", 0
    for name, tensors in zip(names, groups, strict=True):
        with (folder / name).open("wb") as file:
            file.write(_header(tensors))
            for tensor, dimensions in tensors:
                for block in _values(tensor, dimensions):
                    file.write(block)
                    done_bytes += len(block)
                    on_progress(Progress(label, done_bytes, shape.weights_bytes, "bytes"))
    if len(groups) > 1:
        weight_map = {
            tensor: name for name, tensors in zip(names, groups, strict=True) for tensor, _ in tensors
        }
        index = {"metadata": {"total_size": shape.weights_bytes}, "weight_map": weight_map}
        _write_json(folder / "model.safetensors.index.json", index)


def _split(tensors: list[tuple[str, tuple[int, ...]]]) -> list[list[tuple[str, tuple[int, ...]]]]:
    groups: list[list[tuple[str, tuple[int, ...]]]] = [[]]
    size_bytes = 0
    for name, shape in tensors:
        tensor_bytes = math.prod(shape) * _BF16_BYTES
        if groups[-1] and size_bytes + tensor_bytes > _FILE_LIMIT_BYTES:
            groups.append([])
            size_bytes = 0
        groups[-1].append((name, shape))
        size_bytes += tensor_bytes
    return groups


def _header(tensors: list[tuple[str, tuple[int, ...]]]) -> bytes:
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, shape in tensors:
        end = offset + math.prod(shape) * _BF16_BYTES
        entries[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)  # the format aligns the data to eight bytes
    return len(text).to_bytes(8, "little") + text


def _values(name: str, shape: tuple[int, ...]) -> Iterator[bytes]:
    """The tensor's bytes in blocks. Each tensor has its own seed, independent of its file."""
    import numpy as np  # imported late: other commands do not need it

    remaining = math.prod(shape) * _BF16_BYTES
    if len(shape) == 1:  # a norm's scale: ones keep activations finite
        yield _BF16_ONE * (remaining // _BF16_BYTES)
        return
    generator = np.random.Generator(np.random.PCG64([_SEED, *name.encode()]))
    while remaining:
        size_bytes = min(remaining, _BLOCK_BYTES)
        bits = np.frombuffer(generator.bytes(size_bytes), dtype="<u2")
        # Random sign and mantissa, exponent of 2^-7 or 2^-6: as an initialised Llama has, never NaN.
        yield ((bits & 0x80FF) | 0x3C00).tobytes()
        remaining -= size_bytes


def _configuration(shape: Shape) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "bfloat16",
        "torch_dtype": "bfloat16",  # the key before transformers 5
        "hidden_size": shape.hidden_size,
        "intermediate_size": shape.intermediate_size,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.key_value_heads,
        "head_dim": shape.hidden_size // shape.heads,
        "hidden_act": "silu",
        "max_position_embeddings": shape.positions,
        "rms_norm_eps": 1e-05,
        "rope_theta": 500000.0,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": shape.tied_embeddings,
        "vocab_size": shape.vocabulary,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 1,
        "use_cache": True,
    }


def _tokenizer(vocabulary: int) -> dict[str, Any]:
    """A byte-level tokenizer: one token per byte, and filler tokens so that every id has a text."""
    tokens = [*_SPECIAL_TOKENS, *_byte_alphabet()]
    tokens += [f"Ġw{number}" for number in range(len(tokens), vocabulary)]  # Ġ is the alphabet's space
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": number,
                "content": token,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for number, token in enumerate(_SPECIAL_TOKENS)
        ],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": {token: number for number, token in enumerate(tokens)},
            "merges": [],
        },
    }


def _byte_alphabet() -> list[str]:
    """The characters that byte-level tokenizers write bytes as (GPT-2's `bytes_to_unicode`)."""
    printable = {
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), ord("ÿ") + 1),
    }
    others = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]


def _tokenizer_configuration(shape: Shape) -> dict[str, Any]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": _SPECIAL_TOKENS[0],
        "eos_token": _SPECIAL_TOKENS[1],
        "pad_token": _SPECIAL_TOKENS[1],
        "model_max_length": shape.positions,
        "chat_template": _CHAT_TEMPLATE,
    }


def _write_json(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
