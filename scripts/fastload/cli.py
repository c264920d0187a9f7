"""The command `fastload`: shard a checkpoint, look at shards, check them, time a load."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Mapping

import click

from fastload.errors import FastloadError, shown
from fastload.manifest import read_manifest
from fastload.max_link_rate import ceiling_bytes_per_s
from fastload.shard import ShardProgress, shard_checkpoint
from fastload.stream import open_stream
from fastload.verify_shards import verify_shards

_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")


class _Commands(click.Group):
    """Turns every error into one line and exit code 1, Ctrl-C into 130."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except FastloadError as error:
            raise click.ClickException(_printable(str(error))) from error
        except MemoryError as error:
            raise click.ClickException("this machine does not have enough memory for that.") from error
        except OSError as error:
            raise click.ClickException(_printable(f"{error.strerror or error}.")) from error
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            sys.exit(130)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise click.ClickException(
                _printable(f"{reason}. This is a bug in fastload; please report it.")
            ) from error


@click.group(cls=_Commands)
@click.version_option(package_name="loadbench", prog_name="fastload")
def main() -> None:
    """Load model weights from S3 to a device at the full rate of the network.

    Locations are s3://bucket/prefix/ or a folder. S3 is found by the usual AWS variables
    (AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION).
    """


@main.command()
@click.argument("source")
@click.argument("destination")
@click.option("--tensor-parallel-degree", "-t", default=1, show_default=True, help="Ranks: 1, 2, 4 or 8.")
@click.option(
    "--chunk-bytes", type=int, default=None, help="Bytes per chunk; by default chosen for the degree."
)
@_JSON
def shard(
    source: str, destination: str, tensor_parallel_degree: int, chunk_bytes: int | None, as_json: bool
) -> None:
    """Cut the safetensors checkpoint at SOURCE into chunks under DESTINATION."""
    began_s = time.perf_counter()
    manifest = shard_checkpoint(
        source,
        destination,
        tensor_parallel_degree=tensor_parallel_degree,
        chunk_bytes=chunk_bytes,
        progress=_progress("sharded", as_json),
    )
    seconds = time.perf_counter() - began_s
    facts = {
        "source_digest": manifest.source_digest,
        "size_bytes": manifest.size_bytes,
        "seconds": round(seconds, 3),
        "bytes_per_s": round(manifest.size_bytes / seconds),
        "peak_memory_bytes": _peak_memory_bytes(),
    }
    _show(
        facts,
        as_json,
        f"{manifest.size_bytes / 1e9:.2f} GB in {seconds:.2f} s, source {manifest.source_digest[:12]}",
    )


@main.command()
@click.argument("location")
@_JSON
def inspect(location: str, as_json: bool) -> None:
    """Show the content of the shards at LOCATION."""
    manifest = read_manifest(location)
    first = manifest.ranks[0]
    facts = {
        "source_digest": manifest.source_digest,
        "dtype": manifest.dtype,
        "tensor_parallel_degree": manifest.tensor_parallel_degree,
        "chunk_bytes": manifest.chunk_bytes,
        "rank_bytes": first.size_bytes,
        "tensors": len(first.tensors),
        "chunks_per_rank": len(first.chunks),
        "aliases": dict(manifest.aliases),
    }
    _show(facts, as_json, "\n".join(f"{name.replace('_', ' '):24} {value}" for name, value in facts.items()))


@main.command()
@click.argument("location")
@_JSON
def verify(location: str, as_json: bool) -> None:
    """Read every chunk at LOCATION and check its length and checksum. Exits with 1 if one is wrong."""
    faults = verify_shards(location, _progress("verified", as_json))
    _show({"faults": faults}, as_json, "\n".join(faults) or "all chunks are complete and uncorrupted")
    if faults:
        sys.exit(1)


@main.command()
@click.argument("location")
@click.option("--rank", default=0, show_default=True)
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:N.")
@click.option("--connections", type=int, default=None, help="Number of connections; adaptive by default.")
@click.option(
    "--ceiling/--no-ceiling", default=True, help="Afterwards, read everything again to measure the link."
)
@_JSON
def load(
    location: str, rank: int, device: str, connections: int | None, ceiling: bool, as_json: bool
) -> None:
    """Load one rank from LOCATION; print its duration, and its share of the ceiling.

    The ceiling is the rate of the same bytes over the same number of connections into pre-faulted memory,
    unverified. It is measured after the load, when the store may have the bytes in its cache.
    """
    with open_stream(location, rank=rank, device=device, connections=connections) as stream:
        tensors = stream.tensors()
        statistics = stream.statistics
    seconds, count, peak_bytes = (
        statistics.finished_s - statistics.started_s,
        len(tensors),
        _peak_memory_bytes(),
    )
    del tensors, stream  # their memory makes room for the ceiling's
    ceiling_rate = (
        ceiling_bytes_per_s(location, rank=rank, connections=statistics.connections) if ceiling else None
    )
    facts = {
        "tensors": count,
        "size_bytes": statistics.size_bytes,
        "seconds": round(seconds, 4),
        "bytes_per_s": round(statistics.rate_bytes_per_s),
        "connections": statistics.connections,
        "retries": statistics.retries,
        "corrupt_reads": statistics.corrupt_reads,
        "peak_memory_bytes": peak_bytes,
        "ceiling_bytes_per_s": ceiling_rate and round(ceiling_rate),
    }
    text = (
        f"{count} tensors, {statistics.size_bytes / 1e9:.3f} GB in {seconds:.3f} s: "
        f"{statistics.rate_bytes_per_s / 1e9:.2f} GB/s over {statistics.connections} connections, "
        f"{statistics.retries} retries, peak memory {peak_bytes / 1e9:.2f} GB"
    )
    if ceiling_rate:
        share = statistics.rate_bytes_per_s / ceiling_rate
        text += f"\n{share:.2f} of the ceiling, {ceiling_rate / 1e9:.2f} GB/s over as many plain connections"
    _show(facts, as_json, text)


def _show(facts: Mapping[str, object], as_json: bool, text: str) -> None:
    click.echo(json.dumps(facts) if as_json else _printable(text))


def _printable(text: str) -> str:
    """Names and messages come from files and stores: remove control characters."""
    return "\n".join(shown(line, 4000) for line in text.split("\n"))


def _progress(verb: str, quiet: bool) -> Callable[[ShardProgress], None] | None:
    """One line on a terminal, updated in place; nothing if there is no terminal."""
    if quiet or not sys.stderr.isatty():
        return None

    def report(state: ShardProgress) -> None:
        end = "\n" if state.done_bytes == state.total_bytes else ""
        click.echo(
            f"\r{verb} {state.done_bytes / 1e9:.2f} of {state.total_bytes / 1e9:.2f} GB{end}",
            nl=False,
            err=True,
        )

    return report


def _peak_memory_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
