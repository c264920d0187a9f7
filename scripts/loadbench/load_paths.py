"""The ways of loading, as data: what tells them apart is here and in their sections of the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

LoadPath = str
EndpointKind = Literal["model_based", "inference_component"]
WeightsFrom = Literal["s3", "hub"]
Loader = Literal["fast model loader", "Run:ai model streamer", "plug-ins of vLLM"]


@dataclass(frozen=True)
class Example:
    """What a section needs at least, for the message to a user whose configuration lacks it."""

    image: str
    environment: Mapping[str, str]
    inference_ami_version: str | None = None


@dataclass(frozen=True)
class LoadPathTraits:
    """What makes one way of loading different from another."""

    section: str
    endpoint_kind: EndpointKind
    optimized: bool = False
    """A sharding job runs before the deployment."""
    container_reads_s3: bool = False
    """The container gets `HF_MODEL_ID=s3://…` and reads it by itself; else the platform brings model data."""
    weights_variable: str | None = None
    """A plug-in reads the weights from the S3 prefix in this variable; the platform brings the rest."""
    chat_requests: bool = False
    """The server takes OpenAI's chat requests only, not LMI's `inputs`."""
    needs: Loader | None = None
    """The loader that the image must have."""
    compared: bool = True
    """Takes part in a comparison that names no paths."""
    example: Example | None = field(default=None, repr=False)
    """Where the section may be left out."""


LOAD_PATHS: dict[LoadPath, LoadPathTraits] = {
    "standard": LoadPathTraits("standard_deployment_info", "model_based"),
    "fast": LoadPathTraits(
        "fast_model_loading_info", "inference_component", optimized=True, needs="fast model loader"
    ),
    "streamer": LoadPathTraits(
        "streamer_info",
        "model_based",
        container_reads_s3=True,
        chat_requests=True,
        needs="Run:ai model streamer",
        compared=False,
        example=Example(
            image="763104351884.dkr.ecr.{region}.amazonaws.com/vllm:server-sagemaker-cuda-v1.4",
            environment={
                "SM_VLLM_LOAD_FORMAT": "runai_streamer",
                "RUNAI_STREAMER_CONCURRENCY": "16",
            },
            inference_ami_version="al2-ami-sagemaker-inference-gpu-3-1",
        ),
    ),
    "fastload": LoadPathTraits(
        "fastload_info",
        "model_based",
        weights_variable="FASTLOAD_LOCATION",
        chat_requests=True,
        needs="plug-ins of vLLM",
        compared=False,
        example=Example(
            image="763104351884.dkr.ecr.{region}.amazonaws.com/vllm:server-sagemaker-cuda-v1.4",
            environment={"SM_VLLM_LOAD_FORMAT": "fastload"},
            inference_ami_version="al2-ami-sagemaker-inference-gpu-3-1",
        ),
    ),
}


def takes_chat_requests(load_path: LoadPath, image: str) -> bool:
    """Whether the server of a path takes OpenAI's chat requests only: vLLM's own does, whatever the path."""
    traits = LOAD_PATHS.get(load_path)
    return (traits is not None and traits.chat_requests) or "/vllm:" in image


OPTIMIZED_LOAD_PATH: LoadPath = next(
    load_path for load_path, traits in LOAD_PATHS.items() if traits.optimized
)
COMPARED_LOAD_PATHS: tuple[LoadPath, ...] = tuple(
    load_path for load_path, traits in LOAD_PATHS.items() if traits.compared
)
