"""One path's life: apply, wait, destroy, and what is left if a step fails."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from loadbench.errors import LeftoverError, LoadbenchError
from loadbench.results.costs import find_price
from loadbench.results.records import RunRecord
from loadbench.run.bench import Bench
from loadbench.run.cleanup import Resource, find_resources, remove
from loadbench.run.observe import Observer
from loadbench.run.render import Plan, render
from loadbench.run.terraform import Terraform, TerraformEvent

STATE_FILE = "terraform.tfstate"


def terraform_for(bench: Bench, path: str, run_id: str) -> Terraform:
    """Terraform on one path's root with the state of one run."""
    return Terraform(
        root=bench.workspace.terraform_root(path),
        state_file=bench.workspace.run_dir(run_id) / STATE_FILE,
        environment=bench.terraform_environment(),
        log_file=bench.workspace.results_dir / run_id / "terraform.jsonl",
    )


def prepare(bench: Bench, plan: Plan) -> tuple[Terraform, Path]:
    """Render the variables and make the root ready; creates nothing that costs money."""
    variables = render(plan, bench.workspace.run_dir(plan.run_id))
    terraform = terraform_for(bench, plan.path, plan.run_id)
    terraform.init()
    return terraform, variables


def apply(bench: Bench, terraform: Terraform, variables: Path, observer: Observer) -> None:
    """Create everything and wait until it serves; what Terraform and the service say is shown live."""
    described: dict[str, str] = {}

    def show(name: str) -> Callable[[str], None]:
        def update(text: str) -> None:
            described[name] = text
            bench.ui.detail(" · ".join(described.values()))

        return update

    terraform_says, service_says = show("terraform"), show("service")
    observer.on_status = lambda resource, status: service_says(f"{resource} {status}")

    def on_event(event: TerraformEvent) -> None:
        if event.resource:
            terraform_says(f"{event.resource} {event.action}")

    with observer:
        terraform.apply(variables, on_event)


def destroy_run(bench: Bench, path: str, run_id: str) -> None:
    """Remove what one run created, by Terraform where there is state, then by listing.

    Raises LeftoverError with names and prices if something is still there.
    """
    run_dir = bench.workspace.run_dir(run_id)
    variables = run_dir / f"{path}.tfvars.json"
    trouble: LoadbenchError | None = None
    if (run_dir / STATE_FILE).exists() and variables.exists():
        try:
            terraform_for(bench, path, run_id).destroy(
                variables, lambda event: bench.ui.detail(event.message)
            )
        except LoadbenchError as error:  # what Terraform could not remove is removed by listing
            trouble = error
    remaining = [
        item for item in find_resources(bench.account.session, bench.config.project) if item.run_id == run_id
    ]
    if remaining:
        if trouble:
            bench.ui.warn(f"Terraform could not remove everything: {trouble.message}")
        remaining = remove(bench.account.session, remaining, bench.ui.detail)
    if remaining:
        raise leftover_error(bench, remaining)
    shutil.rmtree(run_dir, ignore_errors=True)


def leftover_error(bench: Bench, remaining: list[Resource]) -> LeftoverError:
    """What is still there, by name and price."""
    lines = [f"  {item.kind} {item.name} ({item.status}){_price(bench, item)}" for item in remaining]
    return LeftoverError(
        f"{len(remaining)} resource(s) of this project are still there:",
        details="\n".join(lines),
        remedy="Run `make destroy` again in a minute; what stays, remove in the SageMaker console.",
    )


def _price(bench: Bench, item: Resource) -> str:
    return f", {item.usd_per_hour:.2f} USD per hour" if item.usd_per_hour else ""


def price_of(bench: Bench, record: RunRecord) -> float | None:
    """What the run's endpoint costs, in USD per hour; None where no price is known."""
    price = find_price(record.instance_type, record.configuration)
    return None if price is None else price.usd_per_hour * record.instance_count
