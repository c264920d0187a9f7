"""The command line: parses, calls, prints; no logic."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from loadbench.errors import InterruptedRunError, LoadbenchError
from loadbench.workspace import Workspace

if TYPE_CHECKING:
    from loadbench.config import Config, PathName
    from loadbench.run.bench import Bench

PATH_ARGUMENT = click.argument("path", type=click.Choice(["standard", "fast"]))
JSON_OPTION = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
YES_OPTION = click.option(
    "--yes", is_flag=True, help="Do not ask before creating or removing what costs money."
)


def config_options(command: Any) -> Any:
    """Options that say which configuration, shared by every command that reads one."""
    for option in (
        click.option(
            "--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Override one key."
        ),
        click.option(
            "--target", type=click.Choice(["local", "aws"]), help="The embedded AWS, or a real account."
        ),
        click.option(
            "--config",
            "config_file",
            type=click.Path(path_type=Path),
            default=Path("config.yaml"),
            show_default=True,
        ),
    ):
        command = option(command)
    return command


class Commands(click.Group):
    """A group that suggests the command that was meant."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """As click does, with a near miss named."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            if near:
                raise click.UsageError(f"{error.message} Did you mean {near[0]!r}?", ctx) from error
            raise


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="loadbench")
def cli() -> None:
    """How fast does a model come up on Amazon SageMaker, and what does loading it the fast way gain?"""


@cli.command()
@PATH_ARGUMENT
@config_options
@YES_OPTION
@JSON_OPTION
@click.option("--keep-on-failure", is_flag=True, help="Leave a failed deployment up, to look at it.")
def run(path: PathName, yes: bool, as_json: bool, keep_on_failure: bool, **options: Any) -> None:
    """Deploy one path, time it, invoke it; its endpoint stays up."""
    from loadbench.run.deployment import price_of
    from loadbench.run.runner import run_path

    bench = open_bench(**options)
    confirm_cost(bench, [path], yes)
    record = run_path(bench, path, keep_on_failure=keep_on_failure)
    if as_json:
        click.echo(record.model_dump_json(indent=2))
        return
    click.echo(
        (bench.workspace.results_dir / record.run_id / "deployment_summary.txt").read_text(encoding="utf-8")
    )
    price = price_of(bench, record)
    cost = f" and costs {price:.2f} USD per hour" if price is not None else ""
    simulated = " on AWS; here it costs nothing" if bench.config.target == "local" and cost else ""
    click.echo(f"\nThe endpoint {record.names.endpoint} is up{cost}{simulated}. Remove it with: make destroy")
    click.echo(f"Everything about this run: results/{record.run_id}/")


