"""Which runs are still deployed: found by their state folders, removed before the next, and invoked."""

from __future__ import annotations

from collections.abc import Iterator

from loadbench.errors import UsageError
from loadbench.load_paths import LoadPath
from loadbench.results.run_index import latest, list_summaries
from loadbench.results.run_record import RunRecord, load_record, record_file
from loadbench.run import deployment
from loadbench.run.record_writer import close_record
from loadbench.run.requests.images import image_payload
from loadbench.run.requests.invoke import stream_text
from loadbench.run.run_context import RunContext
from loadbench.sample_request import with_prompt


def active_runs(context: RunContext, load_path: LoadPath) -> list[str]:
    """Run ids of one path that may still hold resources on this target, oldest first."""
    runs = context.workspace.private_dir / "runs"
    found = []
    for folder in sorted(runs.glob(f"*-{load_path}-*")) if runs.is_dir() else []:
        file = record_file(context.workspace.results_dir, folder.name)
        if not file.exists() or load_record(file).target == context.config.target:
            found.append(folder.name)
    return found


def remove_earlier(context: RunContext, load_path: LoadPath) -> None:
    """One endpoint a path at a time: two cost twice, and the second one would not start cold."""
    for run_id in active_runs(context, load_path):
        with context.ui.step(f"{load_path}: removing the endpoint of run {run_id}"):
            deployment.destroy_run(context, load_path, run_id)
        close_record(context.workspace.results_dir, run_id, context.clock())


def active_record(context: RunContext, load_path: LoadPath | None) -> RunRecord:
    """The record of the endpoint that is up now; UsageError when there is none."""
    for name in [load_path] if load_path else list(context.config.paths):
        for run_id in reversed(active_runs(context, name)):
            record = load_record(record_file(context.workspace.results_dir, run_id))
            if record.status == "succeeded":
                return record
    wanted = f"{load_path} " if load_path else ""
    raise UsageError(f"no {wanted}endpoint is up", remedy=f"Start one with `make {load_path or 'standard'}`.")


def invoke_active(
    context: RunContext, load_path: LoadPath | None, prompt: str | None, image: str | None = None
) -> Iterator[str]:
    """The answer of the endpoint that is up, piece by piece as it is generated.

    Raises UsageError for an image that cannot be sent, and where no endpoint is up.
    """
    record = active_record(context, load_path)
    payload = context.config.sample_input(record.path)
    if image is not None:
        payload = image_payload(image, prompt, payload)
    elif prompt is not None:
        payload = with_prompt(payload, prompt)
    yield from stream_text(context.account.session, record.names, payload)


def latest_record(context: RunContext, load_path: LoadPath) -> RunRecord | None:
    """The newest successful run of a path under this very configuration and target, None without one."""
    results_dir = context.workspace.results_dir
    point = latest(list_summaries(results_dir).points, load_path, context.config.digest)
    return load_record(record_file(results_dir, point.run_id)) if point else None
