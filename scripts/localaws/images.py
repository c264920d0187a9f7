"""Facts derived from a container image's name."""

from __future__ import annotations

import re

# AWS's image of the vLLM server: its entry point turns SM_VLLM_* into vLLM's arguments, and it has the
# streamer, which LMI images lack (docs/facts/vllm.md#sagemaker-image).
_VLLM_SERVER = re.compile(r"(^|/)vllm:")
# Parts of the names of repositories whose images can be emulated.
_KNOWN = ("djl-inference", "djl-serving", "lmi", "vllm")


def is_vllm_server(image: str) -> bool:
    """Whether an image is AWS's image of the vLLM server."""
    return _VLLM_SERVER.search(image) is not None


def is_known(image: str) -> bool:
    """Whether the embedded AWS can emulate the image."""
    repository = image.partition("@")[0].rpartition("/")[2].partition(":")[0].lower()
    return any(name in repository for name in _KNOWN)
