"""One copy of a model: the life of a container on an instance.

Image pull and model download run in parallel, then a real process starts, then `/ping` is polled until it
returns 200 (docs/facts/sagemaker.md#phases-of-a-cold-start). The logged spans have no gaps.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import aiohttp

from ..images import is_vllm_server
from ..settings import FaultKind, FaultSpec
from . import model_data, usage, vllm_container
from .instance import DeploymentError, Instance
from .model_data import ModelData
from .processes import MARK_VARIABLE, Child, Usage, kill_marked
from .s5cmd import DownloadError

_PING_INTERVAL_S = 0.02
# No request takes longer (InvokeEndpoint's own limit).
_DRAIN_S = 60.0
_LAST_LINES_S = 2.0

Status = Literal["Creating", "InService", "Failed", "Stopped"]


@dataclass(frozen=True)
class ContainerSpec:
    """What a copy runs. Exactly one of `model_data` and the container itself brings the model."""

    model_name: str
    image: str
    environment: dict[str, str]
    # s3://bucket/prefix/ or s3://bucket/model.tar.gz
    model_data: str | None
    download_timeout_s: float
    startup_timeout_s: float
    inference_component: str | None = None
    # What the copy takes of its machine.
    accelerators: float = 0
    cpu_cores: float = 0
    memory_mib: int = 0
    # Above this it is killed, like a container on AWS; 0 is no limit.
    max_memory_mib: int = 0


class ModelCopy:
    """A container with its model. `on_death` receives the reason when it ends after it was in service."""

    def __init__(
        self,
        instance: Instance,
        spec: ContainerSpec,
        http: aiohttp.ClientSession,
        on_death: Callable[[ModelCopy, str], None],
    ) -> None:
        self.instance = instance
        self.spec = spec
        # Its resources on the machine are free again.
        self.is_released = False
        self.id = secrets.token_hex(8)
        self.status: Status = "Creating"
        self.port = 0
        # Requests being answered now, and all of them.
        self.outstanding = 0
        self.served = 0
        self.child: Child | None = None
        self._http = http
        self._on_death = on_death
        self.meter = usage.Meter()
        self._tasks: list[asyncio.Task[None]] = []
        self._followers: list[asyncio.Task[None]] = []
        # The container and whatever helped to prepare it: what they use is what the copy uses.
        self._children: list[Child] = []
        self.root = instance.folder / self.id if spec.inference_component else instance.folder
        self.model_dir = self.root / "opt" / "ml" / "model"
        self.log_path = self.root / "container.log"
        self._mark = f"{instance.emulator.state_dir}:{self.id}"
        engines = instance.emulator.settings.engines
        self._real_engine = engines.get("vllm") if is_vllm_server(spec.image) else None

    @property
    def inference_component(self) -> str | None:
        """Its inference component; None for a variant's copy."""
        return self.spec.inference_component

    @property
    def log_group(self) -> str:
        """CloudWatch's group for the container's output."""
        component = self.spec.inference_component
        if component is not None:
            return f"/aws/sagemaker/InferenceComponents/{component}"
        return f"/aws/sagemaker/Endpoints/{self.instance.place.endpoint}"

    @property
    def log_stream(self) -> str:
        """One stream per copy."""
        component = self.spec.inference_component
        if component is not None:
            return f"{component}/{self.id}"
        return f"{self.instance.place.variant}/{self.instance.id}"

    def usage(self) -> Usage:
        """Resource usage of the copy, including the platform's work for it."""
        total = Usage()
        for child in self._children:
            total = total.plus(child.usage())
        return total

    def peak_memory_bytes(self) -> int:
        """The peak memory of one of its processes; 0 if the system does not report it."""
        return max((child.peak_memory_bytes() for child in self._children), default=0)

    async def start(self, requested_s: float) -> None:
        """Bring the copy into service. Raises DeploymentError; then nothing of it runs any more."""
        self._tasks.append(asyncio.create_task(self._sample()))
        try:
            data = await self._prepare(requested_s)
            ready_s = await self._run_until_healthy(data)
            usage.record(self)
            self._event("health_check", ready_s, time.time())
        except BaseException:
            await self.stop()
            self.status = "Failed"
            raise
        self.status = "InService"

    async def drain(self) -> None:
        """Accept no more requests, and wait until those in progress are answered."""
        self.status = "Stopped"
        deadline_s = time.monotonic() + _DRAIN_S
        while self.outstanding and time.monotonic() < deadline_s:  # noqa: ASYNC110 - a counter, not an event
            await asyncio.sleep(_PING_INTERVAL_S)

    async def stop(self) -> None:
        """End the process, if there is one, and wait until it is gone. The machine has its resources back."""
        self.status = "Stopped"
        self.is_released = True
        child = self.child
        if child is not None:
            child.kill()
            await child.wait()
            kill_marked(self._mark)
            if self._followers:
                # The last lines say why it ended.
                await asyncio.wait(self._followers, timeout=_LAST_LINES_S)
        tasks = [task for task in self._tasks + self._followers if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _prepare(self, requested_s: float) -> ModelData:
        """Image pull and model data, at the same time."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pull_image(requested_s))
            data = group.create_task(self._fetch(requested_s))
        return data.result()

    async def _pull_image(self, requested_s: float) -> None:
        settings, place = self.instance.emulator.settings, self.instance.place
        simulated_s = settings.simulated_image_pull_s(place.instance_type)
        if simulated_s:
            await asyncio.sleep(simulated_s)
            self._event("image_pull", requested_s, time.time(), simulated=True)

    async def _fetch(self, requested_s: float) -> ModelData:
        spec = self.spec
        if spec.model_data is None:
            self.model_dir.mkdir(parents=True)
            return ModelData(0, None)
        refused = (
            f'Failed to download model data for container "container_1" from URL: "{spec.model_data}". '
            "Please "
            "ensure that there is an object located at the URL and that the role passed to CreateModel has "
            "permissions to download the object."
        )
        late = (
            f'Model data download for container "container_1" from URL: "{spec.model_data}" did not '
            f"finish within the timeout of {spec.download_timeout_s:.0f} seconds. "
            "Raise ModelDataDownloadTimeoutInSeconds."
        )
        if self._struck("access_denied"):
            raise DeploymentError(f"{refused} Cause: AccessDenied: Access Denied")
        if self._struck("download_timeout"):
            raise DeploymentError(late)
        try:
            async with asyncio.timeout(spec.download_timeout_s):
                data = await model_data.fetch(
                    spec.model_data, self.model_dir, self.instance.environment(), self._children.append
                )
            # Outside the timing: machines of AWS do not share files.
            self.instance.emulator.shared_files.share(data.shareable(), self.model_dir)
        except TimeoutError as error:
            raise DeploymentError(late) from error
        except DownloadError as error:
            raise DeploymentError(f"{refused} Cause: {error}") from error
        self._event("artifact_download", requested_s, time.time(), size_bytes=data.size_bytes)
        return data

    async def _run_until_healthy(self, data: ModelData) -> float:
        """Start the process and wait for `/ping`; returns the time at which the server reports that
        it was ready.
        """
        spawned_s = time.time()
        self.port = _free_port()
        timeout_s, fault = self.spec.startup_timeout_s, self._container_fault()
        if fault is not None and fault.kind == "health_check" and fault.delay_s:
            timeout_s = fault.delay_s
        child = self._start_container(data, spawned_s, fault)
        self.child = child
        self._children.append(child)
        for error in (False, True):
            self._followers.append(asyncio.create_task(self._follow(child, error)))
        try:
            async with asyncio.timeout(timeout_s):
                ready_s = await self._healthy(child)
        except TimeoutError as error:
            raise DeploymentError(
                f"{self._unhealthy()} within {timeout_s:.0f} seconds. {self._see_logs()}"
            ) from error
        self._tasks.append(asyncio.create_task(self._watch(child)))
        return ready_s

    async def _healthy(self, child: Child) -> float:
        exited = asyncio.ensure_future(child.wait())
        while not exited.done():
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                timeout = aiohttp.ClientTimeout(total=2.0)
                async with self._http.get(f"http://127.0.0.1:{self.port}/ping", timeout=timeout) as answer:
                    if answer.status == 200:
                        return _ready_s(await answer.read())
            await asyncio.wait([exited], timeout=_PING_INTERVAL_S)
        raise DeploymentError(f"{self._unhealthy()}: {_ending(exited.result())}. {self._see_logs()}")

    async def _watch(self, child: Child) -> None:
        """Report the unexpected end of the process."""
        status = await child.wait()
        if self.status in ("Creating", "InService"):
            self.status = "Failed"
            reason = f"{self._who()} {_ending(status)} while it was in service. {self._see_logs()}"
            self._on_death(self, reason)

    async def _follow(self, child: Child, error: bool) -> None:
        """The container's output to CloudWatch Logs and to a file."""
        emulator, region = self.instance.emulator, self.instance.place.region
        # The container shapes its own lines; what Python writes to standard error comes as it is.
        wrap = f"WARN  PyProcess W-{child.pid}-model-stderr: " if error and not self._real_engine else ""
        with self.log_path.open("a", encoding="utf-8") as log:
            async for lines in child.output(error=error):
                now_ms = int(time.time() * 1000)
                shown = [f"{wrap}{line}" for line in lines if line]
                log.write("".join(f"{line}\n" for line in shown))
                log.flush()
                if shown:
                    events = [(now_ms, line) for line in shown]
                    emulator.logs.append(region, self.log_group, self.log_stream, events)

    async def _sample(self) -> None:
        while True:
            usage.record(self)
            limit_mib = self.spec.max_memory_mib
            if limit_mib and self.child is not None and self.child.usage().memory_bytes > limit_mib << 20:
                self.child.kill()
            await asyncio.sleep(usage.SAMPLE_INTERVAL_S)

    def _start_container(self, data: ModelData, spawned_s: float, fault: FaultSpec | None) -> Child:
        """The real engine if it is installed and the image contains it; otherwise the emulated server."""
        environment = self._environment(data, spawned_s, fault)
        if self._real_engine is None or fault is not None:
            self._say_engine("name=stand-in version=embedded-aws")
            return Child([sys.executable, "-m", "localaws.container"], environment)
        start = vllm_container.prepare(
            Path(self._real_engine),
            self.root,
            self.model_dir,
            self.spec.environment,
            self.port,
            environment.get("PATH", os.defpath),
        )
        self._say_engine(start.engine)
        return Child(start.command, environment | start.environment, is_tree=True)

    def _say_engine(self, engine: str) -> None:
        """The first line of the log names the engine; records and reports read it."""
        line = f"[engine] {engine} image={self.spec.image}"
        emulator, place = self.instance.emulator, self.instance.place
        emulator.logs.append(place.region, self.log_group, self.log_stream, [(int(time.time() * 1000), line)])

    def _environment(self, data: ModelData, spawned_s: float, fault: FaultSpec | None) -> dict[str, str]:
        environment = self.spec.environment | self.instance.environment()
        environment |= {
            MARK_VARIABLE: self._mark,
            "SAGEMAKER_BIND_TO_PORT": str(self.port),
            "LOCALAWS_MODEL_DIR": str(self.model_dir),
            "LOCALAWS_MODEL_NAME": self.spec.model_name,
            "LOCALAWS_IMAGE": self.spec.image,
            "LOCALAWS_SPAWNED_S": f"{spawned_s:.6f}",
        }
        if own := self.spec.environment.get("PYTHONPATH"):
            environment["PYTHONPATH"] = vllm_container.python_path(
                own, self.instance.environment().get("PYTHONPATH"), self.model_dir
            )
        if data.shards is not None:
            environment["SM_FAST_MODEL_LOADER_S3_URI"] = data.shards
        if fault is not None:
            environment["LOCALAWS_CONTAINER_FAULT"] = fault.kind
            environment["LOCALAWS_CONTAINER_WORDS"] = fault.words
        return environment

    def _container_fault(self) -> FaultSpec | None:
        return self._struck("container_exit") or self._struck("health_check")

    def _struck(self, kind: FaultKind) -> FaultSpec | None:
        return self.instance.emulator.faults.take(
            kind,
            endpoint=self.instance.place.endpoint,
            instance_type=self.instance.place.instance_type,
            inference_component=self.spec.inference_component,
            model=self.spec.model_name,
        )

    def _event(
        self, phase: str, start_s: float, end_s: float, *, simulated: bool = False, size_bytes: int = 0
    ) -> None:
        self.instance.event(
            phase,
            start_s,
            end_s,
            simulated=simulated,
            size_bytes=size_bytes,
            inference_component=self.spec.inference_component,
        )

    def _who(self) -> str:
        component = self.spec.inference_component
        if component is not None:
            return f"The container of inference component {component}"
        return f"The primary container for production variant {self.instance.place.variant}"

    def _unhealthy(self) -> str:
        return f"{self._who()} did not pass the ping health check"

    def _see_logs(self) -> str:
        kind = "inference component" if self.spec.inference_component else "endpoint"
        return f"Please check CloudWatch logs for this {kind} (log group {self.log_group})."


def _ready_s(answer: bytes) -> float:
    """When the server reports that it was ready; the emulated server does, vLLM's response is empty."""
    document = json.loads(answer) if answer.strip() else None
    reported = document.get("ready_s") if isinstance(document, dict) else None
    return float(reported) if reported is not None else time.time()


def _ending(status: int) -> str:
    return f"was killed by signal {-status}" if status < 0 else f"exited with status {status}"


def _free_port() -> int:
    """A free port on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
