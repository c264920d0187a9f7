"""One machine of an endpoint: provisioning, its key pair and its folder."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import time
from dataclasses import dataclass

from ..emulator import Emulator
from ..errors import LocalAwsError
from ..state.keys import Credentials
from .processes import kill_marked

# The kind of record that tells a later run which key pairs were a machine's.
_KIND = "instance"
# Variables that a container inherits from this process: none with secrets or AWS settings.
_INHERITED = ("PATH", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONPATH", "OMP_NUM_THREADS")


class DeploymentError(LocalAwsError):
    """A deployment has failed; the text becomes the resource's `FailureReason`."""


@dataclass(frozen=True)
class Place:
    """The endpoint and variant of an instance."""

    region: str
    endpoint: str
    variant: str
    instance_type: str


class Instance:
    """A machine. Its events go to the log group `/localaws/instances/<endpoint>`, a JSON object each."""

    def __init__(self, emulator: Emulator, place: Place) -> None:
        self.emulator = emulator
        self.place = place
        self.id = f"i-{secrets.token_hex(9)[:17]}"
        self.folder = emulator.state_dir / "instances" / self.id
        self._credentials: Credentials | None = None

    async def provision(self, requested_s: float) -> None:
        """Provision the machine. Raises DeploymentError if there is no capacity."""
        fault = self.emulator.faults.take(
            "insufficient_capacity", instance_type=self.place.instance_type, endpoint=self.place.endpoint
        )
        if fault is not None:
            raise DeploymentError(
                "Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity "
                "error. Please retry using a different ML instance type or after some time."
            )
        simulated_s = self.emulator.settings.simulated_provision_s(self.place.instance_type)
        await asyncio.sleep(simulated_s)
        self._credentials = self.emulator.keys.issue(self.id, self.place.instance_type)
        key = {"instance_id": self.id, "access_key_id": self._credentials.access_key_id}
        self.emulator.store.put(self.place.region, _KIND, self.id, key)
        self.folder.mkdir(parents=True, mode=0o700)
        self.event("provision", requested_s, time.time(), simulated=simulated_s > 0)

    def release(self) -> None:
        """Release the machine, on which nothing runs any more: remove its folder and its key pair."""
        if self._credentials is not None:
            self.emulator.keys.revoke(self._credentials.access_key_id)
            self.emulator.store.delete(self.place.region, _KIND, self.id)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.emulator.shared_files.sweep()

    def environment(self) -> dict[str, str]:
        """Environment of every process on this machine: the machine's AWS credentials and the
        endpoint URL.
        """
        assert self._credentials is not None, "provision() comes first"
        return process_environment(self.emulator, self.place.region, self._credentials) | {
            "HOME": str(self.folder)
        }

    def received_bytes(self) -> int:
        """Bytes that S3 has sent to this machine."""
        if self._credentials is None:
            return 0
        return self.emulator.network.bytes_sent(self._credentials.access_key_id)

    def event(
        self,
        phase: str,
        start_s: float,
        end_s: float,
        *,
        simulated: bool = False,
        size_bytes: int = 0,
        inference_component: str | None = None,
    ) -> None:
        """Log a phase that only the platform can observe."""
        message = {
            "phase": phase,
            "start": start_s,
            "end": end_s,
            "simulated": simulated,
            "bytes": size_bytes,
            "inference_component": inference_component,
            "instance_id": self.id,
        }
        group = f"/localaws/instances/{self.place.endpoint}"
        line = (int(end_s * 1000), json.dumps(message))
        self.emulator.logs.append(self.place.region, group, self.id, [line])


def process_environment(emulator: Emulator, region: str, credentials: Credentials) -> dict[str, str]:
    """The environment of a process that works with these credentials, and with nothing else of the user's."""
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return inherited | {
        "AWS_ENDPOINT_URL": emulator.endpoint_url,
        "AWS_ACCESS_KEY_ID": credentials.access_key_id,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_access_key,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


def remove_leftovers(emulator: Emulator) -> None:
    """Delete folders and key pairs of machines that an earlier run of the server left behind."""
    kill_marked(f"{emulator.state_dir}:")
    for region in emulator.store.regions():
        for key in emulator.store.list(region, _KIND):
            emulator.keys.revoke(key["access_key_id"])
            emulator.store.delete(region, _KIND, key["instance_id"])
    shutil.rmtree(emulator.state_dir / "instances", ignore_errors=True)
    (emulator.state_dir / "instances").mkdir(mode=0o700, exist_ok=True)
    emulator.shared_files.sweep()
