"""Generated checkpoints are models that real libraries load, the same every time, whatever their size."""

from __future__ import annotations

import json
import math
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from loadbench.errors import RunError, UsageError
from loadbench.progress import Progress, ignore_progress
from loadbench.run.models import synthetic
from loadbench.run.models.checkpoint import inspect_checkpoint
from loadbench.run.models.synthetic import SHAPES, generate, shape_of

TINY = SHAPES["llama-tiny"]


def test_the_shapes_have_the_sizes_of_the_models_they_stand_for() -> None:
    # Parameters as the model cards give them: 1.24 and 8.03 billion.
    assert SHAPES["llama-1b"].weights_bytes / 2 == pytest.approx(1.236e9, rel=1e-3)
    assert SHAPES["llama-8b"].weights_bytes / 2 == pytest.approx(8.030e9, rel=1e-3)


def test_the_same_bytes_come_out_every_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        generate(TINY, tmp_path / name, ignore_progress)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_transformers_loads_it_and_answers_with_text(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    generate(TINY, tmp_path, ignore_progress)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    model, reported = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path, dtype=torch.bfloat16, output_loading_info=True
    )
    assert not reported["missing_keys"]
    assert not reported["unexpected_keys"]
    question = "What is the capital of France? Ünïcode 🚀"
    ids = tokenizer(question, return_tensors="pt").input_ids
    assert tokenizer.decode(ids[0]) == question
    answer = model.generate(ids, max_new_tokens=4, min_new_tokens=4, do_sample=False)
    assert tokenizer.decode(answer[0][ids.shape[1] :])
    chat = tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False)
    assert "hi" in chat


def test_every_token_id_has_a_text(tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    generate(TINY, tmp_path, ignore_progress)
    tokenizer = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert tokenizer.get_vocab_size() == TINY.vocabulary
    assert all(tokenizer.id_to_token(number) for number in range(TINY.vocabulary))


def test_a_large_one_is_split_as_the_hub_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "_FILE_LIMIT_BYTES", 100_000)
    generate(replace(TINY, tied_embeddings=False), tmp_path, ignore_progress)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    files = sorted(path.name for path in tmp_path.glob("*.safetensors"))
    assert len(files) > 1
    assert files[0] == f"model-00001-of-{len(files):05d}.safetensors"
    assert set(index["weight_map"].values()) == set(files)
    assert index["metadata"]["total_size"] == inspect_checkpoint(tmp_path).weights.size_bytes
    assert all((tmp_path / name).stat().st_size < 110_000 for name in files)


def test_memory_stays_at_a_few_blocks_whatever_the_size(tmp_path: Path) -> None:
    pytest.importorskip("numpy")
    large = replace(TINY, name="wide", vocabulary=1_000_000)  # one tensor of 128 MB, sixteen blocks
    tracemalloc.start()
    for _ in synthetic._values("model.embed_tokens.weight", (large.vocabulary, large.hidden_size)):
        pass
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 6 * synthetic._BLOCK_BYTES


def test_progress_ends_at_the_whole(tmp_path: Path) -> None:
    reported: list[Progress] = []
    generate(TINY, tmp_path, reported.append)
    assert reported[-1].done == reported[-1].total == TINY.weights_bytes
    assert [step.done for step in reported] == sorted(step.done for step in reported)


def test_the_numbers_are_finite_and_small() -> None:
    numpy = pytest.importorskip("numpy")
    (block,) = synthetic._values("a.weight", (64, 64))
    values = (numpy.frombuffer(block, dtype="<u2").astype("<u4") << 16).view("<f4")
    assert values.size == 64 * 64
    assert numpy.abs(values).max() < 2**-5
    assert numpy.abs(values).min() >= 2**-7
    assert math.isclose(values.mean(), 0, abs_tol=1e-3)


def test_a_full_disk_is_reported_before_writing(tmp_path: Path) -> None:
    huge = replace(TINY, name="huge", vocabulary=10**13)
    with pytest.raises(RunError, match=r"needs \d+\.\d GB"):
        generate(huge, tmp_path, ignore_progress)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_shape_is_reported_with_the_known_ones() -> None:
    with pytest.raises(UsageError) as failure:
        shape_of("synthetic:llama-70b")
    assert "synthetic:llama-8b" in failure.value.remedy
