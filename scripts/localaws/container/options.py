"""The container's options: environment variables and the model folder's `serving.properties`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..images import is_vllm_server
from .errors import ContainerError

FAST_LOAD_FORMAT = "sagemaker_fast_model_loader"
# docs/facts/sagemaker.md#images-with-the-fast-loader.
FAST_LOADER_TAGS = ("0.31.0-lmi13", "0.32.0-lmi14")
STREAMER_LOAD_FORMAT = "runai_streamer"
FASTLOAD_LOAD_FORMAT = "fastload"

_LMI = re.compile(r"(^|/)djl-inference:")

_DTYPES = {
    "auto": "auto",
    "fp16": "float16",
    "float16": "float16",
    "half": "float16",
    "bf16": "bfloat16",
    "bfloat16": "bfloat16",
    "fp32": "float32",
    "float32": "float32",
    "float": "float32",
}


@dataclass(frozen=True)
class Options:
    """The container's settings, checked."""

    model_dir: Path
    port: int
    dtype: str
    load_format: str
    shards: str | None
    tensor_parallel_degree: int | None
    max_model_len: int | None
    model_id: str | None
    image: str
    # vLLM's `concurrency`: connections of the streamer; None is its own default.
    streamer_concurrency: int | None = None
    # Where fastload reads the model's safetensors files from.
    weights_location: str | None = None

    @property
    def streams(self) -> bool:
        """Whether weights are streamed from shards instead of read from the model folder."""
        return self.load_format == FAST_LOAD_FORMAT

    @property
    def uses_model_streamer(self) -> bool:
        """Whether the Run:ai model streamer reads the safetensors files, from S3 or from the model folder."""
        return self.load_format == STREAMER_LOAD_FORMAT

    @property
    def prefetches(self) -> bool:
        """Whether fastload reads the model's own files into memory beside this process."""
        return self.load_format == FASTLOAD_LOAD_FORMAT

    @property
    def is_vllm_server(self) -> bool:
        """Whether the image is vLLM's own server, without djl-serving before it."""
        return is_vllm_server(self.image)


def image_has_fast_loader(image: str) -> bool:
    """Whether an image's tag is of a release with the fast model loader; an image without a tag has none."""
    _, _, tag = image.rpartition(":")
    return tag.startswith(FAST_LOADER_TAGS)


def read_options(environment: Mapping[str, str]) -> Options:
    """Settings from the environment and `serving.properties`, which wins (as in LMI).

    Raises ContainerError for values that no LMI container would start with.
    """
    model_dir = Path(environment.get("LOCALAWS_MODEL_DIR") or "/opt/ml/model")
    image = environment.get("LOCALAWS_IMAGE") or ""
    prefix = "SM_VLLM_" if is_vllm_server(image) else "OPTION_"
    values = {
        name.removeprefix(prefix).lower(): value
        for name, value in environment.items()
        if name.startswith(prefix)
    }
    if is_vllm_server(image):
        # vLLM's names for what djl-serving calls otherwise, and vLLM's default for the first.
        values["tensor_parallel_degree"] = values.get("tensor_parallel_size") or "1"
        values["model_id"] = values.get("model", "")
    else:
        values.update(serving_properties(model_dir / "serving.properties"))
    options = Options(
        model_dir=model_dir,
        port=_integer("SAGEMAKER_BIND_TO_PORT", environment.get("SAGEMAKER_BIND_TO_PORT") or "8080"),
        dtype=_dtype(values.get("dtype") or "auto"),
        load_format=values.get("load_format") or "auto",
        shards=environment.get("SM_FAST_MODEL_LOADER_S3_URI") or None,
        tensor_parallel_degree=_degree(values.get("tensor_parallel_degree") or "max"),
        max_model_len=_integer("OPTION_MAX_MODEL_LEN", values["max_model_len"])
        if values.get("max_model_len")
        else None,
        model_id=values.get("model_id") or environment.get("HF_MODEL_ID") or None,
        image=image,
        streamer_concurrency=_concurrency(values.get("model_loader_extra_config") or "{}"),
        weights_location=environment.get("FASTLOAD_LOCATION") or None,
    )
    if options.streams and options.shards is None:
        raise ContainerError(
            f"load_format is {FAST_LOAD_FORMAT} but SM_FAST_MODEL_LOADER_S3_URI is not set: "
            "the model data holds no sagemaker-fast-model-loader-* folder; run the optimization job first"
        )
    if options.prefetches and (options.weights_location is None or not options.is_vllm_server):
        raise ContainerError(
            "load_format is fastload, which needs an image of the vLLM server and FASTLOAD_LOCATION: the "
            "s3:// prefix of the model's safetensors files"
        )
    if options.streams and options.image and not image_has_fast_loader(options.image):
        raise ContainerError(
            f"image {options.image} does not contain the fast model loader; "
            f"use a tag that starts with {' or '.join(FAST_LOADER_TAGS)}"
        )
    if options.uses_model_streamer and _LMI.search(image):
        raise ContainerError(
            f"image {image} does not contain the Run:ai model streamer: LMI installs vLLM without it "
            "(vllm[runai]); use vllm:server-sagemaker-cuda-v1.4"
        )
    return options


def serving_properties(path: Path) -> dict[str, str]:
    """The `option.*` entries of `serving.properties`, without that prefix; none where there is no file."""
    if not path.exists():
        return {}
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        name, separator, value = line.partition("=")
        if separator and not line.lstrip().startswith(("#", "!")):
            found[name.strip()] = value.strip()
    return {
        name.removeprefix("option."): value for name, value in found.items() if name.startswith("option.")
    }


def _concurrency(value: str) -> int | None:
    """`concurrency` of vLLM's `model_loader_extra_config`, a JSON object."""
    try:
        document = json.loads(value)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise ContainerError(f"model_loader_extra_config={value} is not a JSON object")
    concurrency = document.get("concurrency")
    return concurrency if isinstance(concurrency, int) else None  # as vLLM, which takes nothing else


def _dtype(value: str) -> str:
    try:
        return _DTYPES[value.lower()]
    except KeyError:
        raise ContainerError(f"OPTION_DTYPE={value} is not one of {', '.join(_DTYPES)}") from None


def _degree(value: str) -> int | None:
    """The tensor-parallel degree; None for `max`, which is the number of devices."""
    return None if value == "max" else _integer("OPTION_TENSOR_PARALLEL_DEGREE", value)


def _integer(name: str, value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise ContainerError(f"{name}={value} is not a whole number") from None
