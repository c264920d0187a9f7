"""Which slice of which tensor belongs to which tensor-parallel rank, as in serving engines.

Source of the rules: vLLM's ColumnParallelLinear, RowParallelLinear, QKVParallelLinear and
VocabParallelEmbedding. Outputs of query, key, value, gate and up are cut by rows of the stored matrix, inputs
of output and down by columns; embeddings and head by vocabulary, padded to a multiple of 64; the rest is on
every rank.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from fastload.errors import PartitionError, shown

DEGREES = (1, 2, 4, 8)
# All of these name their tensors, and are cut, alike. SmolLM is a LlamaForCausalLM.
ARCHITECTURES = (
    "LlamaForCausalLM",
    "MistralForCausalLM",
    "Qwen2ForCausalLM",
    "Qwen3ForCausalLM",
    "SmolLM3ForCausalLM",
)
_VOCABULARY_PADDING = 64  # vLLM's DEFAULT_VOCAB_PADDING_SIZE


@dataclass(frozen=True, slots=True)
class Cut:
    """The part of a tensor one rank holds: indices start to stop of one axis (axis None: all of it)."""

    axis: int | None
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class _Geometry:
    query_heads: int
    key_value_heads: int
    head_width: int


_RULES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), rule)
    for pattern, rule in (
        (r"(model\.embed_tokens|lm_head)\.weight", "vocabulary"),
        (r"model\.layers\.\d+\.self_attn\.q_proj\.(weight|bias)", "query"),
        (r"model\.layers\.\d+\.self_attn\.[kv]_proj\.(weight|bias)", "key_value"),
        (r"model\.layers\.\d+\.mlp\.(gate|up)_proj\.(weight|bias)", "rows"),
        (r"model\.layers\.\d+\.(self_attn\.o_proj|mlp\.down_proj)\.weight", "columns"),
        (r"model\.layers\.\d+\.(self_attn\.o_proj|mlp\.down_proj)\.bias", "whole"),
        (r"model\.layers\.\d+\.(input|post_attention)_layernorm\.weight", "whole"),
        (r"model\.layers\.\d+\.self_attn\.([qk]_norm\.weight|rotary_emb\.inv_freq)", "whole"),
        (r"model\.norm\.weight", "whole"),
    )
)


class Partition:
    """Cuts the tensors of one model for one degree. Raises PartitionError for what it cannot cut, by name."""

    def __init__(self, config: dict[str, Any], degree: int) -> None:
        if degree not in DEGREES:
            raise PartitionError(
                f"tensor-parallel degree {degree} is not one of {', '.join(map(str, DEGREES))}."
            )
        self.degree = degree
        self._geometry = _geometry(config, degree) if degree > 1 else None

    def cuts(self, name: str, shape: tuple[int, ...]) -> tuple[Cut, ...]:
        """One cut per rank. Rank 0's is never smaller than another's."""
        if self._geometry is None:
            return (Cut(None, 0, 0),)
        rule = next((rule for pattern, rule in _RULES if pattern.fullmatch(name)), None)
        if rule is None:
            raise PartitionError(
                f"tensor {name} has no rule for tensor-parallel degree {self.degree}; "
                "shard with degree 1, or convert the checkpoint to plain Llama-style tensors."
            )
        if rule == "whole":
            return (Cut(None, 0, 0),) * self.degree
        if len(shape) <= (rule == "columns"):
            raise PartitionError(
                f"tensor {shown(name)} has {len(shape)} dimensions and cannot be cut for "
                f"tensor-parallel degree {self.degree}; shard with degree 1."
            )
        if rule == "vocabulary":
            return self._vocabulary(shape[0])
        if rule == "columns":
            return self._even(name, 1, shape[1])
        if rule == "rows":
            return self._even(name, 0, shape[0])
        heads = self._geometry.query_heads if rule == "query" else self._geometry.key_value_heads
        return self._heads(name, shape[0], heads, self._geometry.head_width)

    def _even(self, name: str, axis: int, length: int) -> tuple[Cut, ...]:
        if length % self.degree:
            raise PartitionError(
                f"axis {axis} of tensor {name} has length {length}, not divisible by {self.degree}."
            )
        part = length // self.degree
        return tuple(Cut(axis, rank * part, (rank + 1) * part) for rank in range(self.degree))

    def _vocabulary(self, length: int) -> tuple[Cut, ...]:
        padded = -(-length // _VOCABULARY_PADDING) * _VOCABULARY_PADDING
        part = padded // self.degree
        return tuple(
            Cut(0, min(rank * part, length), min((rank + 1) * part, length)) for rank in range(self.degree)
        )

    def _heads(self, name: str, length: int, heads: int, width: int) -> tuple[Cut, ...]:
        if length != heads * width:
            raise PartitionError(
                f"tensor {name} has {length} rows, but config.json says {heads} heads of {width}."
            )
        if heads >= self.degree:
            return self._even(name, 0, length)
        # Fewer heads than ranks: neighbouring ranks hold the same head.
        sharers = self.degree // heads
        return tuple(
            Cut(0, rank // sharers * width, (rank // sharers + 1) * width) for rank in range(self.degree)
        )


def _geometry(config: dict[str, Any], degree: int) -> _Geometry:
    names = config.get("architectures") or ["(no config.json)"]
    names = names if isinstance(names, list) else [names]
    if len(names) != 1 or names[0] not in ARCHITECTURES:
        raise PartitionError(
            f"{shown(', '.join(map(str, names)))} cannot be cut for tensor-parallel degree {degree}; "
            f"known are {', '.join(ARCHITECTURES)}. Shard it with degree 1."
        )
    try:
        query_heads = int(config["num_attention_heads"])
        key_value_heads = int(config.get("num_key_value_heads") or query_heads)
        head_width = int(config.get("head_dim") or int(config["hidden_size"]) // query_heads)
        if min(query_heads, key_value_heads, head_width) < 1:
            raise ValueError("a number of heads or their width is less than 1")
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise PartitionError(
            f"config.json does not say how many heads the model has ({shown(repr(error))})."
        ) from error
    if query_heads % degree:
        raise PartitionError(f"{query_heads} attention heads cannot be shared evenly by {degree} ranks.")
    if key_value_heads % degree and degree % key_value_heads:
        raise PartitionError(
            f"{key_value_heads} key/value heads can neither be shared by {degree} ranks nor repeated."
        )
    return _Geometry(query_heads, key_value_heads, head_width)
