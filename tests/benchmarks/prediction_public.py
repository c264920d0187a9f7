"""The prediction on public starts of vLLM: `python -m tests.benchmarks.prediction_public --data FOLDER`.

FOLDER is a checkout of github.com/upb-cn/vllm-startup-profiler, whose licence is not stated: it is read, and
nothing of it is in this repository. Each dense model is held out in turn; the coefficients are learned from
the other ones by the same code that learns from records, and the engine's phases (start, weights, warm-up)
are predicted. What a platform adds (provisioning, image, health check) is in neither side.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np

from loadbench.predict.learn import KnownStart, learn_from
from loadbench.predict.model import interval, predict
from loadbench.predict.start import StartSpec
from loadbench.results.run_record import Deployment, ModelInfo, ResourceNames, RunRecord
from loadbench.results.timeline import PhaseName, Span

_PHASES: tuple[PhaseName, ...] = ("container_start", "weights_to_host", "engine_warmup")
_NODE = "EPYC 9354, H100 NVL"
# Billions of parameters by the cards on the Hugging Face Hub: a checkpoint's headers tell the tool
# as much, where the data set's own table rounds ("7" for 6.7 to 8.5).
_BILLIONS = {
    "deepseek-r1-distill-llama-8b": 8.03,
    "deepseek-r1-distill-qwen-7b": 7.62,
    "falcon-11b": 11.1,
    "falcon-7b": 7.22,
    "gemma-7b": 8.54,
    "granite3.3-8b-instruct": 8.17,
    "llama2-13b-hf": 13.0,
    "llama2-7b-hf": 6.74,
    "llama3-3b": 3.21,
    "mistral-7b": 7.24,
    "qwen-0.5b": 0.62,
    "qwen-14b": 14.2,
    "qwen-1.8b": 1.84,
    "qwen-4b": 3.95,
    "qwen-7b": 7.72,
    "yi-6b": 6.06,
    "yi-9b": 8.83,
}


def read_starts(folder: Path, *, rounded: bool) -> list[KnownStart]:
    """The dense models' mean starts as records, with exact or with the data set's rounded sizes."""
    results = json.loads((folder / "figures/figure-rest/avg_comparison_results.json").read_text("utf-8"))
    models = json.loads((folder / "models_config.json").read_text("utf-8"))
    found = []
    for index, label in enumerate(results["labels"]):
        match = re.match(r"output_model_([a-z0-9.-]+?)(?:_.*)?\.txt$", label)
        name = match[1] if match else ""
        if name not in _BILLIONS:
            continue  # mixtures of experts and hybrids
        seconds = {key: values[index] for key, values in results["data"].items()}
        billions = models[name]["size"] if rounded else _BILLIONS[name]
        start = StartSpec(
            path="standard",
            population="aws",
            instance_type=_NODE,
            image="vllm:0.10.1.1",
            model_id=name,
            weights_bytes=2e9 * billions,
            loading="download",
            image_cached=True,
            compile_cache="warm",
            layers=models[name]["layers"],
        )
        lengths = (
            seconds["framework_bootstrap"] + seconds["tokenizer_init"] + seconds["model_init"],
            seconds["load_weights"],
            seconds["init_engine"],
        )
        found.append(_known(start, lengths))
    return found


def _known(start: StartSpec, lengths: Sequence[float]) -> KnownStart:
    spans, at_s = [], 0.0
    for name, length in zip(_PHASES, lengths, strict=True):
        size = round(start.weights_bytes) if name == "weights_to_host" else 0
        spans.append(Span(name=name, start_s=at_s, end_s=at_s + length, clock="container", size_bytes=size))
        at_s += length
    record = RunRecord(
        run_id=start.model_id,
        path=start.path,
        status="succeeded",
        started_s=0,
        expires_at="",
        command=[],
        target="aws",
        region="",
        project="public",
        configuration={},
        configuration_digest="",
        image=start.image,
        instance_type=start.instance_type,
        endpoint_kind="model_based",
        model=ModelInfo(model_id=start.model_id),
        names=ResourceNames(endpoint="", endpoint_configuration="", model=""),
        deployment=Deployment(request_s=0.0, ready_s=at_s),
        spans=spans,
    )
    return KnownStart(start, record, at_s)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a row a model and the summary; exit code 1 where the folder does not have the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="checkout of the data set")
    parser.add_argument("--rounded", action="store_true", help="take sizes as the data set rounds them")
    options = parser.parse_args(arguments)
    try:
        known = read_starts(options.data, rounded=options.rounded)
    except FileNotFoundError as error:
        print(f"{error.filename} does not exist: --data has to name a checkout of the data set")
        return 1
    errors, inside = [], 0
    print("| model | measured | predicted | 90 % | error |\n|---|--:|--:|---|--:|")
    for item in known:
        others = [other for other in known if other is not item]
        prediction = predict(item.start, learn_from(others, "aws"))
        draws = np.sum([prediction.own_draws_s[name] for name in _PHASES], axis=0)
        span = interval(draws)
        off = span.median / item.total_s - 1
        errors.append(abs(off))
        inside += span.low <= item.total_s <= span.high
        print(
            f"| {item.start.model_id} | {item.total_s:.1f} s | {span.median:.1f} s |"
            f" {span.low:.1f}–{span.high:.1f} s | {100 * off:+.1f} % |"
        )
    within = sum(off <= 0.10 for off in errors)
    print(
        f"\n{len(errors)} dense models, each held out: median error {100 * median(errors):.1f} %,"
        f" {within} within 10 %, largest {100 * max(errors):.1f} %; {inside} inside their 90 % interval."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
