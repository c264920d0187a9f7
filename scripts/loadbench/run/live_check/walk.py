"""The live check: settles the assumptions about AWS, cheapest first, and writes the evidence to a file.

The file is written after every step, so that an interruption loses nothing. It contains no account id, so it
can be sent to others.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from botocore.exceptions import BotoCoreError, ClientError

from loadbench.errors import LeftoverError, LoadbenchError
from loadbench.load_paths import LoadPath
from loadbench.results.run_record import write_atomically
from loadbench.results.run_summary import point_of
from loadbench.run.live_check.evidence import BY_DEPLOYMENT, Seen
from loadbench.run.live_check.facts import Finding, Verdict, find_out
from loadbench.run.preflight.check_result import CheckContext
from loadbench.run.record_writer import system_description
from loadbench.run.rehearsal import rehearse
from loadbench.run.removal.deployed_runs import deployed_by
from loadbench.run.removal.remove_run import remove_run
from loadbench.run.run_context import RunContext, hugging_face_token
from loadbench.run.runner import run_path
from loadbench.run.scale_out import add_copy

_PREFIX = "live-check-"
# The cheapest deployment first; the fast path needs a job.
_PAID: tuple[LoadPath, ...] = ("standard", "streamer", "fast")

# Called before a paid step with its name; False skips the step.
Ask = Callable[[str], bool]


@dataclass
class Step:
    """One step as recorded in the file."""

    name: str
    outcome: Literal["done", "failed", "declined"]
    seconds: float | None = None
    words: str = ""


@dataclass
class LiveCheck:
    """The result of a live check; `findings` has every fact once."""

    file: Path
    steps: list[Step] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def has_failed(self) -> bool:
        """Whether a step failed or a fact is contradicted."""
        return any(step.outcome == "failed" for step in self.steps) or any(
            finding.answer == "contradicted" for finding in self.findings
        )


def live_check(context: RunContext, ask: Ask) -> LiveCheck:
    """Read, rehearse, deploy with each loading method in turn, add a copy; everything is removed afterwards.

    A failed step is recorded, and the check continues with the next one. Raises LeftoverError if a resource
    could not be removed; nothing more is deployed then.
    """
    walk = _Walk(context, ask)
    walk.read()
    for load_path in context.config.paths:
        walk.rehearse(load_path)
    for load_path in _PAID:
        if load_path in context.config.paths and f"rehearse {load_path}" not in walk.seen.failures:
            walk.deploy(load_path)
    return walk.result


class _Walk:
    def __init__(self, context: RunContext, ask: Ask) -> None:
        self._context, self._ask = context, ask
        started = datetime.datetime.fromtimestamp(context.clock(), datetime.UTC)
        results_dir = context.workspace.results_dir
        self.seen = Seen(context.account.session, results_dir)
        self.result = LiveCheck(results_dir / f"{_PREFIX}{started:%Y%m%d-%H%M%S}.json")
        self._read: list[Finding] = []

    def read(self) -> None:
        """Settle facts by read-only calls."""
        context = self._context
        with self._step("read", shown="settling facts by read-only calls"):
            self._read = find_out(
                CheckContext(
                    context.config, list(context.config.paths), context.account.session, hugging_face_token()
                )
            )

    def rehearse(self, load_path: LoadPath) -> None:
        """Create and delete the resources that are free."""
        with self._step(f"rehearse {load_path}"), self._context.path_lock(load_path):
            rehearse(self._context, load_path)
            self.seen.rehearsed.add(load_path)

    def deploy(self, load_path: LoadPath) -> None:
        """A paid deployment; on the fast path also an added copy. Always removed afterwards."""
        if not self._agreed(f"run {load_path}"):
            return
        try:
            with self._step(f"run {load_path}"):
                self.seen.runs[load_path] = run_path(self._context, load_path)
            if load_path == "fast" and load_path in self.seen.runs and self._agreed("scale-out fast"):
                with self._step("scale-out fast"), self._context.path_lock(load_path):
                    add_copy(self._context, self.seen.runs[load_path], None, keep=False)
                    self.seen.copies_added += 1
        finally:  # also if the evidence file cannot be written
            if load_path in self.seen.runs:
                with self._context.ui.step(f"{load_path}: removing the endpoint"):
                    remove_run(self._context, deployed_by(self.seen.runs[load_path]))

    def _agreed(self, name: str) -> bool:
        if self._ask(name):
            return True
        self.result.steps.append(Step(name, "declined"))
        self._write()
        return False

    @contextmanager
    def _step(self, name: str, shown: str = "") -> Iterator[None]:
        started_s = self._context.clock()
        step = Step(name, "done")
        try:
            if shown:
                with self._context.ui.step(shown):
                    yield
            else:
                yield  # these show their own progress
        except LeftoverError:
            raise
        except LoadbenchError as error:
            if error.exit_code == 130:  # the user wants to stop
                raise
            step.outcome, step.words = "failed", error.message
            self.seen.failures[name] = error
            self._context.ui.warn(f"{name}: {error.message}\n{error.remedy}".rstrip())
        finally:
            step.seconds = round(self._context.clock() - started_s, 1)
            self.result.steps.append(step)
            self._write()

    def _findings(self) -> list[Finding]:
        """The findings of read-only calls, overridden by those of deployments."""
        where = "" if self._context.config.target == "aws" else "on the embedded AWS only: "
        findings = []
        for found in self._read:
            try:
                verdict = BY_DEPLOYMENT[found.id](self.seen) if found.id in BY_DEPLOYMENT else None
            except (ClientError, BotoCoreError) as error:
                verdict = Verdict("could not tell", str(error))
            if verdict:
                found = Finding(found.id, found.claim, verdict.answer, where + verdict.words)
            findings.append(found)
        return findings

    def _write(self) -> None:
        self.result.findings = self._findings()
        text = json.dumps(self._document(), indent=2, ensure_ascii=False)
        if self._context.account.account_id:
            text = text.replace(self._context.account.account_id, "ACCOUNT")
        write_atomically(self.result.file, text + "\n", private=True)

    def _document(self) -> dict[str, Any]:
        config = self._context.config
        runs = [point_of(run) for run in self.seen.runs.values()]
        return {
            "schema_version": 1,
            "target": config.target,
            "region": config.region,
            "system": next((run.system for run in self.seen.runs.values()), None)
            or system_description("unknown", "unknown"),
            "steps": [asdict(step) for step in self.result.steps],
            "facts": [asdict(finding) for finding in self.result.findings],
            "runs": [run.model_dump(mode="json") for run in runs],
        }
