"""Verifies the loader: compares every parameter after `fastload` with vLLM's own loader.

    python -m fastload.vllm.verify_parameters MODEL_FOLDER [--location s3://bucket/prefix/]
        [--tensor-parallel-size 2] [--tokens]

Parameters are compared directly after loading, by the SHA-256 of their bytes, rank by rank, because vLLM
later rearranges them for its kernels and may leave some empty. With --tokens two complete engines answer a
dozen prompts greedily, and their tokens are compared, too. Runs in vLLM's environment.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import multiprocessing
import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fastload.prefetch.protocol import begin_session

_PROMPTS = (
    "The capital of France is",
    "One, two, three, four,",
    "Water boils at",
    "def fibonacci(n):",
    "The opposite of hot is",
    "In the year 1969,",
    "Once upon a time",
    "The largest planet is",
    "import numpy as",
    "Dear Sir or Madam,",
    "The chemical symbol of gold is",
    "To be or not to be,",
)
_TOKENS = 16


def main(arguments: list[str] | None = None) -> int:
    """Print one JSON object per model; exit status 1 if a parameter or a token differs."""
    parser = argparse.ArgumentParser(prog="python -m fastload.vllm.verify_parameters", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="+", help="model folders with config, tokenizer, weights")
    parser.add_argument("--location", help="location that fastload reads; default: the folder")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--tensor-parallel-size", type=int, default=1)
    parser.add_argument(
        "--tokens", action="store_true", help="also compare the responses of complete engines"
    )
    given = parser.parse_args(arguments)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    begin_session()  # all ranks share one prefetching process
    all_equal, degree = True, given.tensor_parallel_size
    with _ranks(degree) as run:
        for folder in given.folder:
            location = given.location or str(folder)
            result = compare(folder, location, given.dtype, degree, run)
            if given.tokens:
                result |= compare_tokens(folder, location, given.dtype, degree)
            all_equal &= not result["differing"] and not result.get("differing_answers")
            print(json.dumps(result), flush=True)
    return 0 if all_equal else 1


@contextlib.contextmanager
def _ranks(degree: int) -> Iterator[Callable[..., list[Any]]]:
    """Call a function once per rank with a tuple of arguments; with several ranks, each in its own process.

    The processes are reused for all models, because importing vLLM takes longer than everything else.
    """
    if degree == 1:
        yield lambda function, calls: [function(*calls[0])]
        return
    with multiprocessing.get_context("spawn").Pool(degree) as pool:
        yield lambda function, calls: pool.starmap(function, calls, chunksize=1)


def compare(
    folder: Path, location: str, dtype: str, degree: int, run: Callable[..., list[Any]]
) -> dict[str, Any]:
    """Names of the parameters that differ, with the rank if there are several, and their number."""
    expected, found = dict[str, str](), dict[str, str]()
    with tempfile.TemporaryDirectory(prefix="fastload-") as scratch:
        results = run(
            _of_rank, [(rank, degree, folder, location, dtype, Path(scratch)) for rank in range(degree)]
        )
    for rank, (one, other) in enumerate(results):
        suffix = f" of rank {rank}" if degree > 1 else ""
        expected |= {f"{name}{suffix}": digest for name, digest in one.items()}
        found |= {f"{name}{suffix}": digest for name, digest in other.items()}
    names = sorted(set(expected) | set(found))
    return {
        "model": str(folder),
        "location": location,
        "tensor_parallel_size": degree,
        "parameters": len(names),
        "differing": [name for name in names if expected.get(name) != found.get(name)],
    }


def compare_tokens(folder: Path, location: str, dtype: str, degree: int) -> dict[str, Any]:
    """Prompts with different greedy responses, and the number of prompts."""
    expected = greedy_tokens(folder, "auto", {}, dtype, degree)
    found = greedy_tokens(folder, "fastload", {"location": location}, dtype, degree)
    differing = [index for index, pair in enumerate(zip(expected, found, strict=True)) if pair[0] != pair[1]]
    return {"prompts": len(expected), "differing_answers": differing}


def greedy_tokens(
    folder: Path, load_format: str, extra_config: dict[str, Any], dtype: str, degree: int
) -> list[list[int]]:
    """An engine's response to each prompt; without a tokenizer, prompts are random token ids."""
    from vllm import LLM, SamplingParams

    has_tokenizer = (folder / "tokenizer.json").exists()
    options = _options(folder, load_format, extra_config, dtype)
    options["skip_tokenizer_init"] = not has_tokenizer
    engine = LLM(**options, tensor_parallel_size=degree, max_num_seqs=4)
    prompts: list[Any] = list(_PROMPTS)
    if not has_tokenizer:
        vocabulary = engine.llm_engine.model_config.get_vocab_size()
        chosen = random.Random(0)  # noqa: S311 - any numbers are suitable, if they are reproducible
        prompts = [{"prompt_token_ids": [chosen.randrange(vocabulary) for _ in range(8)]} for _ in prompts]
    wanted = SamplingParams(temperature=0, max_tokens=_TOKENS, ignore_eos=True, detokenize=has_tokenizer)
    answers = engine.generate(prompts, wanted, use_tqdm=False)
    tokens = [list(answer.outputs[0].token_ids) for answer in answers]
    del engine
    gc.collect()
    return tokens


