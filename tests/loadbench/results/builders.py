"""Run records as the benchmark would write them, built through the public models."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal

from loadbench.load_paths import LoadPath
from loadbench.results.run_record import (
    Deployment,
    Failure,
    Invocation,
    ModelInfo,
    Optimization,
    Pair,
    ResourceNames,
    RunRecord,
    Series,
    Step,
    Usage,
)
from loadbench.results.scale_out_record import CountChange, ScaleOutRecord
from loadbench.results.timeline import Span

EPOCH_S = 1_763_877_600.0
GIB = 2**30
IMAGE = "763104351884.dkr.ecr.us-west-2.amazonaws.com/djl-inference:0.32.0-lmi14.0.0-cu126"

# Shares of the time to ready, in order; `weights_stream` overlaps the start of the container.
_STANDARD = (
    ("provision", 0.14, "platform", "inferred"),
    ("image_pull", 0.16, "platform", "inferred"),
    ("artifact_download", 0.26, "platform", "measured"),
    ("container_start", 0.08, "container", "measured"),
    ("weights_to_host", 0.15, "container", "measured"),
    ("weights_to_device", 0.05, "container", "measured"),
    ("engine_warmup", 0.13, "container", "measured"),
    ("health_check", 0.025, "platform", "measured"),
)
_FAST = (
    ("provision", 0.22, "platform", "inferred"),
    ("image_pull", 0.25, "platform", "inferred"),
    ("artifact_download", 0.01, "platform", "measured"),
    ("container_start", 0.11, "container", "measured"),
    ("weights_stream", 0.15, "container", "measured"),
    ("engine_warmup", 0.20, "container", "measured"),
    ("health_check", 0.055, "platform", "measured"),
)


def make_record(
    path: LoadPath = "standard",
    *,
    ready_s: float = 632.0,
    number: int = 0,
    target: Literal["local", "aws"] = "aws",
    pair: Pair | None = None,
    status: Literal["succeeded", "failed"] = "succeeded",
    job_s: float | None = 1116.89,
    weights_bytes: int = 16_060_522_496,
    endpoint_kind: Literal["model_based", "inference_component"] | None = None,
    weights_from: Literal["s3", "hub"] | None = None,
    spans: list[Span] | None = None,
) -> RunRecord:
    """A run of one path that took `ready_s` from request to in service."""
    fast = path == "fast"
    started_s = EPOCH_S + 3600 * number + (1800 if fast else 0)
    setup_s = 1.37 + (job_s or 0.0 if fast else 0.0)
    request_s = started_s + setup_s + 1.8
    run_id = f"20251123-{number:06d}-{path}-{number % 65536:04x}"
    failed = status == "failed"
    on_aws = target == "aws"
    model_id = "meta-llama/Llama-3.1-8B-Instruct" if on_aws else "HuggingFaceTB/SmolLM2-135M-Instruct"
    environment = {"HF_MODEL_ID": model_id, "OPTION_TENSOR_PARALLEL_DEGREE": "max", "OPTION_DTYPE": "fp16"}
    return RunRecord(
        run_id=run_id,
        path=path,
        status=status,
        started_s=started_s,
        finished_s=request_s + ready_s + 9,
        expires_at="2025-11-23T10:00:00Z",
        command=["loadbench", "compare", "--config", "config.yaml"],
        target=target,
        region="us-west-2",
        account_id="123456789012",
        project="loadbench",
        configuration={
            "target": target,
            "standard_deployment_info": {"hf_model_id": model_id, "container_env_vars": environment},
            "fast_model_loading_info": {"hf_model_id": model_id, "container_env_vars": environment},
        },
        configuration_digest="4f1c2ab90d3e",
        system={"python": "3.11.2", "terraform": "1.9.8", "loadbench": "0.1.0"},
        image=IMAGE,
        instance_type="ml.g5.2xlarge",
        endpoint_kind=endpoint_kind or ("inference_component" if fast else "model_based"),
        network={"connection_bytes_per_s": 90e6, "first_byte_delay_s": 0.02} if target == "local" else None,
        model=ModelInfo(
            model_id=model_id,
            digest="sha256:5f0c9a",
            size_bytes=weights_bytes,
            dtype="fp16",
            weights_from=weights_from or ("hub" if target == "aws" else "s3"),
        ),
        names=ResourceNames(
            endpoint=f"loadbench-{path}-{number:04x}",
            endpoint_configuration=f"loadbench-{path}-{number:04x}",
            model=f"loadbench-{path}-{number:04x}",
        ),
        optimization=_job(job_s, weights_bytes) if fast else None,
        steps=_steps(
            started_s,
            [
                ("initialization", 0.014),
                *([("optimization", job_s or 0.0)] if fast else []),
                ("build", 1.356),
                ("deployment", None if failed else 1.8 + ready_s + 4.2),
                *([] if failed else [("testing", 0.146)]),
            ],
        ),
        deployment=Deployment(
            request_s=request_s,
            ready_s=None if failed else request_s + ready_s,
            terraform_start_s=started_s + setup_s,
            terraform_end_s=request_s + ready_s + 4.2,
            poller_ready_s=request_s + ready_s + 0.3,
        ),
        spans=spans if spans is not None else make_spans(path, request_s, ready_s, weights_bytes),
        invocations=[] if failed else _invocations(request_s + ready_s, number, fast),
        usage=_usage(fast, request_s, ready_s, weights_bytes),
        pair=pair,
        failure=Failure(
            step="deployment",
            message="the endpoint is Failed: Unable to provision requested ML compute capacity",
            remedy="Try another region, or ask for a higher quota.",
        )
        if failed
        else None,
    )


def _steps(start_s: float, lengths_s: Sequence[tuple[str, float | None]]) -> list[Step]:
    steps = []
    for name, length_s in lengths_s:
        steps.append(Step(name=name, start_s=start_s, end_s=None if length_s is None else start_s + length_s))
        start_s += length_s or 0.0
    return steps


def make_spans(path: str, request_s: float, ready_s: float, weights_bytes: int) -> list[Span]:
    """The phases one after another, less than half a percent unexplained, and a span that is no phase."""
    spans, at_s = [], request_s
    for name, share, clock, certainty in _FAST if path == "fast" else _STANDARD:
        end_s = at_s + share * ready_s
        overlap_s = 0.6 * 0.11 * ready_s if name == "weights_stream" else 0.0
        moves = name.startswith("weights") or (name == "artifact_download" and path == "standard")
        spans.append(
            Span.model_validate(
                {
                    "name": name,
                    "start_s": at_s - overlap_s,
                    "end_s": end_s,
                    "clock": clock,
                    "certainty": certainty,
                    "worker": "W-252-model" if clock == "container" else "i-0f3a",
                    "size_bytes": weights_bytes if moves else 0,
                }
            )
        )
        at_s = end_s
    first_s = 0.9 if path == "standard" else 0.8
    ready_at_s = request_s + ready_s
    spans.append(Span(name="first_response", start_s=ready_at_s, end_s=ready_at_s + first_s, clock="client"))
    spans.append(
        Span(name="terraform apply", start_s=request_s - 1.8, end_s=ready_at_s + 4.2, clock="terraform")
    )
    return spans


def make_pairs(
    ratios: Sequence[float], *, ready_s: float = 632.0, series_id: str = "s1", seed: int = 7
) -> list[RunRecord]:
    """One pair for each ratio standard over fast, the standard runs spread by a seeded 2 %."""
    draw = random.Random(seed)
    records = []
    for index, ratio in enumerate(ratios):
        standard_s = ready_s * draw.lognormvariate(0, 0.02)
        for position, (path, seconds) in enumerate([("standard", standard_s), ("fast", standard_s / ratio)]):
            pair = Pair(series_id=series_id, index=index, position=position, seed=seed)
            records.append(make_record(path, ready_s=seconds, number=index, pair=pair))
    return records


def seed_records() -> list[RunRecord]:
    """The first users' own measurement: 632 s and 450.09 s on ml.g5.2xlarge, a job of 1116.89 s."""
    return [make_record("standard"), make_record("fast", ready_s=450.09)]


