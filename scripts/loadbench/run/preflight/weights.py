"""Checks of the model: whether it is available, fits into memory, and can be uploaded."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from botocore.exceptions import ClientError

from loadbench.config import DeploymentInfo
from loadbench.errors import LoadbenchError
from loadbench.instance_types import instance_types
from loadbench.load_paths import LOAD_PATHS, LoadPath
from loadbench.run.models import default_model, hub, synthetic
from loadbench.run.models.checkpoint import (
    StoredWeights,
    inspect_checkpoint,
    inspect_headers,
    stored_weights,
)
from loadbench.run.models.resolve import cache_dir, cached_folder, expand_user
from loadbench.run.models.staging import configured_bucket
from loadbench.run.optimization.job import tensor_parallel_degree
from loadbench.run.preflight.check_result import Check, CheckContext

# Memory is also needed for activations, the CUDA context, and at least some KV cache.
_OVERHEAD = 1.15


@dataclass(frozen=True)
class _Size:
    """Facts of a model that are known without downloading it."""

    weights: StoredWeights
    heads: int | None


def memory(context: CheckContext) -> Iterator[Check]:
    """The weights fit into the accelerators' memory with the configured dtype."""
    for path, info in context.deployments():
        specification = instance_types().get(info.instance_type)
        if specification is None:  # reported by another check
            continue
        try:
            size = _size(info.hf_model_id, context)
        except LoadbenchError:  # reported by the check of the model
            continue
        if size is None:
            yield Check(
                "memory",
                "warning",
                f"{path}: the size of {info.hf_model_id} is not known before it is downloaded",
            )
            continue
        yield _memory(path, info, size, specification.accelerator_memory_mib)


def _memory(load_path: LoadPath, info: DeploymentInfo, size: _Size, memory_mib: int) -> Check:
    try:
        degree = tensor_parallel_degree(info)
    except LoadbenchError as error:
        return Check("memory", "failure", error.message, error.remedy)
    if size.heads is not None and size.heads % degree:
        return Check(
            "memory",
            "failure",
            f"{load_path}: {size.heads} attention heads cannot be divided among {degree} ranks",
            "Choose a tensor-parallel degree that divides the number of heads.",
        )
    dtype = info.dtype
    weights_bytes = size.weights.loaded_bytes(dtype)
    per_rank_bytes = weights_bytes / degree
    have_bytes = memory_mib * 2**20
    what = "packed elements" if size.weights.is_quantized else "parameters"
    words = (
        f"{load_path}: {weights_bytes / 1e9:.1f} GB of weights ({size.weights.elements / 1e9:.2f} billion"
        f" {what}, dtype {dtype}) on {degree} rank(s):"
        f" {per_rank_bytes / 1e9:.1f} of {have_bytes / 1e9:.1f} GB each"
    )
    if per_rank_bytes * _OVERHEAD > have_bytes:
        return Check(
            "memory",
            "failure",
            words,
            "Choose a larger instance type, more accelerators, or a smaller model.",
        )
    return Check("memory", "ok", words)


def machine_memory(context: CheckContext) -> Iterator[Check]:
    """The embedded target's model servers run on this machine: the weights must fit into its memory."""
    have_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for model_id in dict.fromkeys(info.hf_model_id for _, info in context.deployments()):
        try:
            size = _size(model_id, context)
        except LoadbenchError:  # reported by the check of the model
            continue
        if size is None:
            continue
        weights_bytes = size.weights.size_bytes
        # The standard path has them in memory twice while it copies from host to device.
        if 2 * weights_bytes > have_bytes:
            yield Check(
                "machine memory",
                "failure" if weights_bytes > have_bytes else "warning",
                f"{model_id} needs {weights_bytes / 1e9:.1f} GB, and twice that while it loads; this"
                f" machine has"
                f" {have_bytes / 1e9:.1f} GB",
                "Use a smaller model on the embedded target.",
            )


def token(context: CheckContext) -> Iterator[Check]:
    """A required token exists, and the model can be read with it, or without one."""
    for path, info in context.deployments():
        from_hub = context.config.weights_from(path) == "hub"
        if info.use_hf_token and not context.token:
            yield Check(
                "token",
                "failure" if from_hub else "warning",
                f"HUGGING_FACE_HUB_TOKEN not found in environment variables, but the {path} path needs it",
                "Create a .env file with HUGGING_FACE_HUB_TOKEN=… (https://huggingface.co/settings/tokens).",
            )
        elif "/" in info.hf_model_id and (
            from_hub or (info.use_hf_token and _folder(info.hf_model_id) is None)
        ):
            yield _readable(context, info)


def _readable(context: CheckContext, info: DeploymentInfo) -> Check:
    model_id = info.hf_model_id
    if not context.hub_answers():
        return Check(
            "token",
            "warning",
            f"the Hugging Face Hub is not reachable: it is not known whether {model_id} can be read",
        )
    try:
        hub.check_access(model_id, context.token if info.use_hf_token else None)
    except LoadbenchError as error:
        return Check("token", "failure", error.message, error.remedy)
    return Check("token", "ok", f"{'the token' if info.use_hf_token else 'everybody'} may read {model_id}")


