"""Weights by either path make the same model, and it is the model that transformers would have made."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

import fastload
from localaws.container import model as models
from localaws.container import model_streamer, ranks, weights
from localaws.container.engine import Engine, Token
from localaws.container.errors import ContainerError, RequestError
from localaws.container.options import Options, read_options
from localaws.container.requests import GenerationRequest, Sampling

from ..tiny_model import write_tiny_model

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny"))


def options(folder: Path, **environment: str) -> Options:
    return read_options({"LOCALAWS_MODEL_DIR": str(folder), **environment})


def build(folder: Path, tensors: dict[str, torch.Tensor], **environment: str) -> torch.nn.Module:
    model = models.skeleton(AutoConfig.from_pretrained(folder))
    models.fill(model, tensors, options(folder, **environment), CPU)
    module: torch.nn.Module = model
    return module


def logits(model: torch.nn.Module) -> torch.Tensor:
    # Longer than a head's dimension, so that wrong rotary frequencies would show.
    prompt = torch.arange(40).reshape(1, -1)
    with torch.inference_mode():
        result: torch.Tensor = model(input_ids=prompt).logits
    return result


@pytest.fixture(scope="module")
def expected(folder: Path) -> torch.Tensor:
    return logits(AutoModelForCausalLM.from_pretrained(folder))


def test_the_standard_path_builds_the_model_that_transformers_builds(
    folder: Path, expected: torch.Tensor
) -> None:
    model = build(folder, weights.load_from_disk(folder, CPU))

    assert torch.equal(logits(model), expected)


def test_the_streaming_path_builds_the_same_model(
    folder: Path, expected: torch.Tensor, tmp_path: Path
) -> None:
    fastload.shard_checkpoint(str(folder), str(tmp_path))
    with fastload.open_stream(str(tmp_path)) as stream:
        model = build(folder, stream.tensors())

    assert torch.equal(logits(model), expected)


def test_the_model_streamer_builds_the_same_model(
    folder: Path, expected: torch.Tensor, capsys: pytest.CaptureFixture[str]
) -> None:
    streaming = options(folder, OPTION_LOAD_FORMAT="runai_streamer")
    model_streamer.prepare(streaming)
    model = build(folder, model_streamer.load(streaming, CPU))

    assert torch.equal(logits(model), expected)
    assert "[phase] name=weights_stream" in capsys.readouterr().out


def test_what_the_model_streamer_cannot_read_ends_the_container(tmp_path: Path) -> None:
    streaming = options(tmp_path, OPTION_LOAD_FORMAT="runai_streamer")
    with pytest.raises(ContainerError, match=r"holds no \*\.safetensors"):
        model_streamer.load(streaming, CPU)
    (tmp_path / "model.safetensors").write_bytes(b"not weights at all")
    with pytest.raises(ContainerError, match="is not a safetensors file"):
        model_streamer.load(streaming, CPU)


@pytest.mark.parametrize("degree", [2, 4])
def test_the_shards_of_several_ranks_make_the_same_model(
    folder: Path, expected: torch.Tensor, tmp_path: Path, degree: int
) -> None:
    fastload.shard_checkpoint(str(folder), str(tmp_path), tensor_parallel_degree=degree)
    parts = []
    for rank in range(degree):
        with fastload.open_stream(str(tmp_path), rank=rank) as stream:
            parts.append(stream.tensors())
    shapes = models.parameter_shapes(models.skeleton(AutoConfig.from_pretrained(folder)))

    assert torch.equal(logits(build(folder, ranks.joined(parts, shapes))), expected)


def test_heads_that_neighbouring_ranks_share_are_taken_once() -> None:
    head = [torch.full((2, 3), float(number)) for number in range(2)]
    parts = [{"k": head[0]}, {"k": head[0]}, {"k": head[1]}, {"k": head[1]}]

    assert torch.equal(ranks.joined(parts, {"k": (4, 3)})["k"], torch.cat(head))


def test_shards_of_another_degree_are_refused_by_name() -> None:
    with pytest.raises(ContainerError, match="run the optimization job again"):
        ranks.joined([{"k": torch.zeros(2, 3)}, {"k": torch.zeros(2, 3)}], {"k": (5, 3)})


def test_no_weight_is_copied_when_the_data_type_stays(folder: Path) -> None:
    tensors = weights.load_from_disk(folder, CPU)
    addresses = {name: tensor.data_ptr() for name, tensor in tensors.items()}

    model = build(folder, tensors)

    assert {name: value.data_ptr() for name, value in model.named_parameters()} == addresses


def test_a_checkpoint_of_several_files_is_read_whole(
    folder: Path, expected: torch.Tensor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    files = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, held in files.items():
        save_file({name: tensors[name] for name in held}, tmp_path / file)
    weight_map = {name: file for file, held in files.items() for name in held}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))

    assert torch.equal(logits(build(folder, weights.load_from_disk(tmp_path, CPU))), expected)
    written = capsys.readouterr().out
    assert written.count("name=weights_to_host") == written.count("name=weights_to_device") == 2

    (tmp_path / "b.safetensors").unlink()
    with pytest.raises(ContainerError, match=r"b\.safetensors"):
        weights.load_from_disk(tmp_path, CPU)


def test_a_missing_parameter_is_named(folder: Path) -> None:
    tensors = weights.load_from_disk(folder, CPU)
    del tensors["model.norm.weight"]

    with pytest.raises(ContainerError, match=r"model\.norm\.weight"):
        build(folder, tensors)


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 64, b"\x02\x00\x00\x00\x00\x00\x00\x00[]"])
def test_a_file_that_is_not_safetensors_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)

    with pytest.raises(ContainerError, match=r"model\.safetensors"):
        weights.load_from_disk(tmp_path, CPU)


def test_a_file_that_ends_early_is_refused(folder: Path, tmp_path: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[:-100])

    with pytest.raises(ContainerError, match="was cut short"):
        weights.load_from_disk(tmp_path, CPU)


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContainerError, match=r"holds no \*\.safetensors"):
        weights.load_from_disk(tmp_path, CPU)


def test_half_precision_asked_for_on_a_cpu_serves_what_the_checkpoint_has(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = build(folder, weights.load_from_disk(folder, CPU), OPTION_DTYPE="fp16")

    assert {value.dtype for value in model.parameters()} == {torch.float32}
    assert "float16 was asked for" in capsys.readouterr().out


def test_another_data_type_is_converted_to(folder: Path) -> None:
    model = build(folder, weights.load_from_disk(folder, CPU), OPTION_DTYPE="bf16")

    assert {value.dtype for value in model.parameters()} == {torch.bfloat16}


@pytest.fixture
def engine(folder: Path) -> Iterator[Engine]:
    model = build(folder, weights.load_from_disk(folder, CPU))
    yield Engine(model, AutoTokenizer.from_pretrained(folder), CPU, max_model_len=64)


def ask(text: str, **sampling: object) -> GenerationRequest:
    return GenerationRequest(text, None, Sampling(**{"max_new_tokens": 8, **sampling}))  # type: ignore[arg-type]


def test_tokens_come_one_by_one_and_make_up_the_answer(engine: Engine) -> None:
    seen: list[Token] = []

    generation = engine.generate(ask("hello"), seen.append)

    assert tuple(seen) == generation.tokens
    assert "".join(token.text for token in seen) == generation.text
    assert all(token.log_prob <= 0 for token in seen)


def test_the_same_seed_gives_the_same_answer_and_another_seed_another(engine: Engine) -> None:
    def sampled(seed: int) -> tuple[int, ...]:
        request = ask("hello", do_sample=True, temperature=1.5, seed=seed, min_new_tokens=8)
        return tuple(token.id for token in engine.generate(request).tokens)

    assert sampled(1) == sampled(1)
    assert sampled(1) != sampled(2)


def test_the_answer_stops_at_a_stop_sequence_and_does_not_hold_it(engine: Engine) -> None:
    whole = engine.generate(ask("hello", max_new_tokens=12)).text
    stop = whole[3:5]

    generation = engine.generate(ask("hello", max_new_tokens=12, stop=(stop,)))

    assert generation.text == whole[: whole.index(stop)]
    assert generation.finish_reason == "stop_sequence"


def test_prompt_and_answer_stay_within_the_models_length(engine: Engine) -> None:
    generation = engine.generate(ask("x" * 20, max_new_tokens=500, min_new_tokens=500))

    assert generation.prompt_tokens + len(generation.tokens) == 64
    assert generation.finish_reason == "length"
    with pytest.raises(RequestError, match="64"):
        engine.generate(ask("x" * 100))