def _job(job_s: float | None, weights_bytes: int) -> Optimization:
    return Optimization(
        job_name="loadbench-optimize-4f1c",
        key="4f1c2ab9",
        reused=False,
        seconds=job_s,
        instance_type="ml.g5.2xlarge",
        output_uri="s3://bucket/optimized/4f1c2ab9/",
        shards_bytes=weights_bytes,
    )


def _invocations(ready_at_s: float, number: int, fast: bool) -> list[Invocation]:
    draw = random.Random(f"{number} {fast}")
    at_s = ready_at_s + 1
    first = Invocation(kind="first", start_s=at_s, latency_s=draw.uniform(0.7, 0.9), ok=True, output_tokens=9)
    warm = [
        Invocation(
            kind="warm", start_s=at_s + index, latency_s=draw.uniform(0.13, 0.16), ok=True, output_tokens=9
        )
        for index in range(1, 6)
    ]
    streaming = Invocation(
        kind="streaming",
        start_s=at_s + 7,
        latency_s=0.15,
        ok=True,
        time_to_first_token_s=draw.uniform(0.03, 0.04),
        output_tokens=9,
    )
    return [first, *warm, streaming]


def _usage(fast: bool, request_s: float, ready_s: float, weights_bytes: int) -> Usage:
    steps = 60
    ramp = [max(0.0, min(1.0, (index / steps - 0.45) / 0.35)) for index in range(steps + 1)]
    times_s = [request_s + ready_s * index / steps for index in range(steps + 1)]
    cpu_s, memory = (74.0, 5.2 * GIB) if fast else (118.0, 21.4 * GIB)

    def series(name: str, unit: str, total: float, shape: list[float]) -> Series:
        points = [(moment_s, total * share) for moment_s, share in zip(times_s, shape, strict=True)]
        return Series(name=name, unit=unit, source="LocalAWS/Instances", points=points)

    instance = "i-0f3a" if fast else "i-9b21"
    return Usage(
        cpu_seconds=cpu_s,
        peak_memory_bytes=memory,
        disk_write_bytes=4e6 if fast else weights_bytes + 4e6,
        network_receive_bytes=weights_bytes * 1.01,
        series=[
            series(f"CPUSeconds {instance}", "s", cpu_s, [share**1.5 for share in ramp]),
            series(f"MemoryBytes {instance}", "bytes", memory, [0.1 + 0.9 * share for share in ramp]),
            series(f"DiskWriteBytes {instance}", "bytes", 4e6 if fast else weights_bytes + 4e6, ramp),
            series(
                f"NetworkReceiveBytes {instance}",
                "bytes",
                weights_bytes * 1.01,
                [share**0.8 for share in ramp],
            ),
            Series(
                name="CPUUtilization",
                unit="percent",
                source="/aws/sagemaker/Endpoints",
                points=[(request_s + ready_s / 2, 38.0)],
            ),
        ],
    )


