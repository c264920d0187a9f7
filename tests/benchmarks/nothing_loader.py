"""A load format of vLLM that loads nothing: what a start costs when weights cost nothing.

Runs in vLLM's environment, which finds it by an entry point; parameters stay as they were allocated.
"""

from __future__ import annotations

from typing import Any


def register() -> None:
    """Make `--load-format bench_nothing` known. May be called any number of times."""
    from vllm.model_executor import model_loader
    from vllm.model_executor.model_loader.base_loader import BaseModelLoader

    class NothingLoader(BaseModelLoader):  # type: ignore[misc]
        def download_model(self, model_config: Any) -> None:
            """Nothing to download."""

        def load_weights(self, model: Any, model_config: Any) -> None:
            """Nothing to load."""

    if "bench_nothing" not in model_loader._LOAD_FORMAT_TO_MODEL_LOADER:
        model_loader.register_model_loader("bench_nothing")(NothingLoader)
