"""Brings the probe into a container: with the model data, and by a variable of the container."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from loadbench.config import Config
from loadbench.errors import ConfigError, RunError
from loadbench.load_paths import LOAD_PATHS, LoadPath

_FOLDER = "loadbench-probe"
_FILE = Path(__file__).with_name("sitecustomize.py")
# SageMaker's place for model data.
_IN_CONTAINER = f"/opt/ml/model/{_FOLDER}"
_VARIABLE = "PYTHONPATH"


def check_supported(config: Config, load_path: LoadPath) -> None:
    """Raise ConfigError if a section wants the probe, and its container has no model data to bring it."""
    traits, info = LOAD_PATHS[load_path], config.deployment(load_path)
    if not info.start_probe:
        return
    if traits.container_reads_s3 or traits.optimized or config.weights_from(load_path) == "hub":
        raise ConfigError(
            f"{traits.section}.start_probe: the container of the {load_path} path has no model data from "
            "loadbench that could bring the probe",
            remedy="Remove start_probe, or use it with fastload, or with standard and weights from S3.",
        )


def upload_probe(session: Any, model_data_uri: str) -> None:
    """Put the probe beside the files of the model data. Raises RunError."""
    target = urlsplit(model_data_uri)
    key = f"{target.path.strip('/')}/{_FOLDER}/{_FILE.name}"
    try:
        session.client("s3").put_object(Bucket=target.netloc, Key=key, Body=_FILE.read_bytes())
    except (ClientError, BotoCoreError) as error:
        raise RunError(
            f"could not upload the start probe to s3://{target.netloc}/{key}: {error}",
            remedy="Check write access to the bucket, or remove start_probe.",
        ) from error


def with_probe(environment: dict[str, str]) -> dict[str, str]:
    """The container's environment with the probe's folder first on PYTHONPATH."""
    paths = [_IN_CONTAINER, environment.get(_VARIABLE, "")]
    return environment | {_VARIABLE: ":".join(filter(None, paths))}
