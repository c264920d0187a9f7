"""What deployments show of the facts that reading alone cannot settle."""

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

# The status is asked every 0.4 s; the rest is the way of the answer.
_SEEN_WITHIN_S = 2.0
_FAR_APART_S = 10.0
_READ_WHOLE_SHARE = 0.05
_LOG_NAME = "container.log"


@dataclass
class Seen:
    """What the steps of a live check have left to be read."""

    session: Any
    results_dir: Path
    rehearsed: set[LoadPath] = field(default_factory=set)
    runs: dict[LoadPath, RunRecord] = field(default_factory=dict)
    copies_added: int = 0
    failures: dict[str, LoadbenchError] = field(default_factory=dict)

    def text(self, load_path: LoadPath, name: str) -> str:
        """A file of a run's folder; empty where there is none."""
        file = self.results_dir / self.runs[load_path].run_id / name
        return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""

    @cached_property
    def serving_properties(self) -> tuple[str, str | None]:
        """Where the job's properties are, and their text; None where they are not. Read from S3 once."""
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
        """The log group of the copies, and how many streams it has; None without such a group. Asked once."""
        client, group = self.session.client("logs"), container_group(self.runs["fast"].names)
        try:
            return group, len(client.describe_log_streams(logGroupName=group)["logStreams"])
        except client.exceptions.ResourceNotFoundException:
            return group, None


def configuration_by_cloud_control(seen: Seen) -> Verdict | None:
    """A rehearsal of the fast path creates one and deletes it."""
    if "fast" in seen.rehearsed:
        return Verdict("confirmed", "one was created without a model name, and deleted")
    failure = seen.failures.get("rehearse fast")
    if failure and re.search(r"UnsupportedActionException|AWS::SageMaker::EndpointConfig", failure.message):
        return Verdict("contradicted", failure.message)
    return None


def component_by_cloud_control(seen: Seen) -> Verdict | None:
    """A fast run whose component was created, read and deleted."""
    if "fast" in seen.runs:
        return Verdict("confirmed", "one was created and found again")
    return None


def cpu_cores_left_out(seen: Seen) -> Verdict | None:
    """The fast path asks for none."""
    if "fast" in seen.runs:
        return Verdict("confirmed", "a copy that asks for no CPU cores was placed and served")
    return None


def platform_names_the_artifact(seen: Seen) -> Verdict | None:
    """The job's own properties, and evidence that the weights were streamed."""
    if "fast" not in seen.runs or seen.runs["fast"].optimization is None:
        return None
    place, properties = seen.serving_properties
    if properties is None:
        return Verdict("contradicted", f"{place} is not there")
    if "option.load_format" not in properties:
        return Verdict("contradicted", f"{place} names no option.load_format")
    words = "serving.properties names option.load_format"
    streaming = seen.runs["fast"].streaming
    if streaming is None:
        return Verdict("could not tell", f"{words}; {_LOG_NAME} has no line of a fast loader that is known")
    answers: dict[str, Answer] = {"shown": "confirmed", "contradicted": "contradicted"}
    return Verdict(answers.get(streaming.state, "could not tell"), f"{words}; {streaming.evidence}")


def role_of_its_own(load_path: LoadPath) -> Callable[[Seen], Verdict | None]:
    """A run that came up with the role that it made itself."""

    def judge(seen: Seen) -> Verdict | None:
        if load_path in seen.runs:
            role = seen.runs[load_path].names.role
            if role is None:
                return Verdict("could not tell", "sagemaker_exec_role names a role: leave it empty")
            return Verdict("confirmed", f"the {load_path} endpoint came up and answered with the role {role}")
        failure = seen.failures.get(f"run {load_path}")
        if failure and re.search("AccessDenied|not authorized|403", f"{failure.message}\n{failure.details}"):
            return Verdict("contradicted", failure.message)
        return None

    return judge


def role_settles(seen: Seen) -> Verdict | None:
    """No call after CreateModel was refused because the role was too young."""
    if "fast" not in seen.runs:
        return None
    if re.search(r"(?i)could not assume|cannot be assumed", seen.text("fast", "terraform.jsonl")):
        return Verdict("contradicted", "terraform.jsonl says that a role could not be assumed")
    if seen.runs["fast"].names.role is None:
        return Verdict("could not tell", "sagemaker_exec_role names a role: leave it empty")
    return Verdict("confirmed", "no call that followed was refused for the new role")


def last_modified_is_in_service(seen: Seen) -> Verdict | None:
    """The service's clock against ours, in every run that came up."""
    late_s = {
        load_path: run.deployment.poller_ready_s - run.deployment.ready_s
        for load_path, run in seen.runs.items()
        if run.deployment.poller_ready_s is not None and run.deployment.ready_s is not None
    }
    if not late_s:
        return None
    words = ", ".join(f"{load_path}: seen {value:.1f} s after it" for load_path, value in late_s.items())
    if all(-1 <= value <= _SEEN_WITHIN_S for value in late_s.values()):
        return Verdict("confirmed", words)
    far = any(value < -1 or value > _FAR_APART_S for value in late_s.values())
    return Verdict("contradicted" if far else "could not tell", words)


def lines_are_known(load_path: LoadPath, *phases: str) -> Callable[[Seen], Verdict | None]:
    """The weights' phases come from log lines, and little time is unattributed."""

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
            return Verdict(
                "contradicted", f"{words}; {_LOG_NAME} has no line for {', '.join(missing)} that is known"
            )
        return Verdict("confirmed" if left <= _READ_WHOLE_SHARE else "could not tell", words)

    return judge


def capacity_of_components(seen: Seen) -> Verdict | None:
    """A copy was added to the fast endpoint."""
    if seen.copies_added:
        return Verdict("confirmed", "an instance and a copy were added to the fast endpoint")
    failure = seen.failures.get("scale-out fast")
    if failure and "UpdateEndpointWeightsAndCapacities" in failure.message:
        return Verdict("contradicted", failure.message)
    return None


def stream_of_a_copy(seen: Seen) -> Verdict | None:
    """Two copies of one component were up: two streams, or fewer."""
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
    "execution-role-suffices": role_of_its_own("fast"),
    "role-settles": role_settles,
    "last-modified-is-in-service": last_modified_is_in_service,
    "lines-of-the-container": lines_are_known("standard", "weights_to_host"),
    "capacity-of-components": capacity_of_components,
    "stream-of-a-copy": stream_of_a_copy,
    "streamer-finds-its-role": role_of_its_own("streamer"),
    "lines-of-the-vllm-server": lines_are_known("streamer", "weights_stream"),
}
