"""The command `sweep`: runs many configurations."""

from __future__ import annotations

import datetime
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from loadbench.cli.confirm import confirm
from loadbench.cli.options import (
    FORMAT_OPTION,
    YES_OPTION,
    config_options,
    make_ui,
    method_options,
    open_bench,
    open_context,
    read_config,
    verbosity_options,
)
from loadbench.errors import RunError
from loadbench.workspace import Workspace

if TYPE_CHECKING:
    from loadbench.config import Config
    from loadbench.results.run_record import Pair
    from loadbench.results.sweep.model import SweepRecord
    from loadbench.results.sweep.ranking import SweepResult
    from loadbench.run.run_context import RunContext
    from loadbench.run.sweep.plan import Cell, Plan


@click.command()
@click.argument("plan_file", metavar="PLAN", type=click.Path(path_type=Path))
@click.option("--target", type=click.Choice(["local", "aws"]), help="The embedded AWS, or a real account.")
@click.option("--resume", is_flag=True, help="Continue the newest sweep of this plan.")
@click.option("--dry-run", is_flag=True, help="Print cells, order and worst case; create nothing.")
@YES_OPTION
@FORMAT_OPTION
@verbosity_options
def sweep(plan_file: Path, target: str | None, resume: bool, dry_run: bool, yes: bool, form: str) -> None:
    """Run many configurations within a budget, and rank them.

    Runs loading methods x instance types x models x settings. PLAN is a YAML file, described in
    docs/sweep.md. Each run of a cell is an ordinary run, removed afterwards. A cell gets no further runs once
    a stopping rule, fixed before the first run, has decided it. A run starts only if the budget allows its
    worst case.

    \b
    Examples:
      loadbench sweep plan.yaml --dry-run
      loadbench sweep plan.yaml
      loadbench sweep plan.yaml --resume
      loadbench sweep plan.yaml --target aws --yes --format json
    """
    from loadbench.results.sweep.model import last_sweep
    from loadbench.results.sweep.page import write_page
    from loadbench.results.sweep.ranking import rank
    from loadbench.run.sweep.plan import make_cells, read_plan

    plan = read_plan(plan_file)

    def read(file: Path, overrides: tuple[str, ...], model: str, instance_type: str) -> Config:
        return read_config(file, target, overrides, model, instance_type)

    cells = {cell.info.name: cell for cell in make_cells(plan, read)}
    config = next(iter(cells.values())).config
    if dry_run:
        click.echo(_describe(plan, _new_record(plan, cells, config), cells))
        return
    results_dir = Workspace.here().results_dir
    record = last_sweep(results_dir, plan.digest) if resume else _new_record(plan, cells, config)
    record.max_usd, record.max_hours = plan.budget.usd, plan.budget.hours
    Workspace.here().require_writable()
    context = open_context(config, make_ui())
    if config.target == "aws" and not yes:
        click.echo(_describe(plan, record, cells), err=True)
        confirm("Continue?", abort=True)
    try:
        _run(context, plan, record, cells, target)
    finally:
        if record.runs:
            result = rank(record, results_dir)
            page = write_page(result, results_dir)
    _show(result, page, form)
    if not any(item.times_s for item in result.ranked):
        raise RunError(
            f"no run of the sweep succeeded: {result.sweep.ended_because}",
            remedy=f"See the logs in {page.parent / 'runs'}.",
        )


def _run(
    context: RunContext, plan: Plan, record: SweepRecord, cells: dict[str, Cell], target: str | None
) -> None:
    from loadbench.run.preflight.account import endpoint_quota
    from loadbench.run.preflight.check_result import CheckContext
    from loadbench.run.sweep.execute import Sweep
    from loadbench.run.sweep.plan import budget_of

    def command(cell: Cell, pair: Pair) -> list[str]:
        overrides = [word for text in cell.overrides for word in ("--set", text)]
        return [
            *(sys.executable, "-c", "from loadbench.cli import main; main()", "sweep-run", cell.load_path),
            *("--config", str(plan.config), *overrides, *(("--target", target) if target else ())),
            *("--model", cell.info.model_id, "--instance-type", cell.info.instance_type),
            *("--pair", pair.model_dump_json()),
        ]

    kinds = dict.fromkeys(cell.info.instance_type for cell in cells.values())
    lanes = plan.side_by_side
    if context.config.target == "local":
        room = dict.fromkeys(kinds, context.config.local.instance_quota)
    else:
        checks = CheckContext(context.config, (), context.account.session, None)
        room = {kind: int(endpoint_quota(checks, kind) or 1) for kind in kinds}
    Sweep(context, record, cells, budget_of(plan), lanes, room, command).run()


@click.command("sweep-run", hidden=True)
@click.argument("load_path")
@config_options
@method_options
@click.option("--pair", "pair_json", required=True)
def sweep_run(load_path: str, pair_json: str, **options: Any) -> None:
    """One run of a sweep: an ordinary run, removed afterwards. The sweep holds the locks.

    \b
    Examples:
      loadbench sweep-run standard --pair '{"series_id": "s", "index": 0, "position": 0, "seed": 0}'
    """
    from loadbench.results.run_record import Pair
    from loadbench.run.series import run_and_remove

    pair = Pair.model_validate_json(pair_json)
    record = run_and_remove(open_bench(**options), load_path, pair, beside_others=True)
    click.echo(json.dumps({"run_id": record.run_id, "time_to_ready_s": record.time_to_ready_s}))


def _new_record(plan: Plan, cells: dict[str, Cell], config: Config) -> SweepRecord:
    from loadbench.results.sweep.model import SweepRecord

    return SweepRecord(
        sweep_id=f"{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}",
        plan_digest=plan.digest,
        plan=plan.model_dump(mode="json"),
        target=config.target,
        region=config.region,
        seed=plan.seed,
        rule=plan.rule,
        max_usd=plan.budget.usd,
        max_hours=plan.budget.hours,
        cells=[cell.info for cell in cells.values()],
    )


def _describe(plan: Plan, record: SweepRecord, cells: dict[str, Cell]) -> str:
    """The cells, the order of the first round and the worst-case cost."""
    from loadbench.run.sweep.execute import worst_of_all
    from loadbench.run.sweep.schedule import round_slots

    worst = worst_of_all(cells, record)
    order = round_slots(record, 0, [cell.name for cell in record.cells])
    place = "the embedded AWS (free of charge)" if record.target == "local" else record.region
    lines = [
        f"{len(cells)} cells on {place}. Concurrent runs: {plan.side_by_side}. First round:",
        *(f"  {number}. {slot.cell}" for number, slot in enumerate(order, 1)),
        f"{plan.rule.least_rounds} to {plan.rule.most_rounds} rounds, until every cell is decided. Controls:",
        *(f"  {name}" for name in dict.fromkeys(cell.control for cell in record.cells)),
        f"Budget: {plan.budget.usd:g} USD and {plan.budget.hours:g} h; a run starts only if its worst case "
        "fits.",
        f"Worst case of all rounds: {worst.usd:.2f} USD, {worst.seconds / 3600:.1f} h without concurrency.",
    ]
    return "\n".join(lines)


def _show(result: SweepResult, page: Path, form: str) -> None:
    from loadbench.cli.tables import print_table
    from loadbench.results.sweep.page import COLUMNS, summary_lines, table_rows

    if form == "json":
        click.echo(result.model_dump_json(indent=2))
        return
    print_table(COLUMNS, table_rows(result), form)
    if form != "csv":
        click.echo("\n".join(["", *summary_lines(result), f"Page with charts: {page}"]))
