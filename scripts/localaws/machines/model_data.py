"""Downloads model data to the model folder before a container starts."""

from __future__ import annotations

import asyncio
import shutil
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from . import s5cmd
from .s5cmd import DownloadError, NothingFoundError, RemoteObject, Started

FAST_LOADER_FOLDER = "sagemaker-fast-model-loader-"


@dataclass(frozen=True)
class ModelData:
    """The result: the bytes in the model folder, and the place of shards that stay in S3."""

    size_bytes: int
    shards: str | None
    # Files that are the same in the folder and in S3.
    objects: tuple[RemoteObject, ...] = ()

    def shareable(self) -> list[tuple[str, str]]:
        """(name, identity of its content) of each file: an object's URL, ETag and size."""
        return [
            (item.name, f"{item.url} {item.etag} {item.size_bytes}") for item in self.objects if item.etag
        ]


async def fetch(url: str, folder: Path, environment: Mapping[str, str], started: Started) -> ModelData:
    """Download `s3://bucket/prefix/` or `s3://bucket/model.tar.gz`; shards of the fast loader stay in S3.

    Raises DownloadError. `started` receives each process that works on it.
    """
    if url.endswith(".tar.gz"):
        return await _fetch_archive(url, folder, environment, started)
    prefix = url if url.endswith("/") else f"{url}/"
    try:
        objects = [item for item in await s5cmd.list_objects(prefix, environment, started) if item.name]
    except NothingFoundError:
        # The container may need none of it: whether it does is its own decision.
        objects = []
    shards = sorted({found for item in objects if (found := _shard_folder(item)) is not None})
    wanted = [item for item in objects if _shard_folder(item) is None and not item.name.endswith("/")]
    folder.mkdir(parents=True, exist_ok=True)
    if wanted:
        await s5cmd.download(wanted, folder, environment, started)
    if len(shards) > 1:
        raise DownloadError(f"{prefix} holds more than one set of shards: {', '.join(shards)}")
    size_bytes = sum(item.size_bytes for item in wanted)
    return ModelData(size_bytes, f"{prefix}{shards[0]}/" if shards else None, tuple(wanted))


def _shard_folder(item: RemoteObject) -> str | None:
    """The fast loader's folder of the object; None for other objects."""
    folder, slash, _ = item.name.partition("/")
    return folder if slash and folder.startswith(FAST_LOADER_FOLDER) else None


async def _fetch_archive(
    url: str, folder: Path, environment: Mapping[str, str], started: Started
) -> ModelData:
    archive = folder.with_name("model.tar.gz")
    await s5cmd.download([RemoteObject(url, archive.name, 0)], archive.parent, environment, started)
    size_bytes = archive.stat().st_size
    try:
        await asyncio.to_thread(_unpack, archive, folder)
    except (tarfile.TarError, OSError) as error:
        raise DownloadError(f"{url} is not an archive that can be unpacked: {error}") from error
    finally:
        archive.unlink(missing_ok=True)
    return ModelData(size_bytes, None)


def _unpack(archive: Path, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
