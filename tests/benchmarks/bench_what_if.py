"""`loadbench what-if` against a clock and against real processes.

    python -m tests.benchmarks.bench_what_if speed
    python -m tests.benchmarks.bench_what_if real [--arrivals even] [--seed 0]

`speed`: ten thousand copies and a day of traffic. `real`: the same requests and policy in the simulation
and on the embedded AWS, whose auto-scaling service starts and stops real server processes; eight minutes. The
servers answer after as many seconds as a request asks for: waiting is the latency less that, and what else
runs on the machine does not change how long an answer takes.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import numpy as np
from botocore.config import Config

from loadbench.what_if.distributions import Seconds, parse_distribution
from loadbench.what_if.scaling import Policy
from loadbench.what_if.simulation import Serving, Trace, simulate
from loadbench.what_if.traffic import Arrivals, Traffic, constant

ROOT = Path(__file__).resolve().parents[2]
SERVER = Path(__file__).with_name("sleeping_server.py")
REGION, NAME, VARIANT = "us-west-2", "what-if", "AllTraffic"
RESOURCE = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": f"endpoint/{NAME}/variant/{VARIANT}",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}
PERIOD_S = 10.0  # of every metric of the embedded AWS
POLICY = Policy(
    kind="target-tracking",
    min_copies=2,
    max_copies=4,
    metric="invocations",
    target_value=24.0,
    period_s=PERIOD_S,
    out_cooldown_s=30.0,
    in_cooldown_s=60.0,
)
RATES = ((60.0, 0.5), (180.0, 1.35), (240.0, 0.25))  # seconds, requests a second
REQUEST = "lognormal:2,0.7"
START_S = (15.0, 30.0)  # what a server takes to start, drawn evenly


def speed() -> None:
    """Ten thousand copies and a day, on one core."""
    traffic = constant(60.0, 86_400.0)
    policy = Policy(
        kind="target-tracking",
        min_copies=9_000,
        max_copies=10_000,
        metric="concurrency",
        target_value=0.6,
        period_s=10.0,
    )
    serving = Serving(parse_distribution("exponential:120"), timeout_s=3600.0)
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    arrivals_s = traffic.times(np.random.default_rng(0), "poisson")
    trace = simulate(
        arrivals_s, serving, parse_distribution("lognormal:600,60"), policy, traffic.duration_s, 0
    )
    wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(
        f"{len(arrivals_s):,} requests, at most {max(ready for _, ready, _ in trace.counts):,} copies: "
        f"{wall_s:.1f} s, {cpu_s:.1f} s of processor time, {len(arrivals_s) / cpu_s:,.0f} requests a second, "
        f"{memory_mb:.0f} MB"
    )


@dataclass
class Seen:
    """What the real thing did. Times are seconds since the traffic began."""

    waits_s: list[float]
    counts: list[tuple[float, int, int]] = field(default_factory=list)
    """(when, instances in service, instances wanted)"""
    failed: int = 0
    decisions_s: list[float] = field(default_factory=list)
    """When the auto-scaling service changed the count."""

    def cold_starts_s(self) -> list[float]:
        """From the moment a copy was wanted until it served."""
        wanted, found = [], []
        for (_, ready, asked), (at_s, now_ready, now_asked) in zip(
            self.counts, self.counts[1:], strict=False
        ):
            wanted += [at_s] * max(0, now_asked - asked)
            found += [at_s - wanted.pop(0) for _ in range(max(0, now_ready - ready)) if wanted]
        return found


def real(seed: int, arrivals: Arrivals) -> None:
    """Both, side by side."""
    draw = np.random.default_rng(seed)
    ends = np.cumsum([length for length, _ in RATES]).tolist()
    traffic = Traffic(ends[-1], "burst", (0.0, *ends[:-1]), tuple(rate for _, rate in RATES))
    arrivals_s = traffic.times(draw, arrivals)
    requests_s = np.minimum(parse_distribution(REQUEST).draw(draw, len(arrivals_s)), 8.0)
    duration_s = traffic.duration_s
    with embedded_aws(seed) as clients:
        deploy(clients)
        seen = drive(clients, arrivals_s, requests_s, duration_s)
    cold_starts_s = seen.cold_starts_s()
    print(f"cold starts of the added copies: {', '.join(f'{value:.1f} s' for value in cold_starts_s)}")
    # The simulation's periods end where those of the embedded AWS did, known to half a second.
    lag_s = _phase(seen.decisions_s)
    traces = [
        simulate(
            arrivals_s + (PERIOD_S - lag_s + change_s),
            Serving(_Recorded(requests_s)),  # type: ignore[arg-type]
            _Recorded(np.asarray(cold_starts_s * 4)),  # type: ignore[arg-type]
            POLICY,
            duration_s + PERIOD_S - lag_s + change_s,
            0,
        )
        for change_s in (-0.5, -0.25, 0.0, 0.25, 0.5)
    ]
    report(seen, traces, duration_s)


def _phase(times_s: list[float]) -> float:
    """Where in a period these moments lie: their mean on the circle."""
    turns = np.exp(2j * np.pi * np.asarray(times_s) / PERIOD_S)
    return float(np.angle(turns.mean()) % (2 * np.pi) / (2 * np.pi) * PERIOD_S)


class _Recorded:
    """Seconds in their own order."""

    def __init__(self, seconds: Seconds) -> None:
        self._left = seconds

    def draw(self, _: np.random.Generator, count: int) -> Seconds:
        taken, self._left = self._left[:count], self._left[count:]
        return taken


def report(seen: Seen, traces: list[Trace], duration_s: float) -> None:
    """Waiting and copies, real and simulated."""
    rows = [("mean wait, s", float(np.mean(seen.waits_s)), [float(np.mean(t.waits_s)) for t in traces])]
    for share in (0.5, 0.9, 0.95):
        simulated = [float(np.quantile(trace.waits_s, share)) for trace in traces]
        rows.append((f"{share:.0%} of waits within, s", float(np.quantile(seen.waits_s, share)), simulated))
    for name, index in (("copies in service, mean", 1), ("copies wanted, mean", 2)):
        rows.append((name, _mean_count(seen.counts, index, duration_s),
                     [_mean_count(trace.counts, index, trace.duration_s) for trace in traces]))  # fmt: skip
    print(f"{len(seen.waits_s)} requests, {seen.failed} failed")
    print("| figure | real | simulated | difference | over phases |\n|---|---|---|---|---|")
    for name, found, values in rows:
        mean = float(np.mean(values))
        print(f"| {name} | {found:.3f} | {mean:.3f} | {100 * (mean / found - 1) if found else 0:+.1f} % "
              f"| {min(values):.3f} – {max(values):.3f} |")  # fmt: skip


def _mean_count(counts: list[tuple[float, int, int]], index: int, duration_s: float) -> float:
    ends_s = [at_s for at_s, _, _ in counts[1:]] + [duration_s]
    return (
        sum(item[index] * (end_s - item[0]) for item, end_s in zip(counts, ends_s, strict=True)) / duration_s
    )


def drive(clients: dict[str, Any], arrivals_s: Seconds, requests_s: Seconds, duration_s: float) -> Seen:
    """Send every request at its time, from a thread of its own; watch the counts meanwhile."""
    seen = Seen([0.0] * len(arrivals_s))
    began_s = time.monotonic() + 1.0
    stop = threading.Event()
    watcher = threading.Thread(target=_watch, args=(clients["sagemaker"], began_s, seen, stop))
    watcher.start()

    def send(number: int) -> None:
        body = json.dumps({"seconds": float(requests_s[number])}).encode()
        sent_s = time.monotonic()
        try:
            clients["sagemaker-runtime"].invoke_endpoint(EndpointName=NAME, Body=body)
        except Exception as error:  # noqa: BLE001 - counted, whatever it is
            seen.failed += 1
            print(f"request {number}: {error}", file=sys.stderr)
        seen.waits_s[number] = max(0.0, time.monotonic() - sent_s - float(requests_s[number]))

    threads = []
    for number, at_s in enumerate(arrivals_s):
        time.sleep(max(0.0, began_s + float(at_s) - time.monotonic()))
        threads.append(threading.Thread(target=send, args=(number,)))
        threads[-1].start()
    time.sleep(max(0.0, began_s + duration_s - time.monotonic()))
    for thread in threads:
        thread.join()
    stop.set()
    watcher.join()
    activities = clients["application-autoscaling"].describe_scaling_activities(ServiceNamespace="sagemaker")
    epoch_s = time.time() - (time.monotonic() - began_s)
    seen.decisions_s = [
        activity["StartTime"].timestamp() - epoch_s
        for activity in activities["ScalingActivities"]
        if activity["StartTime"].timestamp() > epoch_s
    ]
    return seen


def _watch(sagemaker: Any, began_s: float, seen: Seen, stop: threading.Event) -> None:
    while not stop.is_set():
        variant = sagemaker.describe_endpoint(EndpointName=NAME)["ProductionVariants"][0]
        counts = (variant["CurrentInstanceCount"], variant["DesiredInstanceCount"])
        if not seen.counts or seen.counts[-1][1:] != counts:
            at_s = 0.0 if not seen.counts else time.monotonic() - began_s
            print(f"{at_s:6.1f} s: {counts[0]} in service, {counts[1]} wanted", flush=True)
            seen.counts.append((at_s, *counts))
        stop.wait(0.25)


def deploy(clients: dict[str, Any]) -> None:
    """An endpoint with two instances, and the policy on it."""
    sagemaker, scaling = clients["sagemaker"], clients["application-autoscaling"]
    trust = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"},
                            "Action": "sts:AssumeRole"}], "Version": "2012-10-17"}  # fmt: skip
    role = clients["iam"].create_role(RoleName=NAME, AssumeRolePolicyDocument=json.dumps(trust))["Role"][
        "Arn"
    ]
    image = f"763104351884.dkr.ecr.{REGION}.amazonaws.com/vllm:server-sagemaker-cuda-v1.4"
    sagemaker.create_model(ModelName=NAME, ExecutionRoleArn=role, PrimaryContainer={"Image": image})
    variant = {
        "VariantName": VARIANT,
        "ModelName": NAME,
        "InstanceType": "ml.g5.xlarge",
        "InitialInstanceCount": POLICY.min_copies,
        "RoutingConfig": {"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"},
    }
    sagemaker.create_endpoint_config(EndpointConfigName=NAME, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=NAME, EndpointConfigName=NAME)
    sagemaker.get_waiter("endpoint_in_service").wait(
        EndpointName=NAME, WaiterConfig={"Delay": 1, "MaxAttempts": 300}
    )
    scaling.register_scalable_target(**RESOURCE, MinCapacity=POLICY.min_copies, MaxCapacity=POLICY.max_copies)
    scaling.put_scaling_policy(
        **RESOURCE,
        PolicyName="target",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": POLICY.target_value,
            "PredefinedMetricSpecification": {
                "PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"
            },
            "ScaleOutCooldown": int(POLICY.out_cooldown_s),
            "ScaleInCooldown": int(POLICY.in_cooldown_s),
        },
    )


@contextmanager
def embedded_aws(seed: int) -> Iterator[dict[str, Any]]:
    """Clients of an embedded AWS of its own, whose vLLM image runs the sleeping server."""
    with tempfile.TemporaryDirectory(prefix="what-if-") as name:
        folder = Path(name)
        engine, state = folder / "engine", folder / "state"
        _make_engine(engine, seed)
        settings = {"network": "none", "engines": {"vllm": str(engine)}}
        try:
            _localaws(state, "up", "--settings", "-", stdin=json.dumps(settings))
            os.environ.update(json.loads(_localaws(state, "env", "--json")), AWS_DEFAULT_REGION=REGION)
            settings_of_clients = Config(
                max_pool_connections=200, read_timeout=90, retries={"total_max_attempts": 1}
            )
            services = ("sagemaker", "sagemaker-runtime", "application-autoscaling", "iam")
            yield {service: boto3.client(service, config=settings_of_clients) for service in services}
        finally:
            _localaws(state, "down")


def _make_engine(engine: Path, seed: int) -> None:
    """A folder laid out like an engine's virtual environment, whose program is the sleeping server."""
    (engine / "bin").mkdir(parents=True)
    (engine / "lib" / f"python3.{sys.version_info.minor}" / "site-packages").mkdir(parents=True)
    (engine / "bin" / "python").symlink_to(sys.executable)
    (engine / "pyvenv.cfg").write_text(f"home = {Path(sys.executable).resolve().parent}\n", encoding="utf-8")
    program = engine / "bin" / "standard-supervisor"
    low_s, high_s = START_S
    program.write_text(
        f'#!/bin/sh\nexec "{sys.executable}" "{SERVER}" {low_s} {high_s} {seed} "$@"\n', encoding="utf-8"
    )
    program.chmod(0o755)


def _localaws(state: Path, verb: str, *arguments: str, stdin: str = "") -> str:
    return subprocess.run(
        [sys.executable, "-m", "localaws", verb, "--state-dir", str(state), *arguments],
        input=stdin,
        env={**os.environ, "PYTHONPATH": str(ROOT / "scripts")},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=90,
    ).stdout


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("speed", "real"))
    parser.add_argument("--arrivals", choices=("poisson", "even"), default="poisson")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    random.seed(chosen.seed)
    if chosen.what == "speed":
        speed()
    else:
        real(chosen.seed, chosen.arrivals)


if __name__ == "__main__":
    main()