@cli.command()
@config_options
@YES_OPTION
@JSON_OPTION
@click.argument("runs", nargs=-1)
@click.option("--pairs", type=click.IntRange(1, 1000), help="Fresh pairs to run, interleaved, each cold.")
@click.option("--resume", is_flag=True, help="Go on with the interrupted series of this configuration.")
@click.option("--like-for-like", is_flag=True, help="Same weight source and endpoint kind for both paths.")
@click.option(
    "--baseline", multiple=True, metavar="RUN", help="A run to compare the others with; repeatable."
)
@click.option(
    "--fail-if-slower-than", type=float, metavar="RATIO", help="Exit 1 above this ratio to the baseline."
)
def compare(
    runs: tuple[str, ...],
    pairs: int | None,
    resume: bool,
    like_for_like: bool,
    baseline: tuple[str, ...],
    fail_if_slower_than: float | None,
    yes: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Run what is missing, or PAIRS fresh pairs, or take recorded RUNS, and compare."""
    from loadbench.results.commands import compare_each, require_not_slower
    from loadbench.results.selection import recorded_runs

    results_dir = Workspace.here().results_dir
    records = (
        recorded_runs(results_dir, runs) if runs else make_runs(pairs, resume, like_for_like, yes, options)
    )
    comparisons = compare_each(records, results_dir, baseline=baseline)
    for comparison in comparisons:
        show_comparison(comparison.comparison_id, as_json)
    if fail_if_slower_than is not None:
        for comparison in comparisons:
            require_not_slower(comparison, fail_if_slower_than)


def make_runs(
    pairs: int | None, resume: bool, like_for_like: bool, yes: bool, options: dict[str, Any]
) -> Any:
    """The records that `compare` needs, made where they are missing."""
    from loadbench.run import series

    extra = [f"benchmark.pairs={pairs}"] if pairs else []
    extra += ["benchmark.like_for_like=true"] if like_for_like else []
    options["overrides"] = (*options["overrides"], *extra)
    bench = open_bench(**options)
    confirm_cost(bench, ["standard", "fast"], yes)
    if not pairs and not resume and bench.config.benchmark.pairs == 1:
        return series.run_missing(bench)
    series_id = series.last_series(bench) if resume else series.new_series_id(bench)
    return series.run_series(bench, series_id, resume=resume)


@cli.command()
@config_options
@YES_OPTION
@JSON_OPTION
@click.option("--shards", is_flag=True, help="Remove the sharded weights in S3 as well.")
def destroy(yes: bool, as_json: bool, shards: bool, **options: Any) -> None:
    """Remove everything of this project and check by listing that nothing is left."""
    from loadbench.run.removal import destroy_everything

    bench = open_bench(**options)
    summary = destroy_everything(bench, include_shards=shards, confirm=asking(bench, yes))
    click.echo(json.dumps(summary.as_json(), indent=2) if as_json else summary.as_text())


@cli.command()
@config_options
@JSON_OPTION
@click.option("--older-than", default="0h", help="Only what is older, for example 4h or 2d.")
@click.option("--remove", "do_remove", is_flag=True, help="Remove what is listed; otherwise only list.")
@YES_OPTION
def leftovers(older_than: str, do_remove: bool, yes: bool, as_json: bool, **options: Any) -> None:
    """List what any run, checkout or colleague left under the project's tags."""
    from loadbench.run.removal import find_leftovers

    bench = open_bench(**options)
    summary = find_leftovers(bench, older_than, do_remove, confirm=asking(bench, yes))
    click.echo(json.dumps(summary.as_json(), indent=2) if as_json else summary.as_text())


@cli.command()
@config_options
@JSON_OPTION
def doctor(as_json: bool, **options: Any) -> None:
    """Check everything that can be known to fail before anything costs money."""
    from loadbench.run.preflight import run_checks

    bench = open_bench(**options)
    checks = run_checks(bench.config, ["standard", "fast"], bench.account.session, bench.ui.progress)
    if as_json:
        click.echo(json.dumps([check.__dict__ for check in checks], indent=2))
    else:
        for check in checks:
            remedy = f" {check.remedy}" if check.remedy and check.status != "ok" else ""
            click.echo(f"{check.status:8} {check.name}: {check.message}{remedy}")
    if any(check.status == "failure" for check in checks):
        raise SystemExit(2)


@cli.command()
@PATH_ARGUMENT
@config_options
def render(path: PathName, **options: Any) -> None:
    """Print the Terraform variables that a run of PATH would use; creates nothing."""
    from loadbench.run.runner import rendered_variables

    click.echo(rendered_variables(open_bench(**options), path))


@cli.command()
@config_options
@YES_OPTION
@JSON_OPTION
def optimize(yes: bool, as_json: bool, **options: Any) -> None:
    """Run the sharding job alone, or find the shards of an earlier one."""
    from loadbench.run.runner import optimize_only

    bench = open_bench(**options)
    confirm_cost(bench, ["fast"], yes)
    result = optimize_only(bench)
    click.echo(result.model_dump_json(indent=2) if as_json else result.output_uri)


@cli.command()
@click.argument("path", type=click.Choice(["standard", "fast"]), required=False)
@click.argument("prompt", required=False)
@config_options
@JSON_OPTION
def invoke(path: PathName | None, prompt: str | None, as_json: bool, **options: Any) -> None:
    """Send PROMPT (or the sample input) to a running endpoint; tokens appear as they come."""
    from loadbench.run.runner import invoke_standing

    bench = open_bench(**options)
    pieces = invoke_standing(bench, path, prompt)
    if as_json:
        click.echo(json.dumps({"generated_text": "".join(pieces)}, ensure_ascii=False))
        return
    for piece in pieces:
        click.echo(piece, nl=False)
    click.echo()


@cli.command()
@click.argument("comparison_id", required=False)
@JSON_OPTION
def report(comparison_id: str | None, as_json: bool) -> None:
    """Show a comparison again, the newest by default."""
    from loadbench.results.commands import latest_comparison_id

    show_comparison(comparison_id or latest_comparison_id(Workspace.here().results_dir), as_json)


@cli.command()
@click.option("--config", "config_file", type=click.Path(path_type=Path), default=Path("config.yaml"))
def setup(config_file: Path) -> None:
    """Find Terraform, install its provider for both roots, prepare the configured model."""
    from loadbench.config import load_config
    from loadbench.run.setup import set_up
    from loadbench.ui import Ui

    set_up(load_config(config_file), Workspace.here(), Ui())


@cli.command("terraform-test", hidden=True)
def terraform_test() -> None:
    """Terraform fmt, validate and test for every module and root."""
    from loadbench.run.setup import check_terraform
    from loadbench.ui import Ui

    check_terraform(Workspace.here(), Ui())


@cli.group()
def local() -> None:
    """The embedded AWS: start it, stop it, look at it, point other clients at it."""


def _local_command(name: str, summary: str) -> None:
    @config_options
    @click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
    def command(as_json: bool, **options: Any) -> None:
        from loadbench import target

        config, home = read_config(**options), Workspace.here().home
        if name == "up":
            target.start_local(config, home)
        if name == "env":
            environment = target.local_environment(config, home)
            click.echo(json.dumps(environment) if as_json else target.export_lines(environment))
            return
        shown = "status" if name == "up" else name
        arguments = [shown, "--json"] if as_json and shown == "status" else [shown]
        click.echo(target.localaws(arguments, config, home), nl=False)

    command.__doc__ = summary
    local.command(name)(command)


_local_command("up", "Start it; once running, apply the configuration's `local` section.")
_local_command("down", "Stop it and every model server.")
_local_command("status", "Say whether it runs, where, and with which endpoints.")
_local_command("env", 'Print exports for a shell: eval "$(loadbench local env)".')
_local_command("logs", "Show its own log.")


def read_config(config_file: Path, target: str | None, overrides: tuple[str, ...]) -> Config:
    """The configuration with the call's overrides."""
    from loadbench.config import load_config

    return load_config(config_file, [*overrides, *([f"target={target}"] if target else [])])


def open_bench(**options: Any) -> Bench:
    """Read the configuration, load `.env`, reach the target."""
    from dotenv import load_dotenv

    from loadbench.run.bench import Bench
    from loadbench.run.journal import command_line
    from loadbench.target import open_account
    from loadbench.ui import Ui

    config, workspace, ui = read_config(**options), Workspace.here(), Ui()
    secrets = workspace.home / ".env"
    if load_dotenv(secrets) and secrets.stat().st_mode & 0o077:
        ui.warn(f"{secrets} can be read by others: chmod 600 {secrets}")
    with ui.step("reaching the embedded AWS" if config.target == "local" else "reaching AWS"):
        account = open_account(config, workspace.home)
    return Bench(config, workspace, account, ui, command_line())


def confirm_cost(bench: Bench, paths: list[PathName], yes: bool) -> None:
    """On AWS, say what will be created and what it costs, and ask once."""
    if bench.config.target == "local" or yes:
        return
    from loadbench.run.preflight import cost_summary

    click.echo(cost_summary(bench.config, paths), err=True)
    click.confirm("Go on?", abort=True, err=True)


def asking(bench: Bench, yes: bool) -> Any:
    """A question for removals: asked on AWS, taken as yes on the embedded target or with --yes."""
    if bench.config.target == "local" or yes:
        return lambda _: True
    return lambda question: click.confirm(question, err=True)


def show_comparison(comparison_id: str, as_json: bool) -> None:
    """Print a saved comparison and where its files lie."""
    from loadbench.results.commands import show
    from loadbench.results.selection import comparison_folder

    results_dir = Workspace.here().results_dir
    if as_json:
        file = comparison_folder(results_dir, comparison_id) / "comparison.json"
        click.echo(file.read_text(encoding="utf-8"))
    else:
        show(results_dir, comparison_id)


def _terminate(*_: object) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Entry point: one message and an exit code for every error, no traceback for a user's mistake."""
    for name in ("SIGTERM", "SIGHUP"):  # a closed terminal ends like Ctrl-C: cleaned up
        signal.signal(getattr(signal, name), _terminate)
    try:
        cli(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        sys.exit(InterruptedRunError.exit_code)
    except BrokenPipeError:
        # The reader (head, less) went away: nothing to tell it; keep Python from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except LoadbenchError as error:
        click.echo(f"Error: {error.message}", err=True)
        if error.details:
            click.echo(error.details.rstrip(), err=True)
        if error.remedy:
            click.echo(f"→ {error.remedy}", err=True)
        sys.exit(error.exit_code)
