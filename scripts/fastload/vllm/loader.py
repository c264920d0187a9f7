"""The model loader: fills the parameters of vLLM's model from the prefetched memory."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from vllm.config import get_current_vllm_config
from vllm.logger import init_logger
from vllm.model_executor.model_loader.base_loader import BaseModelLoader
from vllm.model_executor.model_loader.default_loader import DefaultModelLoader

from fastload.errors import DoesNotFitError, StreamError
from fastload.prefetch.client import Weights
from fastload.vllm.copy_elision import ElidedCopies
from fastload.vllm.pinned import PinnedMemory
from fastload.vllm.settings import Settings, read_settings

# One of vLLM's loggers, so that lines are formatted like those of other loaders.
logger = init_logger("vllm.model_executor.model_loader.fastload")


class FastloadModelLoader(BaseModelLoader):  # type: ignore[misc]
    """Load format `fastload`."""

    def __init__(self, load_config: Any) -> None:
        super().__init__(load_config)
        self._settings: Settings = read_settings(load_config.model_loader_extra_config, os.environ)

    def download_model(self, model_config: Any) -> None:
        """Downloads nothing; only checks that there is a location."""
        self._location(model_config)

    def load_weights(self, model: nn.Module, model_config: Any) -> None:
        """Fill the model's parameters. If it raises StreamError, the parameters must not be used."""
        _refuse_secondary_weights(model)
        began_s = time.perf_counter()
        devices = {str(parameter.device) for parameter in model.parameters()}
        try:
            loaded, summary = self._load_from_memory(model, model_config, on_cpu=devices == {"cpu"})
        except DoesNotFitError as error:
            if len(devices) != 1 or devices == {"cpu"}:
                raise
            logger.warning("fastload: %s Every worker streams all files to its device instead.", error)
            loaded, summary = self._load_through_ring(model, model_config, devices.pop())
        logger.info("Loading weights took %.2f seconds", time.perf_counter() - began_s)
        logger.info("fastload: %s", summary)
        # Like vLLM's default loader: all parameters of an unquantized model must come from the checkpoint.
        check = getattr(DefaultModelLoader, "track_weights_loading", None)
        if check is not None and model_config.quantization is None and loaded is not None:
            check(self, model, loaded)

    def _load_from_memory(self, model: nn.Module, model_config: Any, *, on_cpu: bool) -> tuple[Any, str]:
        """Fill the parameters from memory that all workers share; gives what was loaded, and a summary."""
        with self._open(model_config, private=on_cpu) as weights:
            memory = torch.frombuffer(weights.memory, dtype=torch.uint8)
            taking = (
                ElidedCopies(model, memory)
                if on_cpu
                else PinnedMemory(memory, is_filled=weights.was_complete)
            )
            with taking:
                loaded = model.load_weights(_named(weights, model_config))  # type: ignore[operator]
            weights.finish()
        return loaded, (
            f"{weights.size_bytes / 1e9:.2f} GB from {self._location(model_config)},"
            f" waited {weights.waited_s:.2f} seconds for bytes, {taking.summary()}"
        )

    def _load_through_ring(self, model: nn.Module, model_config: Any, device: str) -> tuple[Any, str]:
        """The same by way of a bounded buffer, without shared memory."""
        from fastload.gpu_tensors import stream_tensors  # seldom needed: starts must not pay for it

        location = self._location(model_config)
        tensors = stream_tensors(
            location,
            device,
            connections=self._settings.connections,
            with_aliases=not _is_tied(model_config),
        )
        with contextlib.closing(tensors):
            loaded = model.load_weights(tensors)  # type: ignore[operator]
        return loaded, f"streamed from {location} to {device} through a ring"

    def get_all_weights(
        self, model_config: Any, model: nn.Module
    ) -> Generator[tuple[str, torch.Tensor], None, None]:
        """Every tensor of the checkpoint by its own name, for a reload in place."""
        _refuse_secondary_weights(model)
        with self._open(model_config, private=True) as weights:
            yield from _named(weights, model_config)
            weights.finish()

    def _open(self, model_config: Any, *, private: bool) -> Weights:
        request = self._settings.request(self._location(model_config))
        return Weights(request, world=_local_workers(), private=private)

    def _location(self, model_config: Any) -> str:
        """The location of a model's weights: configured for its name or for the served model, or its
        folder.
        """
        model = str(model_config.model)
        if model in self._settings.locations:
            return self._settings.locations[model]
        if self._settings.location is not None and model == _served_model(model):
            return self._settings.location
        if any(Path(model).glob("*.safetensors")):
            return model
        raise StreamError(
            f"the load format fastload does not know where the weights of {model} are: set FASTLOAD_LOCATION"
            " to s3://bucket/prefix/ for the served model, FASTLOAD_LOCATIONS for others (a draft model)."
        )


def _named(weights: Weights, model_config: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors as a checkpoint on disk would give them."""
    is_tied = _is_tied(model_config)
    for name, tensor in weights.tensors():
        if not (is_tied and name in weights.aliases):
            yield name, tensor


def _is_tied(model_config: Any) -> bool:
    """Whether vLLM ties the output head itself. Shards contain it; checkpoints omit it."""
    text_config = getattr(model_config, "hf_text_config", None)
    return bool(getattr(text_config, "tie_word_embeddings", False))


def _refuse_secondary_weights(model: nn.Module) -> None:
    if getattr(model, "secondary_weights", ()):
        raise StreamError(
            f"{type(model).__name__} loads weights from a second repository, which the load format fastload"
            " cannot read; use --load-format auto."
        )


def _served_model(model: str) -> str:
    """The name of the model that this server serves; a draft model's name is different."""
    with contextlib.suppress(AssertionError):  # outside of a load, vLLM has no current configuration
        return str(get_current_vllm_config().model_config.model)
    return model


def _local_workers() -> int:
    """The number of workers on this machine that load the same model."""
    with contextlib.suppress(AssertionError):
        parallel = get_current_vllm_config().parallel_config
        local = getattr(parallel, "local_world_size", parallel.world_size)
        return int(local) * int(getattr(parallel, "data_parallel_size_local", 1) or 1)
    return 1
