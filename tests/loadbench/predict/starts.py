"""Starts and records for the tests of the prediction, with seconds that follow from stated coefficients."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from loadbench.predict.start import StartSpec
from loadbench.results.run_record import RunRecord
from loadbench.results.timeline import Span
from tests.loadbench.results.builders import make_record

IMAGE = "763104351884.dkr.ecr.us-west-2.amazonaws.com/djl-inference:0.32.0-lmi14.0.0-cu126"
EIGHT_B = StartSpec(
    path="standard",
    population="aws",
    instance_type="ml.g5.2xlarge",
    image=IMAGE,
    model_id="meta-llama/Llama-3.1-8B-Instruct",
    weights_bytes=16.06e9,
    loading="download",
    network_bytes_per_s=1.25e9,
)


def start(**changes: Any) -> StartSpec:
    """Llama-3.1-8B by the platform's download on AWS, with changes."""
    return replace(EIGHT_B, **changes)


def local_record(
    number: int, *, container_s: float = 10.0, rate: float = 38e6, path: str = "standard", **changes: Any
) -> RunRecord:
    """A start on the embedded AWS of 0.27 GB over 40 MB/s, each span on its own."""
    size = 269_000_000
    seconds = {
        "provision": 0.02,
        "artifact_download": size / rate,
        "container_start": container_s,
        "weights_to_host": 0.3,
        "weights_to_device": 0.3,
        "engine_warmup": 1.2,
        "health_check": 0.05,
    }
    record = make_record(path, number=number, target="local", ready_s=sum(seconds.values()))
    assert record.deployment.request_s
    spans, at_s = [], record.deployment.request_s
    for name, length in seconds.items():
        moved = size if name.startswith(("artifact", "weights")) else 0
        spans.append(Span(name=name, start_s=at_s, end_s=at_s + length, clock="container", size_bytes=moved))
        at_s += length
    model = record.model.model_copy(update={"size_bytes": size})
    network = {"instance_bytes_per_s": 40e6, "connection_bytes_per_s": 90e6, "first_byte_delay_s": 0.02}
    return record.model_copy(update={"spans": spans, "model": model, "network": network, **changes})
