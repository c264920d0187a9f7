"""A planned start: from the configuration, local files of the model, and earlier records."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from loadbench.errors import UsageError
from loadbench.predict.start import StartSpec, size_from_name, spec_of_config
from loadbench.run.models.checkpoint import inspect_headers
from loadbench.run.models.resolve import cache_dir, cached_folder, expand_user
from loadbench.run.models.synthetic import is_synthetic, shape_of

if TYPE_CHECKING:
    from loadbench.config import Config
    from loadbench.load_paths import LoadPath
    from loadbench.predict.learn import KnownStart


def planned_start(
    config: Config,
    load_path: LoadPath,
    known: Sequence[KnownStart],
    *,
    instance_type: str | None = None,
    weights_gb: float | None = None,
    image_cached: bool = False,
    compile_cache_warm: bool = False,
) -> StartSpec:
    """The next start of a loading method; `known` are the recorded starts, oldest first.

    Raises UsageError if the size of the weights is unknown.
    """
    deployment = config.deployment(load_path)
    size_bytes, source = _weights_size(deployment.hf_model_id, deployment.dtype, weights_gb, known)
    start = spec_of_config(
        config,
        load_path,
        weights_bytes=size_bytes,
        size_source=source,
        instance_type=instance_type or deployment.instance_type,
    )
    return replace(
        start,
        image_cached=image_cached,
        compile_cache="warm" if compile_cache_warm and start.compile_cache != "none" else start.compile_cache,
        engine=_newest_engine(load_path, known) or start.engine,
        layers=_layers(start.model_id),
        at_s=time.time(),
    )


def _newest_engine(load_path: LoadPath, known: Sequence[KnownStart]) -> str | None:
    """The engine of the newest start of this loading method."""
    return next((item.start.engine for item in reversed(known) if item.start.path == load_path), None)


def _weights_size(
    model_id: str, dtype: str, weights_gb: float | None, known: Sequence[KnownStart]
) -> tuple[float, str]:
    """Bytes of the weights, and the source of that figure."""
    if weights_gb is not None:
        return weights_gb * 1e9, "as given by --weights-gb"
    if is_synthetic(model_id):
        return shape_of(model_id).weights_bytes, "by the model's shape"
    for folder in _local_folders(model_id):
        if folder.is_dir():
            return inspect_headers(folder).size_bytes, f"by the files in {folder}"
    recorded = next((item for item in reversed(known) if item.start.model_id == model_id), None)
    if recorded is not None:
        return recorded.start.weights_bytes, f"as in run {recorded.record.run_id}"
    named = size_from_name(model_id, dtype)
    if named is None:
        raise UsageError(
            f"the size of {model_id} is not known: no record, no local files, and no size in its name",
            remedy="Pass it: --weights-gb 16",
        )
    return named, "by the parameters in the model's name"


def _layers(model_id: str) -> int | None:
    """Layers of the model, if its configuration is on this disk or its shape is known."""
    if is_synthetic(model_id):
        return shape_of(model_id).layers
    for folder in _local_folders(model_id):
        try:
            layers = json.loads((folder / "config.json").read_text(encoding="utf-8"))["num_hidden_layers"]
        except (OSError, ValueError, LookupError, TypeError):
            continue
        return layers if isinstance(layers, int) and layers > 0 else None
    return None


def _local_folders(model_id: str) -> Iterator[Path]:
    yield expand_user(model_id)
    yield cached_folder(model_id, cache_dir())
