"""Evidence from deployments for the facts that read-only calls cannot settle."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from loadbench.errors import LoadbenchError
from loadbench.load_paths import LoadPath
from loadbench.results.run_record import RunRecord
from loadbench.results.timeline import partition
from loadbench.run.live_check.facts import Answer, Verdict
from loadbench.run.observe.logs import container_group

# The status is polled every 0.4 s; the rest allows for network latency.
_SEEN_WITHIN_S = 2.0
_FAR_APART_S = 10.0
_READ_WHOLE_SHARE = 0.05
_LOG_NAME = "container.log"


@dataclass
class Seen:
    """Results of a live check's steps: runs, failures, files, AWS calls for more evidence."""

    session: Any
    results_dir: Path
    rehearsed: set[LoadPath] = field(default_factory=set)
    runs: dict[LoadPath, RunRecord] = field(default_factory=dict)
    copies_added: int = 0
    failures: dict[str, LoadbenchError] = field(default_factory=dict)

    def text(self, load_path: LoadPath, name: str) -> str:
        """The contents of a file in a run's folder; empty if there is none."""
        file = self.results_dir / self.runs[load_path].run_id / name
        return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""

    @cached_property
    def serving_properties(self) -> tuple[str, str | None]:
        """Location and text (None if missing) of the job's serving.properties. Read from S3 once."""
        optimization = self.runs["fast"].optimization
        assert optimization is not None
        place = f"{optimization.output_uri.rstrip('/')}/serving.properties"
        bucket, _, key = place.removeprefix("s3://").partition("/")
        client = self.session.client("s3")
        try:
            return place, client.get_object(Bucket=bucket, Key=key)["Body"].read().decode()
        except client.exceptions.NoSuchKey:
            return place, None

    @cached_property
    def copy_streams(self) -> tuple[str, int | None]:
        """The log group of the copies and its number of streams; None if there is no group. Read once."""
        client, group = self.session.client("logs"), container_group(self.runs["fast"].names)
        try:
            return group, len(client.describe_log_streams(logGroupName=group)["logStreams"])
        except client.exceptions.ResourceNotFoundException:
            return group, None


def configuration_by_cloud_control(seen: Seen) -> Verdict | None:
    """Evidence: a rehearsal of the fast path creates one and deletes it."""
    if "fast" in seen.rehearsed:
        return Verdict("confirmed", "one was created without a model name, and deleted")
    failure = seen.failures.get("rehearse fast")
    if failure and re.search(r"UnsupportedActionException|AWS::SageMaker::EndpointConfig", failure.message):
        return Verdict("contradicted", failure.message)
    return None


def component_by_cloud_control(seen: Seen) -> Verdict | None:
    """Evidence: a fast run whose component was created, read and deleted."""
    if "fast" in seen.runs:
        return Verdict("confirmed", "one was created and read back")
    return None


def cpu_cores_left_out(seen: Seen) -> Verdict | None:
    """Evidence: a run of the fast path, which requests no CPU cores."""
    if "fast" in seen.runs:
        return Verdict("confirmed", "a copy that requests no CPU cores was placed and served requests")
    return None


def platform_names_the_artifact(seen: Seen) -> Verdict | None:
    """Evidence: the job's serving.properties, and whether the weights were streamed."""
    if "fast" not in seen.runs or seen.runs["fast"].optimization is None:
        return None
    place, properties = seen.serving_properties
    if properties is None:
        return Verdict("contradicted", f"{place} does not exist")
    if "option.load_format" not in properties:
        return Verdict("contradicted", f"{place} does not set option.load_format")
    words = "serving.properties sets option.load_format"
    streaming = seen.runs["fast"].streaming
    if streaming is None:
        return Verdict("could not tell", f"{words}; {_LOG_NAME} has no known line of a fast loader")
    answers: dict[str, Answer] = {"shown": "confirmed", "contradicted": "contradicted"}
    return Verdict(answers.get(streaming.state, "could not tell"), f"{words}; {streaming.evidence}")


def data_cache_off(seen: Seen) -> Verdict | None:
    """Evidence: the caching that Describe reports for the fast path's component."""
    failure = seen.failures.get("run fast")
    if failure and "DataCacheConfig" in f"{failure.message}\n{failure.details}":
        return Verdict("contradicted", failure.message)
    if "fast" not in seen.runs:
        return None
    reported = seen.runs["fast"].deployment.caches
    words = f"Describe reports {reported}" if reported else "Describe reports no cache setting"
    answers: dict[bool | None, Answer] = {False: "confirmed", True: "contradicted", None: "could not tell"}
    return Verdict(answers[seen.runs["fast"].deployment.caching], words)


