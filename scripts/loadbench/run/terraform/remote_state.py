"""Terraform's state in S3, if a bucket is configured: one key per run, encrypted, locked.

The run's variables are stored with its state (they contain no secrets), so that any checkout can destroy it.
The place of the state is noted in the run's folder, so that the run can be removed after the configuration
changes.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from loadbench.config import Config
from loadbench.errors import RunError
from loadbench.results.run_record import write_atomically
from loadbench.run.models.staging import ensure_usable
from loadbench.run.run_context import RunContext

MINIMUM_VERSION = (1, 10)  # of Terraform and of OpenTofu: the first with a lock file in S3

_PLACE_FILE = "state-in-s3.json"
_STATE = "terraform.tfstate"


@dataclass(frozen=True)
class StatePlace:
    """The place of one run's state: everything under `prefix` in the bucket belongs to this run."""

    bucket: str
    region: str
    prefix: str

    def backend(self) -> dict[str, Any]:
        """The settings of Terraform's `s3` backend; credentials and address come from the environment."""
        return {
            "bucket": self.bucket,
            "key": self.prefix + _STATE,
            "region": self.region,
            "use_lockfile": True,  # <key>.tflock, written only if it does not exist
            "encrypt": True,
        }


def begin(context: RunContext, run_id: str, variables: Path) -> None:
    """If a bucket is configured, note that this run's state is stored there, and upload its variables.

    Raises RunError if the bucket cannot be used.
    """
    if context.config.state.bucket is None:
        return
    client = context.account.session.client("s3")
    place = _place(context.config, context.config.state.bucket, run_id)
    ensure_usable(client, place.bucket, context.config)
    _note(context.workspace.run_dir(run_id), place)
    try:
        client.put_object(
            Bucket=place.bucket,
            Key=place.prefix + variables.name,
            Body=variables.read_bytes(),
            ServerSideEncryption="AES256",
        )
    except (ClientError, BotoCoreError) as error:
        raise _failure(place, error) from error


def place_of(run_dir: Path) -> StatePlace | None:
    """The place of the state in S3 of the run with this folder; None if the state is in the folder."""
    file = run_dir / _PLACE_FILE
    return StatePlace(**json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else None


def adopt(context: RunContext) -> list[str]:
    """Create a local folder for every run with its state in the configured bucket; returns the new ones."""
    if context.config.state.bucket is None:
        return []
    client = context.account.session.client("s3")
    everything = _place(context.config, context.config.state.bucket, "")
    adopted = set()
    try:
        for key in _keys(client, everything):
            run_id, _, name = key.removeprefix(everything.prefix).lstrip("/").partition("/")
            run_dir = context.workspace.run_dir(run_id)
            if not name.endswith(".tfvars.json") or run_dir.exists():
                continue
            text = client.get_object(Bucket=everything.bucket, Key=key)["Body"].read().decode()
            _note(run_dir, _place(context.config, everything.bucket, run_id))
            write_atomically(run_dir / name, text)
            adopted.add(run_id)
    except (ClientError, BotoCoreError) as error:
        if isinstance(error, ClientError) and error.response["Error"]["Code"] == "NoSuchBucket":
            return []  # there are no runs yet
        raise _failure(everything, error) from error
    return sorted(adopted)


def remove(context: RunContext, place: StatePlace) -> None:
    """Delete the state and the variables of a run without resources."""
    client = context.account.session.client("s3")
    try:
        for key in list(_keys(client, place)):
            client.delete_object(Bucket=place.bucket, Key=key)
    except (ClientError, BotoCoreError) as error:
        raise _failure(place, error) from error


def _place(config: Config, bucket: str, run_id: str) -> StatePlace:
    prefix = f"terraform-state/{config.project}/"
    return StatePlace(bucket, config.region, f"{prefix}{run_id}/" if run_id else prefix)


def _note(run_dir: Path, place: StatePlace) -> None:
    run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomically(run_dir / _PLACE_FILE, json.dumps(asdict(place)))


def _keys(client: Any, place: StatePlace) -> Any:
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=place.bucket, Prefix=place.prefix):
        yield from (item["Key"] for item in page.get("Contents", []))


def _failure(place: StatePlace, error: Exception) -> RunError:
    return RunError(
        f"cannot store Terraform's state in s3://{place.bucket}/{place.prefix}: {error}",
        remedy="The caller needs s3:ListBucket on the bucket, and s3:GetObject, s3:PutObject and"
        f" s3:DeleteObject on s3://{place.bucket}/terraform-state/*.",
    )