def source(context: CheckContext) -> Iterator[Check]:
    """The model is available: it is on this disk, can be generated, or the hub is reachable."""
    for model_id in dict.fromkeys(
        info.hf_model_id for path, info in context.deployments() if context.config.weights_from(path) == "s3"
    ):
        if (folder := _folder(model_id)) is not None:
            yield _local(model_id, folder)
        elif synthetic.is_synthetic(model_id):
            yield _synthetic(model_id)
        elif expand_user(model_id).is_absolute():
            yield Check(
                "model",
                "failure",
                f"the folder {model_id} does not exist",
                "Correct hf_model_id, or set it to an id of the Hugging Face Hub.",
            )
        elif model_id == default_model.MODEL_ID or context.hub_answers():
            yield Check("model", "ok", f"{model_id} will be downloaded")
        else:
            yield Check(
                "model",
                "failure",
                f"{model_id} is not on this disk, and the Hugging Face Hub is not reachable",
                "Check the network, or set hf_model_id to a local folder.",
            )


def _local(model_id: str, folder: Path) -> Check:
    try:
        checkpoint = inspect_checkpoint(folder)
    except LoadbenchError as error:
        return Check("model", "failure", error.message, error.remedy)
    return Check("model", "ok", f"{model_id} is on this disk ({checkpoint.size_bytes / 1e9:.1f} GB)")


def _synthetic(model_id: str) -> Check:
    try:
        shape = synthetic.shape_of(model_id)
    except LoadbenchError as error:
        return Check("model", "failure", error.message, error.remedy)
    return Check("model", "ok", f"{model_id} will be generated ({shape.weights_bytes / 1e9:.1f} GB)")


def bucket(context: CheckContext) -> Iterator[Check]:
    """A configured bucket exists in the region, and objects can be written to it."""
    config, name = context.config, configured_bucket(context.config)
    needed = any(
        LOAD_PATHS[load_path].optimized or config.weights_from(load_path) == "s3"
        for load_path in context.paths
    )
    if not needed:
        return
    if name is None:
        if config.target == "aws":
            yield Check(
                "bucket", "failure", "no bucket is configured", "Name one in fast_model_loading_info.bucket."
            )
        else:
            yield Check("bucket", "ok", "the embedded target's own bucket")
        return
    yield _bucket(context, name)


def _bucket(context: CheckContext, name: str) -> Check:
    s3 = context.client("s3")
    try:
        headers = s3.head_bucket(Bucket=name)["ResponseMetadata"]["HTTPHeaders"]
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        words = {
            404: f"the bucket {name} does not exist",
            403: f"these credentials may not use the bucket {name}",
            301: f"the bucket {name} is in another region than {context.config.region}",
        }.get(status, f"the bucket {name}: {error}")
        if status == 404 and context.config.target == "local":
            return Check("bucket", "ok", f"the bucket {name} will be created")
        return Check("bucket", "failure", words, "Correct the bucket in the configuration.")
    if (region := headers.get("x-amz-bucket-region", context.config.region)) != context.config.region:
        return Check(
            "bucket",
            "failure",
            f"the bucket {name} is in {region}",
            f"Use a bucket in {context.config.region}.",
        )
    key = "loadbench-write-check"
    try:
        s3.put_object(Bucket=name, Key=key, Body=b"")
        s3.delete_object(Bucket=name, Key=key)
    except ClientError as error:
        return Check(
            "bucket", "failure", f"cannot write to the bucket {name}: {error}", "Allow s3:PutObject."
        )
    return Check("bucket", "ok", f"the bucket {name} is in {context.config.region} and can be written")


def _size(model_id: str, context: CheckContext) -> _Size | None:
    """Sizes of the weights, None if they are not known yet. Raises LoadbenchError for a damaged model."""
    if synthetic.is_synthetic(model_id):
        shape = synthetic.shape_of(model_id)
        return _Size(stored_weights(("BF16", form) for _, form in shape.tensors()), shape.heads)
    if model_id == default_model.MODEL_ID:
        return _Size(stored_weights([("BF16", (default_model.PARAMETERS,))]), default_model.ATTENTION_HEADS)
    if (folder := _folder(model_id)) is None:
        return _size_on_hub(model_id, context)
    weights = inspect_headers(folder)
    try:
        configuration = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):  # the model server will report the problem
        configuration = None
    heads = configuration.get("num_attention_heads") if isinstance(configuration, dict) else None
    return _Size(weights, heads if isinstance(heads, int) else None)


def _size_on_hub(model_id: str, context: CheckContext) -> _Size | None:
    if not context.hub_answers():
        return None
    try:
        weights = hub.weights(model_id, context.token)
    except LoadbenchError:  # resolving the model will report the problem
        return None
    return None if weights is None else _Size(weights, None)


def _folder(model_id: str) -> Path | None:
    for folder in (expand_user(model_id), cached_folder(model_id, cache_dir())):
        if folder.is_dir():
            return folder
    return None
