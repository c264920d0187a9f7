"""Runs of this folder that may still have resources, and where those resources are.

A run writes `deployed.json` into its state folder before its first call that costs money. Removal uses that
file, otherwise the run's record, otherwise Terraform's files; never the current configuration, which may name
another account, region or project by now.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from loadbench.config import Config, Target
from loadbench.partitions import partition_of
from loadbench.results.run_record import ResourceNames, RunRecord, find_records, record_file, write_atomically
from loadbench.run.record_writer import close_record
from loadbench.run.removal.resources import RUN_ID, Resource, ResourceKind
from loadbench.run.run_context import RunContext
from loadbench.workspace import Workspace

_FILE = "deployed.json"
_NOT_REMOVED = b'"destroyed_s": null'  # as in serialized records; avoids parsing every record
_ARN = re.compile(r"\barn:aws[a-z-]*:sagemaker:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):")


class DeployedRun(BaseModel):
    """Where one run deploys, and the names of its resources. None: not known any more."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    path: str
    target: Target
    account_id: str | None
    region: str
    project: str
    state_dir: str | None = None  # of the embedded AWS, absolute or relative to the folder
    adopted: bool = False  # created by another checkout, which may be using it
    names: dict[ResourceKind, str]

    @property
    def command(self) -> str:
        """The command that removes it, independent of the current configuration."""
        command = f"loadbench destroy --target {self.target} --set region={self.region}"
        if self.target == "local" and self.state_dir:
            command += f" --set local.state_dir={self.state_dir}"
        return f"{command} --set project={self.project}"

    @property
    def place(self) -> str:
        """Its place, for messages."""
        if self.target == "local":
            return f"the embedded AWS in {self.state_dir} ({self.region})"
        return f"account {self.account_id or 'unknown'} on AWS ({self.region})"

    def resources(self) -> list[Resource]:
        """Its resources by name, whether they exist or not."""
        prefix = f"arn:{partition_of(self.region) or 'aws'}:sagemaker:{self.region}:{self.account_id or ''}"
        return [
            Resource(
                kind=kind,
                name=name,
                arn=f"{prefix}:{kind}/{name}",
                status="unknown",
                run_id=self.run_id,
                path=self.path,
                created_s=None,
                expires_at=None,
                usd_per_hour=None,
            )
            for kind, name in self.names.items()
        ]


@dataclass
class KnownRuns:
    """Runs that may have resources; `unreadable` are records that do not show it."""

    runs: list[DeployedRun] = field(default_factory=list)
    unreadable: list[Path] = field(default_factory=list)


def deployed_by(record: RunRecord) -> DeployedRun:
    """The place of a run, from its record."""
    return DeployedRun(
        run_id=record.run_id,
        path=record.path,
        target=record.target,
        account_id=record.account_id,
        region=record.region,
        project=record.project,
        state_dir=_state_dir(record.configuration),
        names=_names(record.names.model_dump()),
    )


def note_deployed(workspace: Workspace, run: DeployedRun) -> None:
    """Write the note before anything is created. Raises OSError."""
    folder = workspace.run_dir(run.run_id)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomically(folder / _FILE, run.model_dump_json(indent=2))


def runs_with_state(workspace: Workspace, config: Config) -> list[DeployedRun]:
    """Runs that have a state folder, oldest first; `config` supplies facts that are not known any more."""
    folder = workspace.private_dir / "runs"
    folders = [entry for entry in sorted(folder.glob("*")) if entry.is_dir()] if folder.is_dir() else []
    return [
        _noted(entry) or _recorded(workspace, entry.name) or _guessed(entry, config)
        for entry in folders
        if RUN_ID.fullmatch(entry.name)
    ]


def is_in(config: Config, home: Path, run: DeployedRun) -> bool:
    """Whether a run belongs to the target, region and (if local) embedded AWS of a configuration."""
    if (run.target, run.region) != (config.target, config.region):
        return False
    if run.target == "aws" or not run.state_dir:
        return True
    return (home / run.state_dir).resolve() == (home / config.local.state_dir).resolve()


