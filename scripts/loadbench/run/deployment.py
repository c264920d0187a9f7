"""One deployment with Terraform: its working copy, its apply, its price."""

from __future__ import annotations

from pathlib import Path

from loadbench.errors import RunError, ServiceError
from loadbench.results.costs import find_price
from loadbench.results.run_record import RunRecord
from loadbench.run.new_role import repeat_for_new_role
from loadbench.run.observe import Observer
from loadbench.run.run_context import RunContext
from loadbench.run.terraform import remote_state
from loadbench.run.terraform.commands import Terraform, TerraformEvent
from loadbench.run.terraform.render import Plan, render

STATE_FILE = "terraform.tfstate"
_TERRAFORM = "terraform"


def terraform_for(context: RunContext, run_id: str) -> Terraform:
    """Terraform with the state of one run."""
    run_dir = context.workspace.run_dir(run_id)
    place = remote_state.place_of(run_dir)
    return Terraform(
        root=context.workspace.terraform_root,
        state_file=run_dir / STATE_FILE,
        backend=place.backend() if place else None,
        environment=context.terraform_environment(),
        log_file=context.workspace.results_dir / run_id / "terraform.jsonl",
    )


def prepare(context: RunContext, plan: Plan) -> tuple[Terraform, Path]:
    """Render the variables and initialize the root module; creates nothing that costs money."""
    variables = render(plan, context.workspace.run_dir(plan.run_id))
    remote_state.begin(context, plan.run_id, variables)
    terraform = terraform_for(context, plan.run_id)
    terraform.init(context.ui.progress)
    return terraform, variables


def apply(
    context: RunContext, terraform: Terraform, variables: Path, observer: Observer, *, has_new_role: bool
) -> dict[str, float]:
    """Create everything and wait until it is in service; shows the output of Terraform and the service live.

    A role that this apply creates (`has_new_role`) may be refused at first: until the endpoint is requested,
    the apply is repeated. It ends early, with ServiceError, if the container's log shows a crash loop.

    Returns the duration by Terraform's clock: `terraform_start_s` is when it requested the endpoint,
    `terraform_end_s` when the last resource was complete. Raises RunError with the service's reason if there
    is one.
    """
    messages: dict[str, str] = {}
    clock: dict[str, float] = {}

    def show(who: str, what: str, shortened: str = "") -> None:
        messages[who] = shortened or what
        # The service's status comes first: if the line is too long, Terraform's part is cut.
        ordered = sorted(messages, key=lambda name: name == _TERRAFORM)
        context.ui.detail(
            " · ".join(messages[name] for name in ordered),
            log_text=f"{who}: {what}" if who == _TERRAFORM else what,
        )

    def on_event(event: TerraformEvent) -> None:
        if event.type == "apply_start" and ".aws_sagemaker_endpoint." in f".{event.resource}":
            clock["terraform_start_s"] = event.timestamp_s
        if event.type == "apply_complete":
            clock["terraform_end_s"] = event.timestamp_s
        if event.message:
            show(_TERRAFORM, event.message, event.short_message)
        if observer.crash_loop:
            raise ServiceError(
                f"the deployment was ended early: {observer.crash_loop}",
                remedy="Read the container's last lines; the endpoint would stay in Creating until its health"
                " check times out.",
            )

    observer.on_status = lambda resource, status: show(resource, f"{resource} {status}")
    try:
        with observer:
            repeat_for_new_role(
                lambda: terraform.apply(variables, on_event),
                context.ui.note,
                may_repeat=lambda: has_new_role and "terraform_start_s" not in clock,
            )
    except RunError as error:
        if observer.failure_reason is None:
            raise
        said_already = observer.failure_reason  # Terraform quotes it
        details = "\n".join(line for line in error.details.splitlines() if said_already not in line)
        raise ServiceError(
            f"the deployment failed: {observer.failure_reason}", details=details, remedy=error.remedy
        ) from error
    return clock


def price_of(context: RunContext, record: RunRecord) -> float | None:
    """Cost of the run's endpoint in USD per hour; None if no price is known."""
    price = find_price(record.instance_type, record.configuration, record.price)
    return None if price is None else price.usd_per_hour * record.instance_count