def _of_rank(
    rank: int, degree: int, folder: Path, location: str, dtype: str, scratch: Path
) -> tuple[dict[str, str], dict[str, str]]:
    """One rank's digests after vLLM's own loader, and after fastload's."""

    def digests(load_format: str, extra_config: dict[str, Any]) -> dict[str, str]:
        options = _options(folder, load_format, extra_config, dtype) | {"tensor_parallel_size": degree}
        return _digests(options, rank, scratch / load_format)

    return digests("auto", {}), digests("fastload", {"location": location})


def _digests(options: dict[str, Any], rank: int, meeting_place: Path) -> dict[str, str]:
    """The SHA-256 of every parameter right after a loader has filled it."""
    from vllm.config import set_current_vllm_config
    from vllm.engine.arg_utils import EngineArgs
    from vllm.model_executor.model_loader import get_model_loader
    from vllm.model_executor.model_loader.utils import initialize_model
    from vllm.model_executor.model_loader.weight_checksum import compute_tensor_digests
    from vllm.utils.torch_utils import set_default_torch_dtype

    config = EngineArgs(**options).create_engine_config()
    with (
        set_current_vllm_config(config),
        _process_groups(rank, options["tensor_parallel_size"], meeting_place),
        set_default_torch_dtype(config.model_config.dtype),
    ):
        model = initialize_model(vllm_config=config, model_config=config.model_config)
        get_model_loader(config.load_config).load_weights(model, config.model_config)
        found: dict[str, str] = compute_tensor_digests(model)
    del model
    gc.collect()
    return found


def _options(folder: Path, load_format: str, extra_config: dict[str, Any], dtype: str) -> dict[str, Any]:
    return {
        "model": str(folder),
        "dtype": dtype,
        "load_format": load_format,
        "model_loader_extra_config": extra_config,
        "enforce_eager": True,
        "max_model_len": 128,
        "skip_tokenizer_init": True,
    }


@contextlib.contextmanager
def _process_groups(rank: int, degree: int, meeting_place: Path) -> Iterator[None]:
    """The process groups that vLLM's layers need; the ranks rendezvous through a file."""
    from vllm.distributed import parallel_state

    # Created for each model, because a mixture of experts needs additional groups.
    parallel_state.init_distributed_environment(degree, rank, f"file://{meeting_place}", rank, "gloo")
    parallel_state.initialize_model_parallel(degree)
    try:
        yield
    finally:
        parallel_state.destroy_model_parallel()
        parallel_state.destroy_distributed_environment()


if __name__ == "__main__":
    sys.exit(main())