def role_of_its_own(load_path: LoadPath) -> Callable[[Seen], Verdict | None]:
    """Evidence: a run that reached InService with the role that it created."""

    def judge(seen: Seen) -> Verdict | None:
        if load_path in seen.runs:
            role = seen.runs[load_path].names.role
            if role is None:
                return Verdict("could not tell", "sagemaker_exec_role names a role: leave it empty")
            return Verdict(
                "confirmed", f"the {load_path} endpoint reached InService and answered with the role {role}"
            )
        failure = seen.failures.get(f"run {load_path}")
        if failure and re.search("AccessDenied|not authorized|403", f"{failure.message}\n{failure.details}"):
            return Verdict("contradicted", failure.message)
        return None

    return judge


def role_settles(seen: Seen) -> Verdict | None:
    """Evidence: no call after CreateModel was refused because the role was too new."""
    if "fast" not in seen.runs:
        return None
    if re.search(r"(?i)could not assume|cannot be assumed", seen.text("fast", "terraform.jsonl")):
        return Verdict("contradicted", "terraform.jsonl has an error that a role could not be assumed")
    if seen.runs["fast"].names.role is None:
        return Verdict("could not tell", "sagemaker_exec_role names a role: leave it empty")
    return Verdict("confirmed", "no later call was refused for the new role")


def last_modified_is_in_service(seen: Seen) -> Verdict | None:
    """Evidence: the service's clock against the local clock, in every run that reached InService."""
    late_s = {
        load_path: run.deployment.poller_ready_s - run.deployment.ready_s
        for load_path, run in seen.runs.items()
        if run.deployment.poller_ready_s is not None and run.deployment.ready_s is not None
    }
    if not late_s:
        return None
    words = ", ".join(f"{load_path}: observed {value:.1f} s after it" for load_path, value in late_s.items())
    if all(-1 <= value <= _SEEN_WITHIN_S for value in late_s.values()):
        return Verdict("confirmed", words)
    far = any(value < -1 or value > _FAR_APART_S for value in late_s.values())
    return Verdict("contradicted" if far else "could not tell", words)


def lines_are_known(load_path: LoadPath, *phases: str) -> Callable[[Seen], Verdict | None]:
    """Evidence: the log lines give the weight loading phases, and little time is unattributed."""

    def judge(seen: Seen) -> Verdict | None:
        run = seen.runs.get(load_path)
        if run is None or run.deployment.request_s is None or run.deployment.ready_s is None:
            return None
        shares = {
            share.name: share.seconds
            for share in partition(run.spans, run.deployment.request_s, run.deployment.ready_s)
        }
        left = shares["unattributed"] / (sum(shares.values()) or 1.0)
        missing = [phase for phase in phases if not _measured(run, phase)]
        words = f"{left:.0%} of the {load_path} start is unattributed"
        if missing:
            return Verdict("contradicted", f"{words}; {_LOG_NAME} has no known line for {', '.join(missing)}")
        return Verdict("confirmed" if left <= _READ_WHOLE_SHARE else "could not tell", words)

    return judge


def capacity_of_components(seen: Seen) -> Verdict | None:
    """Evidence: a copy was added to the fast endpoint."""
    if seen.copies_added:
        return Verdict("confirmed", "an instance and a copy were added to the fast endpoint")
    failure = seen.failures.get("scale-out fast")
    if failure and "UpdateEndpointWeightsAndCapacities" in failure.message:
        return Verdict("contradicted", failure.message)
    return None


def stream_of_a_copy(seen: Seen) -> Verdict | None:
    """Evidence: the number of log streams with two copies of one component in service."""
    if not seen.copies_added or "fast" not in seen.runs:
        return None
    group, streams = seen.copy_streams
    if streams is None:
        return Verdict("contradicted", f"there is no log group {group}")
    words = f"two copies wrote {streams} streams into {group}"
    return Verdict("confirmed" if streams >= 2 else "contradicted", words)


def _measured(run: RunRecord, phase: str) -> bool:
    return any(span.name == phase and span.certainty == "measured" for span in run.spans)


BY_DEPLOYMENT: dict[str, Callable[[Seen], Verdict | None]] = {
    "endpoint-config-by-cloud-control": configuration_by_cloud_control,
    "component-by-cloud-control": component_by_cloud_control,
    "cpu-cores-left-out": cpu_cores_left_out,
    "platform-names-the-artifact": platform_names_the_artifact,
    "data-cache-off": data_cache_off,
    "execution-role-suffices": role_of_its_own("fast"),
    "role-settles": role_settles,
    "last-modified-is-in-service": last_modified_is_in_service,
    "lines-of-the-container": lines_are_known("standard", "weights_to_host"),
    "capacity-of-components": capacity_of_components,
    "stream-of-a-copy": stream_of_a_copy,
    "streamer-finds-its-role": role_of_its_own("streamer"),
    "lines-of-the-vllm-server": lines_are_known("streamer", "weights_stream"),
}