def make_scale_out(
    run: RunRecord,
    *,
    ready_s: float = 300.0,
    number: int = 0,
    status: Literal["succeeded", "failed", "interrupted"] = "succeeded",
    failed_requests: int = 0,
) -> ScaleOutRecord:
    """One copy added to a run's endpoint, an hour after it came up; it took `ready_s`."""
    request_s = run.started_s + 3600 + 600 * number
    done = status == "succeeded"
    shares: dict[Literal["endpoint", "inference component"], float] = (
        {"endpoint": 1.0}
        if run.endpoint_kind == "model_based"
        else {"endpoint": 0.4, "inference component": 1.0}
    )
    return ScaleOutRecord(
        scale_out_id=f"20251123-{number:06d}-{run.path[:4]}",
        run_id=run.run_id,
        path=run.path,
        status=status,
        started_s=request_s - 0.2,
        finished_s=request_s + ready_s + 1,
        command=["loadbench", "scale-out"],
        copies_before=1,
        copies_after=2,
        changes=[
            CountChange(
                resource=resource,
                before=1,
                after=2,
                request_s=request_s if resource == "endpoint" else request_s + 0.4 * ready_s,
                ready_s=request_s + share * ready_s if done else None,
            )
            for resource, share in shares.items()
        ],
        spans=make_spans(run.path, request_s, ready_s, 16_060_522_496) if done else [],
        requests=[
            Invocation(
                kind="warm",
                start_s=request_s + 10 * place,
                latency_s=0.2,
                ok=place >= failed_requests,
                error=None if place >= failed_requests else "the model answered 500: boom",
            )
            for place in range(8)
        ],
        pair=Pair(series_id="20251123-070000", index=number, position=0, seed=0),
        failure=None
        if done
        else Failure(step="scale-out", message="the endpoint is InService: Unable to provision"),
        scaled_back_s=request_s + ready_s + 30,
    )
