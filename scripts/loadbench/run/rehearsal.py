"""The rehearsal: creates the free resources of a run with the same Terraform module, and removes them.

SageMaker should refuse the model, its role or the endpoint configuration before a sharding job of many
minutes is paid for, not after it. These three cost nothing as long as no endpoint uses them, so they are
really created and removed. What only an endpoint can show (capacity, the component's memory, the container's
start) remains unknown.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from botocore.exceptions import BotoCoreError, ClientError

from loadbench.errors import RunError
from loadbench.load_paths import LOAD_PATHS, LoadPath
from loadbench.results.run_record import Optimization, RunRecord
from loadbench.run import deployment
from loadbench.run.deployment_plan import Source, begin_record, make_plan
from loadbench.run.models import staging
from loadbench.run.new_role import repeat_for_new_role
from loadbench.run.removal.deployed_runs import deployed_by, note_deployed
from loadbench.run.removal.remove_run import remove_run
from loadbench.run.removal.undo_on_failure import Attempt, undone_on_failure
from loadbench.run.run_context import RunContext
from loadbench.run.terraform.commands import TerraformEvent

# Everything of the root except the endpoint and the component.
_FREE = (
    "module.deployment.module.execution_role",
    "module.deployment.module.model",
    "module.deployment.module.endpoint.aws_sagemaker_endpoint_configuration.this",
    "module.deployment.module.endpoint.module.configuration",
)


# Names of Terraform resource types in messages.
_NAMES = {
    "aws_iam_role": "role",
    "aws_iam_role_policy": "role policy",
    "aws_sagemaker_model": "model",
    "aws_sagemaker_endpoint_configuration": "endpoint configuration",
    "aws_cloudcontrolapi_resource": "endpoint configuration (Cloud Control)",
}


@dataclass(frozen=True)
class Rehearsal:
    """The resources that were created for one load path and removed again."""

    load_path: LoadPath
    made: list[str]

    def as_text(self) -> str:
        """One human-readable line."""
        return f"{self.load_path}: created and removed again: {', '.join(self.made)}"


def rehearse(context: RunContext, load_path: LoadPath) -> Rehearsal:
    """Create the free resources of a run of `load_path`, and remove them.

    Raises RunError with the service's reason if something is refused, LeftoverError if something could not
    be removed again.
    """
    record = begin_record(context, load_path, None)
    run, folder = deployed_by(record), context.workspace.results_dir / record.run_id
    made: list[str] = []

    def on_event(event: TerraformEvent) -> None:
        resource_type = event.resource.split(".")[-2:][0]
        if event.type == "apply_complete" and resource_type in _NAMES:
            made.append(_NAMES[resource_type])
        context.ui.detail(event.short_message)

    with context.ui.step(f"{load_path}: rehearsal, free"), _model_data(context, load_path, record) as source:
        note_deployed(context.workspace, run)
        attempt = Attempt(
            what=f"the rehearsal of the {load_path} path",
            note=lambda status, failure: None,
            undo=lambda: _remove(context, record),
            log_lines=list,
            step=lambda: "rehearsal",
            undone="its resources were removed",
            seen_in=str(folder),
            warn=context.ui.warn,
        )
        with undone_on_failure(attempt):
            plan = make_plan(context, load_path, record, source)
            terraform, variables = deployment.prepare(context, plan)
            repeat_for_new_role(
                lambda: terraform.apply(variables, on_event, targets=_FREE),
                context.ui.note,
                may_repeat=lambda: plan.role_arn is None,
            )
        _remove(context, record)
    return Rehearsal(load_path, made)


def _remove(context: RunContext, record: RunRecord) -> None:
    remove_run(context, deployed_by(record))
    shutil.rmtree(context.workspace.results_dir / record.run_id, ignore_errors=True)  # Terraform's log


@contextmanager
def _model_data(context: RunContext, load_path: LoadPath, record: RunRecord) -> Iterator[Source]:
    """One small object instead of the weights, because CreateModel checks that the prefix exists.

    For an optimized path it also replaces the output of the sharding job.
    """
    if not LOAD_PATHS[load_path].optimized and record.model.weights_from == "hub":
        yield Source(None, None, None)
        return
    session, config = context.account.session, context.config
    bucket = staging.ensure_bucket(session, config, context.account.account_id)
    client, key = session.client("s3"), f"models/rehearsal-{secrets.token_hex(4)}/config.json"
    uri = f"s3://{bucket}/{key.rpartition('/')[0]}/"
    try:
        client.put_object(Bucket=bucket, Key=key, Body=b"{}")
    except (ClientError, BotoCoreError) as error:
        raise RunError(
            f"could not write to s3://{bucket}/{key}: {error}",
            remedy="Allow s3:PutObject on the bucket, or name another bucket.",
        ) from error
    try:
        if LOAD_PATHS[load_path].optimized:
            record.names.optimization_job = record.names.endpoint
            record.optimization = Optimization(
                job_name=record.names.endpoint,
                key="rehearsal",
                reused=False,
                instance_type=record.instance_type,
                output_uri=uri,
            )
        yield Source(None, uri, bucket)
    finally:
        client.delete_object(Bucket=bucket, Key=key)
