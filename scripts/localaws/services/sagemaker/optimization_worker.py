"""The process of an optimization job: converts a model in S3 into shards for the fast loader, in S3.

Reads its description from `LOCALAWS_OPTIMIZATION_JOB` (JSON: source, output, Image, environment) and the
usual AWS variables. Writes what AWS's job writes (docs/facts/sagemaker.md#what-the-sharding-job-writes): a
`sagemaker-fast-model-loader-*` folder, the model's non-weight files, and `serving.properties`. The last line
of a failure is `{"error": …}`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

import fastload

from ...container.options import FAST_LOAD_FORMAT, FAST_LOADER_TAGS, image_has_fast_loader
from ...errors import LocalAwsError
from ...machines.model_data import FAST_LOADER_FOLDER

_WEIGHTS = (".safetensors", ".safetensors.index.json", ".bin", ".bin.index.json", ".pt", ".pth", ".gguf")
_PROGRESS_STEP = 0.05


class JobError(LocalAwsError):
    """The job cannot be run as described."""


def main() -> int:
    """Run the job; returns exit status 1 if it failed."""
    description = json.loads(os.environ["LOCALAWS_OPTIMIZATION_JOB"])
    try:
        run(description)
    except (LocalAwsError, fastload.FastloadError, BotoCoreError, ClientError) as error:
        print(json.dumps({"error": str(error)}), flush=True)
        return 1
    return 0


def run(description: Mapping[str, Any]) -> None:
    """Shard the model and write all files for a fast deployment. Raises JobError and fastload's errors."""
    environment: dict[str, str] = description["environment"]
    degree = tensor_parallel_degree(environment)
    image = description["Image"]
    if not image_has_fast_loader(image):
        raise JobError(
            f"Image {image} does not contain the fast model loader; use a tag that starts with "
            f"{' or '.join(FAST_LOADER_TAGS)}."
        )
    source, output = description["source"], _folder(description["output"])
    print(f"Sharding {source} for tensor parallel degree {degree}", flush=True)
    digest = fastload.source_digest(source)
    shards = f"{output}{FAST_LOADER_FOLDER}{digest[:12]}-tp{degree}/"
    fastload.shard_checkpoint(source, shards, tensor_parallel_degree=degree, progress=_Printer())
    names = copy_other_files(source, output)
    print(f"Copied {len(names)} files other than weights: {', '.join(names)}", flush=True)
    bucket, key = _split(f"{output}serving.properties")
    boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=serving_properties(environment).encode())
    print(f"Done: {output}", flush=True)


def tensor_parallel_degree(environment: Mapping[str, str]) -> int:
    """The degree. Raises JobError unless it is an integer of at least 1, as SageMaker requires."""
    value = environment.get("OPTION_TENSOR_PARALLEL_DEGREE")
    if value is None or not value.isdecimal() or int(value) < 1:
        raise JobError(
            f"OPTION_TENSOR_PARALLEL_DEGREE is {value!r}; sharding needs a number, the count of accelerators "
            "of the deployment's instance type."
        )
    return int(value)


def serving_properties(environment: Mapping[str, str]) -> str:
    """All `OPTION_*` variables as `option.*`, and the load format for streaming."""
    options = {
        name.removeprefix("OPTION_").lower(): value
        for name, value in environment.items()
        if name.startswith("OPTION_")
    }
    options["load_format"] = FAST_LOAD_FORMAT
    return "".join(f"option.{name}={value}\n" for name, value in sorted(options.items()))


def copy_other_files(source: str, output: str) -> list[str]:
    """Copy all objects except weights from one prefix to the other; returns their names."""
    s3 = boto3.client("s3")
    source_bucket, source_prefix = _split(source)
    output_bucket, output_prefix = _split(output)
    names = []
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=source_bucket, Prefix=source_prefix):
        for item in page.get("Contents", []):
            name = item["Key"].removeprefix(source_prefix)
            own = name == "serving.properties" or name.startswith(FAST_LOADER_FOLDER)
            if not name or name.endswith("/") or name.endswith(_WEIGHTS) or own:
                continue
            body = s3.get_object(Bucket=source_bucket, Key=item["Key"])["Body"].read()
            s3.put_object(Bucket=output_bucket, Key=f"{output_prefix}{name}", Body=body)
            names.append(name)
    return names


class _Printer:
    """Prints a line for each twentieth of the work."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, progress: fastload.ShardProgress) -> None:
        share = progress.done_bytes / max(1, progress.total_bytes)
        if share >= self._next:
            self._next = share + _PROGRESS_STEP
            print(f"Sharded {progress.done_bytes} of {progress.total_bytes} bytes", flush=True)


def _folder(url: str) -> str:
    return url if url.endswith("/") else f"{url}/"


def _split(url: str) -> tuple[str, str]:
    bucket, _, key = url.removeprefix("s3://").partition("/")
    return bucket, key


if __name__ == "__main__":
    sys.exit(main())
