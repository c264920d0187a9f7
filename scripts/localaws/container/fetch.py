"""Models that the container downloads itself, because there is no model data: `HF_MODEL_ID`,
`option.model_id`.

The value is an `s3://` prefix or an id of the Hugging Face Hub
(docs/facts/sagemaker.md#how-lmi-gets-its-model).
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from ..errors import LocalAwsError
from . import lines
from .errors import ContainerError
from .options import Options

WEIGHTS = ".safetensors"
_HUB_FILES = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"]


def fetch_model(options: Options) -> None:
    """Fill the model folder where it holds no model yet and an id is given. Raises ContainerError."""
    model_id = options.model_id
    if model_id is None and options.model_dir.is_dir() and not any(options.model_dir.iterdir()):
        raise ContainerError(
            "the model folder is empty: the model's data holds no object, and HF_MODEL_ID names no model"
        )
    if model_id is None or (options.model_dir / "config.json").exists():
        return
    start_s = time.time()
    if model_id.startswith("s3://"):
        _from_s3(model_id, options)
    elif Path(model_id).is_absolute():
        raise ContainerError(f"HF_MODEL_ID is {model_id}, and that folder holds no model")
    else:
        _from_hub(model_id, options.model_dir)
    size_bytes = sum(path.stat().st_size for path in options.model_dir.rglob("*") if path.is_file())
    if not options.is_vllm_server:
        lines.server_line(f"Download completed! Files saved to {options.model_dir}")
    lines.phase_line("artifact_download", start_s, time.time(), size_bytes)


def _from_s3(url: str, options: Options) -> None:
    """Everything under the prefix, but no weights where the model streamer reads those from S3 itself."""
    from ..machines.s5cmd import download, list_objects

    if not options.is_vllm_server:
        lines.server_line(f"S3 url found, start downloading from {url}")
    prefix = url if url.endswith("/") else f"{url}/"

    left_out = WEIGHTS if options.uses_model_streamer else None

    async def copy() -> None:
        objects = await list_objects(prefix, os.environ, lambda child: None)
        wanted = [item for item in objects if item.name and not (left_out and item.name.endswith(left_out))]
        await download(wanted, options.model_dir, os.environ, lambda child: None)

    try:
        asyncio.run(copy())
    except LocalAwsError as error:
        raise ContainerError(f"cannot download {url}: {error}") from error


def _from_hub(model_id: str, folder: Path) -> None:
    # Read when huggingface_hub is imported, which is here for the first time.
    os.environ["HF_HUB_OFFLINE"] = "0"
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    token = os.environ.get("HF_TOKEN") or os.environ.get("HUGGING_FACE_HUB_TOKEN")
    lines.worker_line(f"Downloading {model_id} from the Hugging Face Hub")
    try:
        snapshot_download(model_id, local_dir=folder, allow_patterns=_HUB_FILES, token=token)
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise ContainerError(
            f"cannot download {model_id} from the Hugging Face Hub: {reason} "
            "(a gated model needs HF_TOKEN in the model's environment)"
        ) from error
