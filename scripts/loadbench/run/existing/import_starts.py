"""`loadbench import`: creates a record of every past start of an endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from loadbench.errors import UsageError
from loadbench.results.reports import write_run_files
from loadbench.results.run_record import ResourceNames, RunRecord, Usage, record_file, save_record
from loadbench.run.existing.activities import scaling_activities
from loadbench.run.existing.description import Description, Place, describe
from loadbench.run.existing.past_starts import PastStart, Seen, past_starts
from loadbench.run.observe.lines import LogLine
from loadbench.run.observe.log_files import read_folder
from loadbench.run.observe.logs import LogFile, container_group, platform_group
from loadbench.run.observe.usage import read_usage
from loadbench.run.run_context import RunContext

_CLIENT_CONFIG = Config(retries={"mode": "standard", "max_attempts": 8})


def import_endpoint(
    context: RunContext, endpoint: str, component: str | None, since_s: float
) -> list[RunRecord]:
    """Read AWS's logs and activities, write a record for each start. Raises UsageError if there is none."""
    session, ui = context.account.session, context.ui
    with ui.step(f"{endpoint}: reading its description"):
        description = describe(session.client("sagemaker", config=_CLIENT_CONFIG), endpoint, component)
    with ui.step(f"{endpoint}: reading its logs and scaling activities"):
        seen, problems = _read(
            session, description, context.clock() - since_s, context.account.target == "local"
        )
    for problem in problems:
        ui.warn(f"not read: {problem}")
    account = context.account
    place = Place(account.target, account.region, account.account_id, context.command)
    starts = past_starts(description, seen, place)
    cloudwatch = session.client("cloudwatch", config=_CLIENT_CONFIG)
    for start in starts:
        start.record.usage = _usage(cloudwatch, description.names, start.record)
    return _written(context.workspace.results_dir, starts, f"the log of {endpoint}")


def import_folder(
    results_dir: Path, command: list[str], endpoint: str, folder: Path, component: str | None = None
) -> list[RunRecord]:
    """Like `import_endpoint`, but from exported logs, without AWS calls."""
    if not folder.is_dir():
        raise UsageError(
            f"{folder} is not a folder", remedy="Pass the folder of exported logs to --from-folder."
        )
    names = ResourceNames(
        endpoint=endpoint,
        endpoint_configuration="unknown",
        model="unknown",
        inference_component=component,
    )
    place = Place("aws", "unknown", None, command)
    starts = past_starts(Description(names=names), Seen(read_folder(folder)), place)
    return _written(results_dir, starts, str(folder))


def _read(session: Any, description: Description, since_s: float, embedded: bool) -> tuple[Seen, list[str]]:
    logs = session.client("logs", config=_CLIENT_CONFIG)
    container, problems = _events(logs, container_group(description.names), since_s)
    platform: list[LogLine] = []
    if embedded:
        platform, _ = _events(logs, platform_group(description.names), since_s)
    endpoint = session.client("sagemaker", config=_CLIENT_CONFIG).describe_endpoint(
        EndpointName=description.names.endpoint
    )
    variants = [item["VariantName"] for item in endpoint.get("ProductionVariants", ())]
    scaling = session.client("application-autoscaling", config=_CLIENT_CONFIG)
    activities, more = scaling_activities(scaling, description.names, variants)
    return Seen(container, platform, activities), [*problems, *more]


def _events(client: Any, group: str, since_s: float) -> tuple[list[LogLine], list[str]]:
    """Events of all streams of a log group since a time, and problems; none if the group does not exist."""
    lines: list[LogLine] = []
    try:
        pages = client.get_paginator("filter_log_events").paginate(
            logGroupName=group, startTime=max(0, round(since_s * 1000))
        )
        for event in (event for page in pages for event in page["events"]):
            message = event["message"].rstrip("\n")
            lines.append(LogLine(event["timestamp"] / 1000, event["logStreamName"], message))
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            return lines, [str(error)]
    except BotoCoreError as error:
        return lines, [str(error)]
    return lines, []


def _usage(client: Any, names: ResourceNames, record: RunRecord) -> Usage:
    times = record.deployment
    try:
        return read_usage(client, names, times.request_s or 0.0, times.ready_s or 0.0)
    except (ClientError, BotoCoreError):
        return Usage()  # the phases are useful without the usage curves


def _written(results_dir: Path, starts: Sequence[PastStart], where: str) -> list[RunRecord]:
    if not starts:
        raise UsageError(
            f"{where} shows no start that became ready",
            remedy="Use a longer --since, or name the component with --component.",
        )
    for start in starts:
        folder = record_file(results_dir, start.record.run_id).parent
        file = LogFile(folder / "container.log", [])
        for line in start.lines:
            file.write(line)
        save_record(results_dir, start.record)
        write_run_files(start.record, folder)
    return [start.record for start in starts]
