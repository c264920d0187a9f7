"""Cuts for tensor-parallel ranks, and refusals that name what cannot be cut."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastload.errors import PartitionError
from fastload.tensor_partition import Cut, Partition
from tests.fastload.checkpoints import LLAMA_CONFIG

_LAYER = "model.layers.7."


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("self_attn.q_proj.weight", (128, 128), Cut(0, 32, 64)),
        ("self_attn.k_proj.weight", (64, 128), Cut(0, 16, 32)),
        ("self_attn.v_proj.bias", (64,), Cut(0, 16, 32)),
        ("self_attn.o_proj.weight", (128, 128), Cut(1, 32, 64)),
        ("self_attn.o_proj.bias", (128,), Cut(None, 0, 0)),
        ("self_attn.q_norm.weight", (16,), Cut(None, 0, 0)),
        ("mlp.gate_proj.weight", (192, 128), Cut(0, 48, 96)),
        ("mlp.down_proj.weight", (128, 192), Cut(1, 48, 96)),
        ("input_layernorm.weight", (128,), Cut(None, 0, 0)),
    ],
)
def test_the_second_of_four_ranks_holds(name: str, shape: tuple[int, ...], expected: Cut) -> None:
    assert Partition(LLAMA_CONFIG, 4).cuts(_LAYER + name, shape)[1] == expected


def test_ranks_beyond_the_key_value_heads_share_them() -> None:
    cuts = Partition(LLAMA_CONFIG, 8).cuts(_LAYER + "self_attn.k_proj.weight", (64, 128))
    assert [cut.start // 16 for cut in cuts] == [0, 0, 1, 1, 2, 2, 3, 3]


@given(vocabulary=st.integers(1, 5000), degree=st.sampled_from((2, 4, 8)))
def test_the_vocabulary_is_covered_once_in_order_and_no_part_exceeds_the_first(
    vocabulary: int, degree: int
) -> None:
    cuts = Partition(LLAMA_CONFIG, degree).cuts("model.embed_tokens.weight", (vocabulary, 128))
    assert (cuts[0].start, cuts[-1].stop) == (0, vocabulary)
    assert all(left.stop == right.start for left, right in itertools.pairwise(cuts))
    assert max(cut.stop - cut.start for cut in cuts) == cuts[0].stop


@pytest.mark.parametrize(
    ("config", "name", "sentence"),
    [
        ({"architectures": ["GPT2LMHeadModel"]}, "wte.weight", "GPT2LMHeadModel cannot be cut"),
        ({}, "a", r"\(no config.json\) cannot be cut"),
        (LLAMA_CONFIG, "model.layers.0.self_attn.qkv_proj.weight", "qkv_proj.weight has no rule"),
        (LLAMA_CONFIG, "model.layers.0.mlp.up_proj.weight_scale", "weight_scale has no rule"),
        (LLAMA_CONFIG | {"num_attention_heads": 9}, "a", "9 attention heads"),
        (LLAMA_CONFIG | {"num_key_value_heads": 3}, "a", "3 key/value heads"),
        (
            LLAMA_CONFIG,
            "model.layers.0.mlp.up_proj.weight",
            "axis 0 of tensor model.layers.0.mlp.up_proj.weight",
        ),
        (LLAMA_CONFIG, "model.layers.0.self_attn.q_proj.weight", "has 33 rows"),
        ({"architectures": ["LlamaForCausalLM"]}, "a", "how many heads"),
    ],
)
def test_what_cannot_be_cut_is_refused_by_name(config: dict[str, Any], name: str, sentence: str) -> None:
    with pytest.raises(PartitionError, match=sentence):
        Partition(config, 2).cuts(name, (33, 128))


def test_a_degree_that_serving_engines_do_not_use_is_refused() -> None:
    with pytest.raises(PartitionError, match="degree 3 is not one of 1, 2, 4, 8"):
        Partition(LLAMA_CONFIG, 3)


def test_one_rank_holds_any_model_whole() -> None:
    assert Partition({"architectures": ["GPT2LMHeadModel"]}, 1).cuts("wte.weight", (3, 5)) == (
        Cut(None, 0, 0),
    )
