"""The Hugging Face Hub: reachability, a model's files, or only its files without weights.

`huggingface_hub` is imported inside the functions: most runs do not need the hub, and the import takes half a
second.
"""

from __future__ import annotations

import os
import shutil
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from fastload.weight_files import INDEX_NAME, SINGLE_NAME
from loadbench.errors import LoadbenchError, RunError, UsageError
from loadbench.progress import OnProgress, Progress
from loadbench.run.models.checkpoint import FLOATS, Stored, StoredWeights, stored_weights

_REACH_TIMEOUT_S = 3.0
_METADATA_FILES = ["*.json", "*.txt", "*.model", "*.jinja", "*.py", "*.tiktoken"]
_SERVED_FILES = [*_METADATA_FILES, "*.safetensors"]
_IGNORED_FILES = ["original/*", "onnx/*"]
_PROGRESS_EVERY_S = 0.5


def is_reachable(timeout_s: float = _REACH_TIMEOUT_S) -> bool:
    """Whether the hub is reachable; any HTTP status counts."""
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        return False
    address = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    try:
        urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=timeout_s).close()  # noqa: S310 (the user's own hub)
    except urllib.error.HTTPError as error:
        # A proxy that blocks the host answers instead of it; the hub itself never answers a plain HEAD with
        # 403 or 5xx.
        return error.code < 500 and error.code not in (403, 407)
    except (OSError, ValueError):  # no route, unknown host, or an invalid address
        return False
    return True


def revision(model_id: str, token: str | None) -> str:
    """The commit of `main`: it identifies the weights without reading them."""
    from huggingface_hub import HfApi

    with _explained(model_id):
        return str(HfApi(token=token or False).model_info(model_id, timeout=30).sha)


def weights(model_id: str, token: str | None) -> StoredWeights | None:
    """Totals of the model's weight files, None if the hub does not report them; also works for gated models.

    For quantized formats the hub counts elements before packing, so for such a dtype the files' sizes are
    used.
    """
    from huggingface_hub import HfApi

    with _explained(model_id):
        info = HfApi(token=token or False).model_info(model_id, files_metadata=True, timeout=4)
    if info.safetensors is None:
        return None
    found = info.safetensors.parameters
    if set(found) <= FLOATS:
        return stored_weights((dtype, (count,)) for dtype, count in found.items())
    size_bytes = _weights_bytes(info.siblings or ())
    return StoredWeights({"U8": Stored(size_bytes, size_bytes)}) if size_bytes else None


def check_access(model_id: str, token: str | None) -> None:
    """Raise UsageError if the model does not exist or this token may not read it."""
    from huggingface_hub import HfApi

    with _explained(model_id):
        HfApi(token=token or False).auth_check(model_id)


def download(model_id: str, folder: Path, token: str | None, on_progress: OnProgress) -> None:
    """Download the files that serving needs into `folder`; resumes an interrupted download."""
    from huggingface_hub import HfApi, snapshot_download

    with _explained(model_id):
        info = HfApi(token=token or False).model_info(model_id, files_metadata=True, timeout=30)
        files = info.siblings or ()
        total_bytes = _weights_bytes(files)
        with _watched(folder, f"downloading {model_id}", total_bytes, on_progress):
            snapshot_download(
                model_id,
                revision=info.sha,
                local_dir=folder,
                token=token or False,
                allow_patterns=_SERVED_FILES,
                ignore_patterns=[*_IGNORED_FILES, *_second_copies(files)],
            )
    shutil.rmtree(folder / ".cache", ignore_errors=True)


def download_metadata(model_id: str, commit: str, folder: Path, token: str | None) -> None:
    """Download only configuration and tokenizer at `commit` into `folder`."""
    from huggingface_hub import snapshot_download

    with _explained(model_id):
        snapshot_download(
            model_id,
            revision=commit,
            local_dir=folder,
            token=token or False,
            allow_patterns=_METADATA_FILES,
            ignore_patterns=_IGNORED_FILES,
        )
    shutil.rmtree(folder / ".cache", ignore_errors=True)


def _weights_bytes(files: Sequence[Any]) -> int:
    """Bytes of the weight files to serve."""
    left_out = _second_copies(files)
    return sum(
        item.size or 0
        for item in files
        if fnmatch(item.rfilename, "*.safetensors")
        and "/" not in item.rfilename
        and not any(fnmatch(item.rfilename, pattern) for pattern in left_out)
    )


def _second_copies(files: Sequence[Any]) -> list[str]:
    """Mistral's format of the weights, if Hugging Face's format exists as well."""
    names = {item.rfilename for item in files}
    return ["consolidated*"] if names & {INDEX_NAME, SINGLE_NAME} else []


@contextmanager
def _explained(model_id: str) -> Iterator[None]:
    """Converts the hub's errors to errors with a remedy."""
    from huggingface_hub import errors

    # The base class of the HTTP library that this version of the client uses: requests, httpx or httpx2.
    transport_error: type[Exception] = errors.HfHubHTTPError.__mro__[1]
    try:
        yield
    except errors.GatedRepoError as error:
        raise UsageError(
            f"{model_id} is gated, and this token may not read it",
            remedy=f"Accept the licence at https://huggingface.co/{model_id} and put the account's token "
            "into .env as HUGGING_FACE_HUB_TOKEN.",
        ) from error
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        raise UsageError(
            f"the hub has no model {model_id!r} (or it is private and the token may not read it)",
            remedy="Check hf_model_id; for a private model put HUGGING_FACE_HUB_TOKEN into .env.",
        ) from error
    except (transport_error, errors.LocalEntryNotFoundError, OSError) as error:
        raise _unreachable(model_id, error) from error


def _unreachable(model_id: str, error: Exception) -> LoadbenchError:
    reason = str(error).strip().splitlines() or [type(error).__name__]
    return RunError(
        f"could not download {model_id} from the Hugging Face Hub: {reason[0]}",
        remedy="Check the network, set hf_model_id to a local folder, or use synthetic:llama-1b.",
    )


@contextmanager
def _watched(folder: Path, label: str, total_bytes: int, on_progress: OnProgress) -> Iterator[None]:
    """Report the folder's size while it grows; the library's progress bars would write to the terminal."""
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_PROGRESS_EVERY_S):
            on_progress(Progress(label, _size_bytes(folder), total_bytes, "bytes"))

    watcher = threading.Thread(target=watch, name="hub-progress", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _size_bytes(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except OSError:  # a temporary file of the download was removed meanwhile
            continue
    return total
