"""Commands that deploy and invoke: `run`, `compare`, `optimize`, `invoke`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from loadbench.cli.confirm import confirm_cost
from loadbench.cli.options import (
    FORMAT_OPTION,
    JSON_OPTION,
    PATH_ARGUMENT,
    config_options,
    method_options,
    open_bench,
    show_plan,
    spending_options,
)
from loadbench.cli.reports import ALL_ROWS_OPTION, show_comparison
from loadbench.commands_in_messages import typed_here
from loadbench.errors import UsageError
from loadbench.foreign_text import plain
from loadbench.load_paths import COMPARED_LOAD_PATHS, LOAD_PATHS, OPTIMIZED_LOAD_PATH
from loadbench.workspace import Workspace

if TYPE_CHECKING:
    from loadbench.load_paths import LoadPath
    from loadbench.results.run_record import RunRecord
    from loadbench.run.run_context import RunContext


@click.command()
@PATH_ARGUMENT
@config_options
@method_options
@spending_options
@JSON_OPTION
@click.option("--keep-on-failure", is_flag=True, help="Leave a failed deployment running, to inspect it.")
def run(
    load_path: LoadPath,
    yes: bool,
    max_usd: float | None,
    dry_run: bool,
    as_json: bool,
    keep_on_failure: bool,
    **options: Any,
) -> None:
    """Deploy with one method and time it; the endpoint stays up.

    \b
    Examples:
      loadbench run standard
      loadbench run fast --model ./my-model --instance-type ml.g5.4xlarge
      loadbench run fast --config my.yaml --yes --max-usd 2
      loadbench run fast --config my.yaml --dry-run
      loadbench run fast --set benchmark.warm_invocations=10 -v
    """
    from loadbench.run.runner import run_path

    if dry_run:
        show_plan([load_path], max_usd, options, pairs=1)
        return
    context = open_bench(**options)
    confirm_cost(context, [load_path], 1, yes, max_usd)
    record = run_path(context, load_path, keep_on_failure=keep_on_failure)
    try:
        _show_new_run(context, record, as_json=as_json)
    except KeyboardInterrupt:  # the run is over: 130 would mean that nothing of it is left
        context.ui.warn(
            f"interrupted after the run had succeeded: the endpoint {record.names.endpoint} is running."
            " To remove it: make destroy"
        )


def _show_new_run(context: RunContext, record: RunRecord, *, as_json: bool) -> None:
    """Print a run that has just ended, and what its endpoint costs."""
    from loadbench.results.commands import show_run
    from loadbench.run.deployment import price_of

    if as_json:
        click.echo(record.model_dump_json(indent=2))
        return
    show_run(record, context.workspace.results_dir)
    ask = f"loadbench invoke {record.path} (in Python: results/{record.run_id}/invoke.py)"
    click.echo(f"Send a request: {ask}")
    price = price_of(context, record)
    cost = f" and costs {price:.2f} USD per hour" if price is not None else ""
    simulated = " on AWS; here it costs nothing" if context.config.target == "local" and cost else ""
    remove = typed_here("make destroy", context.workspace.home)
    click.echo(f"The endpoint {record.names.endpoint} is running{cost}{simulated}. To remove it: {remove}")


@click.command()
@config_options
@method_options
@spending_options
@JSON_OPTION
@click.argument("runs", nargs=-1)
@click.option(
    "--pairs",
    type=click.IntRange(1, 1000),
    help="Cold starts of each loading method, in pairs. Default: benchmark.pairs of the configuration.",
)
@click.option(
    "--paths",
    "load_paths",
    default=",".join(COMPARED_LOAD_PATHS),
    show_default=True,
    metavar="METHOD,METHOD",
    help="Loading methods to run; each is compared with the first.",
)
@click.option(
    "--reuse", is_flag=True, help="Use the newest recorded run of each method, run only what is missing."
)
@click.option(
    "--resume",
    is_flag=True,
    help="Continue the interrupted series of this configuration and these methods.",
)
@click.option("--like-for-like", is_flag=True, help="Same weight source and endpoint kind for all methods.")
@click.option(
    "--baseline",
    multiple=True,
    metavar="RUN",
    help="A recorded run or comparison to compare the others with; repeatable.",
)
@click.option(
    "--fail-if-slower-than",
    type=float,
    metavar="LIMIT",
    help="Exit 1 if the runs take more than LIMIT times as long as the baseline: the whole interval of the "
    "ratio, baseline ÷ runs, is below 1/LIMIT. Needs two runs or more of each.",
)
@ALL_ROWS_OPTION
@FORMAT_OPTION
def compare(
    runs: tuple[str, ...],
    pairs: int | None,
    load_paths: str,
    reuse: bool,
    resume: bool,
    like_for_like: bool,
    baseline: tuple[str, ...],
    fail_if_slower_than: float | None,
    every_row: bool,
    form: str,
    yes: bool,
    max_usd: float | None,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Deploy, time and compare loading methods.

    Every run is a new deployment that is removed again; the first failure ends the command. With RUNS,
    nothing is deployed: recorded runs are compared.

    \b
    Examples:
      loadbench compare                            pairs of standard and fast, as configured
      loadbench compare --pairs 8                  more pairs, a narrower interval
      loadbench compare --pairs 8 --resume         continue after an interruption
      loadbench compare --paths standard,streamer  another loading method
      loadbench compare --dry-run --max-usd 5      plan and cost only
      loadbench compare --reuse                    use recorded runs if there are any
      loadbench compare RUN RUN                    recorded runs, by their ids
      loadbench compare --baseline COMPARISON --fail-if-slower-than 1.05
    """
    from loadbench.results.commands import compare_each, require_not_slower, require_success
    from loadbench.results.select_runs import recorded_runs

    results_dir, reused = Workspace.here().results_dir, set[str]()
    if runs:
        records, order = recorded_runs(results_dir, runs), None
    else:
        order = chosen_paths(load_paths)
        extra = [f"benchmark.pairs={pairs}"] if pairs else []
        extra += ["benchmark.like_for_like=true"] if like_for_like else []
        options["overrides"] = (*options["overrides"], *extra)
        if dry_run:
            show_plan(order, max_usd, options)
            return
        if reuse and (pairs or resume):
            raise UsageError(
                f"--reuse and {'--pairs' if pairs else '--resume'} cannot be combined",
                remedy="--reuse uses recorded runs; --pairs and --resume make new ones.",
            )
        context = open_bench(**options)
        confirm_cost(context, order, context.config.benchmark.pairs, yes, max_usd)
        records, reused = make_runs(context, order, reuse, resume)
    comparisons = compare_each(records, results_dir, baseline=baseline, order=order, reused=reused)
    for comparison in comparisons:
        show_comparison(comparison.comparison_id, "json" if as_json else form, every_row=every_row)
    for comparison in comparisons:
        require_success(comparison)
        if fail_if_slower_than is not None:
            require_not_slower(comparison, fail_if_slower_than)


