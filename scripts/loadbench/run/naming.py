"""Names and tags of a run's resources: they can be found by either, with or without Terraform's state."""

from __future__ import annotations

import datetime

from loadbench.config import Config
from loadbench.load_paths import LoadPath
from loadbench.results.run_record import ResourceNames

TAG_PROJECT = "loadbench:project"
TAG_RUN_ID = "loadbench:run-id"
TAG_PATH = "loadbench:path"
TAG_EXPIRES_AT = "loadbench:expires-at"


def resource_names(config: Config, load_path: LoadPath, run_id: str) -> ResourceNames:
    """Names of one run's resources: `<project>-<run id>`, at most 20 + 1 + 29 characters of SageMaker's 63.

    A run id is, for example, 20261123-061530-standard-4f2a. The role exists only where none is configured.
    """
    base = f"{config.project}-{run_id}"
    is_component = config.endpoint_kind(load_path) == "inference_component"
    return ResourceNames(
        endpoint=base,
        endpoint_configuration=base,
        model=base,
        inference_component=base if is_component else None,
        role=base if config.deployment(load_path).sagemaker_exec_role is None else None,
    )


def resource_tags(config: Config, load_path: LoadPath, run_id: str, expires_at: str) -> dict[str, str]:
    """Tags of everything a run creates."""
    return {
        TAG_PROJECT: config.project,
        TAG_RUN_ID: run_id,
        TAG_PATH: load_path,
        TAG_EXPIRES_AT: expires_at,
    }


def expiry(config: Config, started_s: float) -> str:
    """When the run's resources are due for removal, ISO 8601 in UTC."""
    due = datetime.datetime.fromtimestamp(started_s, datetime.UTC) + datetime.timedelta(
        hours=config.benchmark.expires_after_hours
    )
    return due.strftime("%Y-%m-%dT%H:%M:%SZ")
