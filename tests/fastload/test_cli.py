"""The command line: each verb on its own, JSON on request, one line and exit code 1 for an error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import fastload
from fastload.cli import main
from tests.fastload.checkpoints import LLAMA_CONFIG, llama_tensors, write_checkpoint


@pytest.fixture
def folders(tmp_path: Path) -> tuple[str, str]:
    """A checkpoint, and where its shards go."""
    return str(write_checkpoint(tmp_path / "m", llama_tensors(), LLAMA_CONFIG)), str(tmp_path / "s")


def test_shard_inspect_verify_and_load_agree(folders: tuple[str, str]) -> None:
    source, shards = folders
    run = CliRunner().invoke
    sharded = json.loads(
        run(main, ["shard", source, shards, "-t", "2", "--json"], catch_exceptions=False).output
    )
    inspected = json.loads(run(main, ["inspect", shards, "--json"], catch_exceptions=False).output)
    assert inspected["source_digest"] == sharded["source_digest"] == fastload.source_digest(source)
    assert inspected["tensor_parallel_degree"] == 2
    assert json.loads(run(main, ["verify", shards, "--json"], catch_exceptions=False).output) == {
        "faults": []
    }
    loaded = json.loads(run(main, ["load", shards, "--rank", "1", "--json"], catch_exceptions=False).output)
    assert (loaded["tensors"], loaded["size_bytes"]) == (inspected["tensors"], inspected["rank_bytes"])
    assert loaded["ceiling_bytes_per_s"] > 0


def test_load_tells_its_share_of_the_ceiling_unless_told_not_to_read_twice(folders: tuple[str, str]) -> None:
    source, shards = folders
    fastload.shard_checkpoint(source, shards)
    run = CliRunner().invoke
    assert " of the ceiling, " in run(main, ["load", shards], catch_exceptions=False).output.splitlines()[1]
    alone = run(main, ["load", shards, "--no-ceiling"], catch_exceptions=False).output
    assert "ceiling" not in alone


def test_verify_names_a_damaged_chunk_and_fails(folders: tuple[str, str]) -> None:
    source, shards = folders
    manifest = fastload.shard_checkpoint(source, shards)
    chunk = Path(shards) / manifest.ranks[0].chunks[0].key
    chunk.write_bytes(chunk.read_bytes()[:-1] + b"\0")
    done = CliRunner().invoke(main, ["verify", shards])
    assert done.exit_code == 1
    assert manifest.ranks[0].chunks[0].key in done.output


@pytest.mark.parametrize("verb", ["inspect", "verify", "load"])
def test_an_error_is_one_line(tmp_path: Path, verb: str) -> None:
    done = CliRunner().invoke(main, [verb, str(tmp_path)])
    assert done.exit_code == 1
    assert done.output.startswith("Error: ")
    assert len(done.output.splitlines()) == 1
