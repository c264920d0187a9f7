"""A folder to work in, commands typed in it, and what its account really holds: by boto3, not by the tool."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import select
import shutil
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import psutil

from localaws.server import lifecycle, lock

ROOT = Path(__file__).resolve().parents[2]
REGION = "us-west-2"
BUSY_JOB = ("STARTING", "INPROGRESS", "STOPPING")
_COMMAND = (sys.executable, "-c", "from loadbench.cli import main; main()")
_POLL_S = 0.02


@dataclass
class Typed:
    """One command in progress: its process, and what it has said until now."""

    process: subprocess.Popen[bytes]
    output: Path
    errors: Path
    terminal: int | None = None  # our end of its pseudo terminal
    started_s: float = field(default_factory=time.monotonic)

    def wait(self, timeout_s: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Wait until it has ended or `until` holds; returns whether it has ended."""
        deadline_s = time.monotonic() + timeout_s
        while self.process.poll() is None and time.monotonic() < deadline_s and not until():
            if self.terminal is None:
                time.sleep(_POLL_S)
            elif select.select([self.terminal], [], [], _POLL_S)[0]:
                self._drain()
        return self.process.poll() is not None

    def close_terminal(self) -> None:
        """As when its window is closed: the kernel sends SIGHUP, and writing fails from now on."""
        if self.terminal is not None:
            os.close(self.terminal)
            self.terminal = None

    def seconds(self) -> float:
        """Since it was started."""
        return time.monotonic() - self.started_s

    def words(self) -> str:
        """What it has said on standard error."""
        return self.errors.read_text(encoding="utf-8", errors="replace")

    def _drain(self) -> None:
        assert self.terminal is not None
        with contextlib.suppress(OSError), self.errors.open("ab") as file:  # EIO: the other end is closed
            file.write(os.read(self.terminal, 1 << 16))


