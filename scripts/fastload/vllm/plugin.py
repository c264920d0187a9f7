"""The entry point: called by vLLM in the API server, the engine core and every worker."""

from __future__ import annotations

LOAD_FORMAT = "fastload"


def register() -> None:
    """Register `--load-format fastload`, and start loading if FASTLOAD_LOCATION is set.

    May be called any number of times, in any process. Touches no device.
    """
    from vllm.model_executor import model_loader

    from fastload.vllm import early_start

    early_start.begin()
    known = getattr(model_loader, "_LOAD_FORMAT_TO_MODEL_LOADER", {})
    if LOAD_FORMAT not in known:
        from fastload.vllm.loader import FastloadModelLoader

        model_loader.register_model_loader(LOAD_FORMAT)(FastloadModelLoader)