def is_here(context: RunContext, run: DeployedRun) -> bool:
    """Whether a run belongs to the account and region of `context`; an unknown account may be this one."""
    is_account = run.target == "local" or run.account_id in (None, context.account.account_id)
    return is_account and is_in(context.config, context.workspace.home, run)


def forget_run(workspace: Workspace, run_id: str, removed_s: float) -> None:
    """Delete the state and the note of a run without resources, and mark its record as removed."""
    shutil.rmtree(workspace.run_dir(run_id), ignore_errors=True)
    close_record(workspace.results_dir, run_id, removed_s)


def known_runs(workspace: Workspace, config: Config) -> KnownRuns:
    """Runs with a state folder, and runs whose record does not show that they were removed."""
    known = KnownRuns(runs_with_state(workspace, config))
    with_state = {run.run_id for run in known.runs}
    for file in find_records(workspace.results_dir):
        if file.parent.name in with_state:
            continue
        try:
            text = file.read_bytes()
            if _NOT_REMOVED not in text and _is_json(text):
                continue
            document = json.loads(text)
            if document.get("origin", "run") != "run":
                continue  # an endpoint of somebody else, which was only observed
            known.runs.append(_of_document(document))
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            known.unreadable.append(file)
    return known


def _is_json(text: bytes) -> bool:
    """Whether the document is complete: a truncated one may have lost the searched text."""
    return text.rstrip().endswith(b"}")


def _noted(folder: Path) -> DeployedRun | None:
    try:
        return DeployedRun.model_validate_json((folder / _FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def _recorded(workspace: Workspace, run_id: str) -> DeployedRun | None:
    try:
        return _of_document(json.loads(record_file(workspace.results_dir, run_id).read_bytes()))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _of_document(document: dict[str, Any]) -> DeployedRun:
    """Only the fields that removal needs, so that records of newer versions, or with unexpected
    fields, work too.
    """
    return DeployedRun(
        run_id=document["run_id"],
        path=document["path"],
        target=document["target"],
        account_id=document.get("account_id"),
        region=document["region"],
        project=document["project"],
        state_dir=_state_dir(document.get("configuration", {})),
        names=_names(document["names"]),
    )


def _guessed(folder: Path, config: Config) -> DeployedRun:
    """From Terraform's variables and state, read as text, because either may be damaged."""
    text = "\n".join(_texts(folder))
    match, arn = RUN_ID.fullmatch(folder.name), _ARN.search(text)
    assert match is not None
    project = re.search(rf'"([a-z][a-z0-9-]*)-{folder.name}"', text)
    region = re.search(r'"region": *"([a-z0-9-]+)"', text)
    base = f"{project[1] if project else config.project}-{folder.name}"
    return DeployedRun(
        run_id=folder.name,
        path=match["path"],
        target=config.target,
        account_id=arn["account"] if arn else None,
        region=arn["region"] if arn else region[1] if region else config.region,
        project=project[1] if project else config.project,
        state_dir=config.local.state_dir if config.target == "local" else None,
        adopted=(folder / "state-in-s3.json").exists(),
        names=_names(dict.fromkeys(ResourceNames.model_fields, base)),
    )


def _texts(folder: Path) -> Iterator[str]:
    for file in (*folder.glob("*.tfvars.json"), folder / "terraform.tfstate"):
        try:
            yield file.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue  # the other file may have it


def _state_dir(configuration: dict[str, Any]) -> str | None:
    local = configuration.get("local")
    return str(local["state_dir"]) if isinstance(local, dict) and local.get("state_dir") else None


_KINDS: dict[str, ResourceKind] = {
    "optimization_job": "optimization job",
    "inference_component": "inference component",
    "endpoint": "endpoint",
    "endpoint_configuration": "endpoint configuration",
    "model": "model",
    "role": "role",
}


def _names(names: dict[str, str | None]) -> dict[ResourceKind, str]:
    """A sharding job has the name of its run's endpoint, and is in the record only after it has ended."""
    named = {**names, "optimization_job": names.get("optimization_job") or names.get("endpoint")}
    return {kind: name for key, kind in _KINDS.items() if (name := named.get(key))}