@dataclass(frozen=True)
class Home:
    """One user's folder with an embedded AWS of its own."""

    folder: Path

    def prepare(self) -> None:
        """The configuration that the repository ships, and a place for what commands say."""
        (self.folder / "said").mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "config.yaml", self.folder)
        self._mount_small_disk()

    def type(self, name: str, *arguments: str, on_terminal: bool = False) -> Typed:
        """Start one `loadbench` command in a process group of its own, as a shell does."""
        output, errors = (self.folder / "said" / f"{name}.{stream}" for stream in ("out", "err"))
        terminal = slave = None
        if on_terminal:
            terminal, slave = os.openpty()
        with output.open("wb") as out, errors.open("wb") as err:
            process = subprocess.Popen(
                [*_COMMAND, *arguments],
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL if slave is None else slave,
                stdout=out if slave is None else slave,
                stderr=err if slave is None else slave,
                start_new_session=True,
                preexec_fn=None if slave is None else _take_terminal,
            )
        if slave is not None:
            os.close(slave)
        return Typed(process, output, errors, terminal)

    def finish(self, typed: Typed, timeout_s: float) -> int:
        """Wait for its end; what hangs is killed. Returns the exit code, negative for a signal."""
        if not typed.wait(timeout_s):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(typed.process.pid, 9)
            typed.process.wait()
            return 124
        typed.close_terminal()
        return typed.process.returncode

    def _environment(self) -> Mapping[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return kept | {"PYTHONPATH": str(ROOT / "scripts"), "TERM": "xterm"}

    # Its disk.

    @property
    def small_disk(self) -> Path:
        """Where state and results are, if this user may mount a file system; it can be filled in a moment."""
        return self.folder / "small-disk"

    def _mount_small_disk(self) -> None:
        if self.small_disk.is_dir():
            return
        self.small_disk.mkdir()
        mount = ("mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(self.small_disk))
        if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
            return
        for name in ("results", ".loadbench/runs"):
            target, link = self.small_disk / name.strip("."), self.folder / name
            target.mkdir(parents=True)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(target)

    def unmount(self) -> None:
        """Give the small disk back; the results on it are kept in the folder."""
        if self.small_disk.is_mount():
            (self.folder / "results").unlink()
            shutil.copytree(self.small_disk / "results", self.folder / "results")
            subprocess.run(("umount", "--lazy", str(self.small_disk)), check=False)

    def fill_disk(self) -> bool:
        """Leave no byte free; whether that was possible."""
        if not self.small_disk.is_mount():
            return False
        with contextlib.suppress(OSError), (self.small_disk / "filler").open("wb", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                with contextlib.suppress(OSError):
                    while file.write(bytes(size)) == size:
                        pass
        return True

    def free_disk(self) -> None:
        """Make room again."""
        (self.small_disk / "filler").unlink(missing_ok=True)

    def damage_states(self, chance: random.Random) -> None:
        """Cut, blank or overwrite every Terraform state at a random place, as a crash or a full disk does."""
        for file in (self.folder / ".loadbench/runs").glob("*/terraform.tfstate"):
            state = file.read_bytes()
            at = chance.randrange(len(state) + 1)
            damaged = chance.choice((b"", bytes(64), chance.randbytes(64)))
            file.write_bytes(state[:at] + damaged + (state[at + 64 :] if damaged else b""))

    # What is there.

    @property
    def state_dir(self) -> Path:
        """The embedded AWS's own folder."""
        return self.folder / ".localaws"

    def aws_pid(self) -> int | None:
        """The embedded AWS's process; None while none runs."""
        return lock.holder(self.state_dir) if lock.is_locked(self.state_dir) else None

    def client(self, service: str) -> Any:
        """A plain boto3 client of this home's account."""
        environment = lifecycle.environment(self.state_dir)
        return boto3.client(
            service,
            region_name=REGION,
            endpoint_url=environment["AWS_ENDPOINT_URL"],
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        )

    def in_account(self) -> list[str]:
        """Whatever exists that a run may have made, whatever its name and status, from all pages."""
        sagemaker = self.client("sagemaker")

        def listed(operation: str, items: str) -> Iterator[dict[str, Any]]:
            for page in sagemaker.get_paginator(operation).paginate():
                yield from page[items]

        found = []
        for item in listed("list_endpoints", "Endpoints"):
            found.append(f"endpoint {item['EndpointName']} {item['EndpointStatus']}")
        for item in listed("list_inference_components", "InferenceComponents"):
            found.append(f"component {item['InferenceComponentName']} {item['InferenceComponentStatus']}")
        for item in listed("list_endpoint_configs", "EndpointConfigs"):
            found.append(f"configuration {item['EndpointConfigName']}")
        for item in listed("list_models", "Models"):
            found.append(f"model {item['ModelName']}")
        for item in listed("list_optimization_jobs", "OptimizationJobSummaries"):
            if item["OptimizationJobStatus"] in BUSY_JOB:
                found.append(f"job {item['OptimizationJobName']} {item['OptimizationJobStatus']}")
        for page in self.client("iam").get_paginator("list_roles").paginate():
            found += [f"role {role['RoleName']}" for role in page["Roles"]]
        return found

    def half_made(self) -> list[str]:
        """Unfinished uploads, and shards that no finished job vouches for."""
        s3, found = self.client("s3"), []
        for bucket in (item["Name"] for item in s3.list_buckets()["Buckets"]):
            for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
                found += [f"unfinished upload of {item['Key']}" for item in page.get("Uploads", ())]
            keys = self.stored_keys(s3, bucket)
            complete = {
                json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())["output_uri"]
                for key in keys
                if key.startswith("optimized/") and key.endswith("/complete.json")
            }
            orphaned = {
                "/".join(key.split("/")[:3])
                for key in keys
                if key.startswith("optimized/")
                and not key.endswith("/complete.json")
                and not any(f"s3://{bucket}/{key}".startswith(uri) for uri in complete)
            }
            found += [f"incomplete shards {prefix}" for prefix in sorted(orphaned)]
        return found

    def stored_keys(self, s3: Any, bucket: str) -> list[str]:
        """Every object's key."""
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return [item["Key"] for page in pages for item in page.get("Contents", ())]

    def shards(self) -> set[str]:
        """Keys of the shards that are kept on purpose."""
        s3 = self.client("s3")
        buckets = [item["Name"] for item in s3.list_buckets()["Buckets"]]
        return {key for name in buckets for key in self.stored_keys(s3, name) if key.startswith("optimized/")}

    def remove_stored(self, prefix: str) -> None:
        """Delete every object under a prefix, so that the next run makes them again."""
        s3 = self.client("s3")
        for bucket in (item["Name"] for item in s3.list_buckets()["Buckets"]):
            for key in self.stored_keys(s3, bucket):
                if key.startswith(prefix):
                    s3.delete_object(Bucket=bucket, Key=key)

    def processes(self) -> list[str]:
        """Processes that work in this home, other than its embedded AWS: none may outlive a removal."""
        spared = {os.getpid(), self.aws_pid()}
        place, found = str(self.folder), []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.pid in spared or process.status() == psutil.STATUS_ZOMBIE:
                    continue
                environment = process.environ()
                signs = (process.cwd(), environment.get("HOME", ""), environment.get("TF_DATA_DIR", ""))
                if any(sign.startswith(place) for sign in signs):
                    found.append(f"process {process.pid} {' '.join(process.cmdline())[:120]}")
        return found

    def state_folders(self) -> list[str]:
        """State of runs that are not removed, as the tool sees it."""
        return [f"state folder {folder.name}" for folder in (self.folder / ".loadbench/runs").glob("*")]

    def results(self) -> dict[str, tuple[int, int]]:
        """Size and time of change of every file of every result."""
        files = (file for file in (self.folder / "results").rglob("*") if file.is_file())
        return {
            str(file.relative_to(self.folder)): (file.stat().st_size, file.stat().st_mtime_ns)
            for file in files
        }


def _take_terminal() -> None:
    """In the child: standard input becomes the session's controlling terminal."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
