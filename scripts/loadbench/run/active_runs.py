"""Runs that are still deployed: finds them by their state folders, removes and invokes them."""

from __future__ import annotations

from collections.abc import Iterator

from loadbench.errors import UsageError
from loadbench.load_paths import LoadPath
from loadbench.results.run_index import latest, list_summaries
from loadbench.results.run_record import RunRecord, load_record, record_file
from loadbench.run.removal.deployed_runs import DeployedRun, is_here, runs_with_state
from loadbench.run.removal.remove_run import remove_run
from loadbench.run.requests.images import image_payload
from loadbench.run.requests.invoke import stream_text
from loadbench.run.run_context import RunContext
from loadbench.sample_request import with_prompt


def active_runs(context: RunContext, load_path: LoadPath) -> list[DeployedRun]:
    """Runs of one load path that may still have resources in this configuration's account and region,
    oldest first.
    """
    return [
        run
        for run in runs_with_state(context.workspace, context.config)
        if run.path == load_path and is_here(context, run)
    ]


def remove_earlier(context: RunContext, load_path: LoadPath) -> None:
    """Remove earlier endpoints of a load path: two cost twice, and the second would not start cold."""
    for run in active_runs(context, load_path):
        with context.ui.step(f"{load_path}: removing the endpoint of run {run.run_id}"):
            remove_run(context, run)


def active_record(context: RunContext, load_path: LoadPath | None) -> RunRecord:
    """The record of the running endpoint. Raises UsageError if there is none."""
    for name in [load_path] if load_path else list(context.config.paths):
        for run in reversed(active_runs(context, name)):
            file = record_file(context.workspace.results_dir, run.run_id)
            # A sharding job without a run has no record.
            if file.exists() and (record := load_record(file)).status == "succeeded":
                return record
    wanted = f"{load_path} " if load_path else ""
    raise UsageError(
        f"no {wanted}endpoint is running", remedy=f"Start one with `make {load_path or 'standard'}`."
    )


def invoke_active(
    context: RunContext, load_path: LoadPath | None, prompt: str | None, image: str | None = None
) -> Iterator[str]:
    """The answer of the running endpoint, piece by piece as it is generated.

    Raises UsageError for an image that cannot be sent, and if no endpoint is running.
    """
    record = active_record(context, load_path)
    payload = context.config.sample_input(record.path)
    if image is not None:
        payload = image_payload(image, prompt, payload)
    elif prompt is not None:
        payload = with_prompt(payload, prompt)
    yield from stream_text(context.account.session, record.names, payload)


def latest_record(context: RunContext, load_path: LoadPath) -> RunRecord | None:
    """The newest successful run of a load path with the same configuration and target, None if there
    is none.
    """
    results_dir = context.workspace.results_dir
    point = latest(list_summaries(results_dir).points, load_path, context.config.digest)
    return load_record(record_file(results_dir, point.run_id)) if point else None
