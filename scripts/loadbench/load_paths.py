"""The loading methods as data: they differ only in these traits and in their configuration sections."""

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
    """The minimal section, for the message to a user whose configuration lacks it."""

    image: str
    environment: Mapping[str, str]
    inference_ami_version: str | None = None


@dataclass(frozen=True)
class LoadPathTraits:
    """What distinguishes one loading method from another."""

    section: str
    endpoint_kind: EndpointKind
    optimized: bool = False
    """A sharding job runs before the deployment."""
    container_reads_s3: bool = False
    """The container gets `HF_MODEL_ID=s3://…` and reads it itself; otherwise SageMaker downloads the model
    data.
    """
    weights_variable: str | None = None
    """A plug-in reads the weights from the S3 prefix in this variable; SageMaker downloads the other files.
    """
    chat_requests: bool = False
    """The server accepts only OpenAI chat requests, not LMI's `inputs`."""
    needs: Loader | None = None
    """The loader that the image must contain."""
    compared: bool = True
    """Part of a comparison for which no paths are named."""
    example: Example | None = field(default=None, repr=False)
    """An example of the section, if it is optional."""


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
    """Whether the server accepts only OpenAI chat requests: vLLM's own server does, with any load path."""
    traits = LOAD_PATHS.get(load_path)
    return (traits is not None and traits.chat_requests) or "/vllm:" in image


OPTIMIZED_LOAD_PATH: LoadPath = next(
    load_path for load_path, traits in LOAD_PATHS.items() if traits.optimized
)
COMPARED_LOAD_PATHS: tuple[LoadPath, ...] = tuple(
    load_path for load_path, traits in LOAD_PATHS.items() if traits.compared
)