def chosen_paths(text: str) -> list[LoadPath]:
    """The methods of `--paths`, in order. Raises UsageError for unknown ones, and for fewer than two."""
    paths = [name.strip() for name in text.split(",")]
    unknown = [name for name in paths if name not in LOAD_PATHS]
    if unknown or len(paths) < 2 or len(set(paths)) < len(paths):
        wrong = f"unknown loading method {unknown[0]!r}" if unknown else "fewer than two methods"
        raise UsageError(
            f"--paths {text}: {wrong}",
            remedy=f"Name two or more of {', '.join(LOAD_PATHS)}, each once, separated by commas.",
        )
    return paths


def make_runs(
    context: RunContext, load_paths: list[LoadPath], reuse: bool, resume: bool
) -> tuple[list[RunRecord], set[str]]:
    """The records to compare, and the ids of those that are reused from earlier commands."""
    from loadbench.run import series

    for load_path in load_paths:
        context.config.deployment(load_path)  # fails before the first one is deployed
    if reuse:
        return series.reuse_or_run(context, load_paths)
    series_id = series.last_series(context) if resume else series.new_series_id(context)
    return series.run_series(context, series_id, load_paths, resume=resume), set()


@click.command()
@config_options
@method_options
@spending_options
@JSON_OPTION
def optimize(yes: bool, max_usd: float | None, dry_run: bool, as_json: bool, **options: Any) -> None:
    """Run only the sharding job, or find an earlier job's shards.

    \b
    Examples:
      loadbench optimize
      loadbench optimize --config my.yaml --json
    """
    from loadbench.run.deployment_plan import optimize_only

    if dry_run:
        show_plan([OPTIMIZED_LOAD_PATH], max_usd, options, pairs=0)
        return
    context = open_bench(**options)
    confirm_cost(context, [OPTIMIZED_LOAD_PATH], 0, yes, max_usd)
    result = optimize_only(context)
    click.echo(result.model_dump_json(indent=2) if as_json else result.output_uri)


@click.command()
@click.argument("load_path", metavar="[PATH]", required=False, shell_complete=lambda *_: list(LOAD_PATHS))
@click.argument("prompt", required=False)
@config_options
@JSON_OPTION
@click.option("--image", metavar="FILE_OR_URL", help="An image for a vision-language model.")
@click.option("--snippet", is_flag=True, help="Print Python code that sends the request, and send nothing.")
def invoke(
    load_path: str | None, prompt: str | None, as_json: bool, image: str | None, snippet: bool, **options: Any
) -> None:
    """Send a request to a running endpoint and print the answer.

    Without PROMPT, the configuration's sample_input is sent; without PATH, to the first running endpoint. A
    file is sent inside the request, at most 4.7 MB; a URL is fetched by the container.

    \b
    Examples:
      loadbench invoke
      loadbench invoke fast "Why is the sky blue?"
      loadbench invoke --image photo.jpg "What is written on the sign?"
      loadbench invoke fast --snippet > ask.py
    """
    from loadbench.results.reports import snippet as script
    from loadbench.run.active_runs import active_record, invoke_active

    load_path, prompt = _path_and_prompt(load_path, prompt)
    context = open_bench(**options)
    if snippet:
        click.echo(script.render(active_record(context, load_path)), nl=False)
        return
    pieces = invoke_active(context, load_path, prompt, image)
    if as_json:
        click.echo(json.dumps({"generated_text": "".join(pieces)}, ensure_ascii=False))
        return
    for piece in pieces:
        click.echo(plain(piece, None), nl=False)
    click.echo()


def _path_and_prompt(load_path: str | None, prompt: str | None) -> tuple[LoadPath | None, str | None]:
    """A single argument is a prompt, unless it looks like a mistyped load path."""
    import difflib

    if load_path is None or load_path in LOAD_PATHS:
        return load_path, prompt
    near = difflib.get_close_matches(load_path, list(LOAD_PATHS), n=1)
    if prompt is None and not near:
        return None, load_path
    raise UsageError(
        f"unknown loading method {load_path!r}",
        remedy=f"Did you mean {near[0]!r}?" if near else f"Loading methods: {', '.join(LOAD_PATHS)}.",
    )
