"""Proof that the bytes are right: every parameter after `fastload` against the same after vLLM's own loader.

    python -m fastload.vllm.verification MODEL_FOLDER [--location s3://bucket/prefix/]

Parameters are compared as the loaders leave them, by the SHA-256 of their bytes: afterwards vLLM rearranges
them for its kernels, and may leave an empty one behind. Runs in vLLM's environment, in one process.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def main(arguments: list[str] | None = None) -> int:
    """Print one JSON object a model; exit status 1 where a parameter differs."""
    parser = argparse.ArgumentParser(prog="python -m fastload.vllm.verification", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="+", help="model folders with config, tokenizer, weights")
    parser.add_argument("--location", help="where fastload reads from; default: the folder itself")
    parser.add_argument("--dtype", default="auto")
    given = parser.parse_args(arguments)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    all_equal = True
    for folder in given.folder:
        result = compare(folder, given.location or str(folder), given.dtype)
        all_equal &= not result["differing"]
        print(json.dumps(result), flush=True)
    return 0 if all_equal else 1


def compare(folder: Path, location: str, dtype: str = "auto") -> dict[str, Any]:
    """Names of the parameters that differ, and how many there are."""
    expected = digests(folder, "auto", {}, dtype)
    found = digests(folder, "fastload", {"location": location}, dtype)
    names = sorted(set(expected) | set(found))
    return {
        "model": str(folder),
        "location": location,
        "parameters": len(names),
        "differing": [name for name in names if expected.get(name) != found.get(name)],
    }


def digests(folder: Path, load_format: str, extra_config: dict[str, Any], dtype: str) -> dict[str, str]:
    """The SHA-256 of every parameter right after a loader has filled it."""
    from vllm.config import set_current_vllm_config
    from vllm.engine.arg_utils import EngineArgs
    from vllm.model_executor.model_loader import get_model_loader
    from vllm.model_executor.model_loader.utils import initialize_model
    from vllm.model_executor.model_loader.weight_checksum import compute_tensor_digests
    from vllm.utils.torch_utils import set_default_torch_dtype

    config = EngineArgs(
        model=str(folder),
        dtype=dtype,
        load_format=load_format,
        model_loader_extra_config=extra_config,
        enforce_eager=True,
        max_model_len=128,
        skip_tokenizer_init=True,
    ).create_engine_config()
    with set_current_vllm_config(config), _one_rank(), set_default_torch_dtype(config.model_config.dtype):
        model = initialize_model(vllm_config=config, model_config=config.model_config)
        get_model_loader(config.load_config).load_weights(model, config.model_config)
        found: dict[str, str] = compute_tensor_digests(model)
    del model
    gc.collect()
    return found


@contextlib.contextmanager
def _one_rank() -> Iterator[None]:
    """The process groups that vLLM's layers ask for, with this process alone in them."""
    from vllm.distributed import parallel_state

    with tempfile.TemporaryDirectory(prefix="fastload-") as folder:
        # Anew for each model: a mixture of experts wants groups that others do not have.
        parallel_state.init_distributed_environment(1, 0, f"file://{folder}/rendezvous", 0, "gloo")
        parallel_state.initialize_model_parallel(1)
        try:
            yield
        finally:
            parallel_state.destroy_model_parallel()
            parallel_state.destroy_distributed_environment()


if __name__ == "__main__":
    sys.exit(main())
